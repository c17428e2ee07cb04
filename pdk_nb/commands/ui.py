"""``ui``: the console, one page for all three platforms."""

from __future__ import annotations

import argparse

from pdk_nb.commands.common import Options, Subparsers, say, session_of


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    ui = commands.add_parser(
        "ui",
        parents=[options.state, options.cluster, options.person],
        help="one live page for all three platforms",
    )
    ui.add_argument("--port", type=int, default=0, metavar="N", help="port on 127.0.0.1 (default: any free port)")
    ui.add_argument(
        "--allow-changes", action="store_true", help="offer actions, such as to stop a job or to promote a version"
    )
    ui.set_defaults(handler=command_ui)


def command_ui(args: argparse.Namespace) -> int:
    """``pdk-nb ui``."""
    from pdk_nb.console.server import serve

    def announce(address: str) -> None:
        print(address, flush=True)
        say("The console is at this address, which contains its token. To stop it, press Ctrl-C.")

    serve(session_of(args), port=args.port, changes=args.allow_changes, announce=announce)
    say("The console has stopped.")
    return 0
