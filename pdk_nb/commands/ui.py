"""``ui``: the console, one page for all three platforms."""

from __future__ import annotations

import argparse

from pdk_nb.commands.common import Options, Subparsers, say, session_of
from pdk_nb.loopback import LOOPBACK


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    ui = commands.add_parser(
        "ui",
        parents=[options.state, options.cluster, options.person],
        help="one live page for all three platforms",
    )
    ui.add_argument("--port", type=int, default=0, metavar="N", help="port on 127.0.0.1 (default: any free port)")
    ui.add_argument("--listen", default=LOOPBACK, metavar="A", help="another address to listen on; only in a pod")
    ui.add_argument("--socket", metavar="F", help="a Unix socket instead; JupyterLab's launcher uses it")
    ui.add_argument("--token-file", metavar="F", help="file with the token that visitors need (default: a new token)")
    ui.add_argument(
        "--allow-changes", action="store_true", help="offer actions, such as to stop a job or to promote a version"
    )
    ui.set_defaults(handler=command_ui)


def command_ui(args: argparse.Namespace) -> int:
    """``pdk-nb ui``."""
    from pdk_nb.console.server import serve, serve_socket, token_of

    if args.socket:
        serve_socket(session_of(args), args.socket, changes=args.allow_changes)
        return 0
    token = token_of(args.token_file) if args.token_file else ""

    def announce(address: str) -> None:
        # A token that somebody keeps in a file doesn't belong into logs.
        print(f"{address.partition('=')[0]}=<the token in {args.token_file}>" if token else address, flush=True)
        say("The console is at this address, which contains its token. To stop it, press Ctrl-C.")

    serve(
        session_of(args),
        port=args.port,
        changes=args.allow_changes,
        address=args.listen,
        token=token,
        announce=announce,
    )
    say("The console has stopped.")
    return 0
