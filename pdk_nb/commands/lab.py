"""``lab``: JupyterLab on copies of the notebooks."""

from __future__ import annotations

import argparse
import os
import sys
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
    lab.add_argument(
        "--with-pachyderm-extension",
        action="store_true",
        help="with Pachyderm's own JupyterLab extension, installed into an environment of its own the first time",
    )
    lab.set_defaults(handler=command_lab)


def command_lab(args: argparse.Namespace) -> int:
    """``pdk-nb lab``."""
    from pdk_nb.names import EXAMPLE_VARIABLE, PARTICIPANT_VARIABLE, Names
    from pdk_nb.workbench import open_jupyter, update_copies
    from pdk_shared.checkout import find_checkout

    checkout = find_checkout()
    work = Path(args.work).expanduser() if args.work else checkout / "work"
    for line in update_copies(checkout / "notebooks", work):
        say(line)
    say(f"Your copies of the notebooks are in {work}")
    if args.only_copy:
        return 0
    names = Names.chosen(args.participant, args.example)
    known = {
        "KUBECONFIG": kubeconfig_of(args),
        PARTICIPANT_VARIABLE: names.participant,
        EXAMPLE_VARIABLE: names.example,
    }
    environment = {name: value for name, value in known.items() if value}
    python = _pachyderm_extension(args, environment) if args.with_pachyderm_extension else sys.executable
    return open_jupyter(work, environment, port=args.port, open_browser=not args.no_browser, python=python)


def _pachyderm_extension(args: argparse.Namespace, environment: dict[str, str]) -> str:
    """Make ready for Pachyderm's extension; returns the Python that has it."""
    from pdk_nb import pachyderm_workbench
    from pdk_nb.settings import load

    place = pachyderm_workbench.folder()
    settings = load(environment.get("KUBECONFIG"), args.namespace)
    python = pachyderm_workbench.prepare(place, say)
    environment |= pachyderm_workbench.environment_for(place, settings, os.environ)
    return str(python)
