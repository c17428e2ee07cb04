"""``app``: the prediction panel as a page of its own."""

from __future__ import annotations

import argparse

from pdk_nb.commands.common import Options, Subparsers, kubeconfig_of, say, session_of


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    app = commands.add_parser(
        "app",
        parents=[options.state, options.cluster, options.person],
        help="the prediction panel as a page in the browser",
    )
    app.add_argument("--port", type=int, default=0, metavar="N", help="port on 127.0.0.1 (default: any free port)")
    app.add_argument("--theme", choices=("light", "dark"), default="light", help="color theme of the page")
    app.add_argument("--no-browser", action="store_true", help="only print the address")
    app.set_defaults(handler=command_app)


def command_app(args: argparse.Namespace) -> int:
    """``pdk-nb app``."""
    from pdk_nb.app import NAMESPACE_VARIABLE
    from pdk_nb.app.server import serve
    from pdk_nb.names import EXAMPLE_VARIABLE, PARTICIPANT_VARIABLE

    # Report problems with the cluster's settings here rather than in the page.
    session = session_of(args)

    def announce(address: str) -> None:
        print(address, flush=True)
        say("The prediction panel is at this address, which contains its token. To stop it, press Ctrl-C.")

    kernel = {
        "KUBECONFIG": kubeconfig_of(args),
        NAMESPACE_VARIABLE: args.namespace,
        PARTICIPANT_VARIABLE: session.names.participant,
        EXAMPLE_VARIABLE: session.names.example,
    }
    serve(kernel, port=args.port, theme=args.theme, open_browser=not args.no_browser, announce=announce)
    say("The app has stopped.")
    return 0
