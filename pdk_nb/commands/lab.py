"""``lab``: JupyterLab on copies of the notebooks."""

from __future__ import annotations

import argparse
from pathlib import Path

from pdk_nb.commands.common import Options, Subparsers, kubeconfig_of, say


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    lab = commands.add_parser(
        "lab",
        parents=[options.state, options.cluster, options.person],
        help="JupyterLab on copies of the notebooks, which git never touches",
    )
    lab.add_argument("--work", metavar="DIR", default="", help="folder of the copies (default: work/ of the checkout)")
    lab.add_argument("--port", type=int, default=0, metavar="N", help="port on 127.0.0.1 (default: 8888 or the next)")
    lab.add_argument("--no-browser", action="store_true", help="only print the address")
    lab.add_argument("--only-copy", action="store_true", help="make or update the copies, and open nothing")
    lab.set_defaults(handler=command_lab)


def command_lab(args: argparse.Namespace) -> int:
    """``pdk-nb lab``."""
    from pdk_nb.names import PARTICIPANT_VARIABLE, Names
    from pdk_nb.workbench import open_jupyter, update_copies
    from pdk_shared.checkout import find_checkout

    checkout = find_checkout()
    work = Path(args.work).expanduser() if args.work else checkout / "work"
    for line in update_copies(checkout / "notebooks", work):
        say(line)
    say(f"Your copies of the notebooks are in {work}")
    if args.only_copy:
        return 0
    known = {"KUBECONFIG": kubeconfig_of(args), PARTICIPANT_VARIABLE: Names.chosen(args.participant).participant}
    environment = {name: value for name, value in known.items() if value}
    return open_jupyter(work, environment, port=args.port, open_browser=not args.no_browser)
