"""``lab``: JupyterLab on copies of the notebooks, with the embedded stack where there is no other cluster."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pdk_nb.commands import plugin
from pdk_nb.commands.common import Options, Subparsers, kubeconfig_of, say
from pdk_nb.example import DEFAULT, find
from pdk_shared.errors import SettingsError, UsageError

# Without a checkout: below the folder that one stands in.
OWN_FOLDER = "pdk-lab"


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    lab = commands.add_parser(
        "lab",
        parents=[options.state, options.cluster, options.person],
        help="JupyterLab on copies of the notebooks, which git never touches",
    )
    lab.add_argument("--work", metavar="DIR", default="", help="folder of the copies (default: work/ of the checkout)")
    lab.add_argument(
        "--dir",
        metavar="FOLDER",
        default="",
        help=f"copy the examples, sample data, and images' code too, into FOLDER (default without a checkout: "
        f"the lab's folder that you are in, or {OWN_FOLDER}/)",
    )
    lab.add_argument("--port", type=int, default=0, metavar="N", help="port on 127.0.0.1 (default: 8888 or the next)")
    lab.add_argument("--no-browser", action="store_true", help="only print the address")
    lab.add_argument("--only-copy", action="store_true", help="make or update the copies, and open nothing")
    lab.add_argument(
        "--with-stack",
        action="store_true",
        help="use the embedded stack; start it if needed, then stop it (default where there is no other cluster)",
    )
    lab.add_argument(
        "--with-pachyderm-extension",
        action="store_true",
        help="with Pachyderm's own JupyterLab extension, installed into an environment of its own the first time",
    )
    lab.set_defaults(handler=command_lab)


def command_lab(args: argparse.Namespace) -> int:
    """``pdk-nb lab``."""
    from pdk_nb.names import EXAMPLE_VARIABLE, PARTICIPANT_VARIABLE, Names
    from pdk_nb.workbench import START, open_jupyter

    if args.with_stack and args.kubeconfig:
        raise UsageError("You can't use --with-stack with --kubeconfig.", where="pdk-nb lab")
    root, notebooks = _copies(args, Names.chosen(example=args.example).example)
    say(f"Your copies of the notebooks are in {root / notebooks}")
    if args.only_copy:
        return 0
    names = Names.chosen(args.participant, args.example)
    known = {PARTICIPANT_VARIABLE: names.participant, EXAMPLE_VARIABLE: names.example}
    environment = {name: value for name, value in known.items() if value}
    with _cluster(args, root) as connection:
        environment |= connection
        python = _pachyderm_extension(args, environment) if args.with_pachyderm_extension else sys.executable
        start = (notebooks / START).as_posix()
        browser = not args.no_browser
        return open_jupyter(root, environment, port=args.port, open_browser=browser, python=python, start=start)


def _copies(args: argparse.Namespace, example: str) -> tuple[Path, Path]:
    """Make or update the person's copies; returns the folder that JupyterLab opens, and the notebooks' one in it.

    Raises:
        UsageError: The folder can't be used.
    """
    from pdk_nb.workbench import is_copy, update_folder
    from pdk_shared.checkout import find_checkout, find_source, shipped

    try:
        checkout: Path | None = find_source()
    except UsageError:
        checkout = None
    if args.dir and args.work:
        raise UsageError("--dir and --work are both given.", where="pdk-nb lab", fix="Give one of them.")
    if args.work or (checkout and not args.dir):
        source = checkout or shipped()
        root, notebooks = Path(args.work).expanduser() if args.work else source / "work", Path()
        if example != DEFAULT:
            root = root if args.work else root / example
        told = _copy_notebooks(source / "notebooks", root, example)
    else:
        here = find_checkout()
        root = Path(args.dir).expanduser() if args.dir else here if is_copy(here) else Path(OWN_FOLDER)
        root, notebooks = root.resolve(), Path("notebooks")
        told = update_folder(shipped(), root)
        if example != DEFAULT:
            notebooks = Path(f"notebooks-{example}")
            told += _copy_notebooks(root / "notebooks", root / notebooks, example)
    for line in told:
        say(line)
    return root, notebooks


def _copy_notebooks(source: Path, work: Path, example: str) -> list[str]:
    """Make or update copies of an example's notebooks; what to tell the person about them."""
    from pdk_nb.tasks.notebooks import write
    from pdk_nb.workbench import update_copies

    with tempfile.TemporaryDirectory(prefix="pdk-notebooks-") as scratch:
        return update_copies(write(source, Path(scratch), find(example)), work)


@contextlib.contextmanager
def _cluster(args: argparse.Namespace, root: Path) -> Iterator[dict[str, str]]:
    """The variables of the cluster to use; the embedded stack runs inside if there is no other cluster.

    Args:
        args: The command line.
        root: The person's folder; the stack runs the examples and the images' code of this folder.
    """
    from pdk_shared.checkout import find_checkout

    if not args.with_stack:
        try:
            kubeconfig = kubeconfig_of(args)
        except SettingsError:
            if args.kubeconfig or os.environ.get("KUBECONFIG"):
                raise  # what a person named is wrong
        else:
            # Empty in a pod, which uses its service account.
            yield {"KUBECONFIG": kubeconfig} if kubeconfig else {}
            return
    if not args.with_stack and plugin.installed() is None:
        say("There is no cluster yet: set KUBECONFIG or give --kubeconfig.")
        say("  For an embedded stack on this machine: pip install 'pdk-lab[laptop]'")
        yield {}
        return
    say("Starting the embedded stack ...")
    stack = plugin.require()
    _, started = stack.up(args.state_dir, say, find_checkout(root))
    say(stack.stand_in)
    try:
        yield stack.environment(args.state_dir)
    finally:
        if started:
            stack.down(args.state_dir, say)


def _pachyderm_extension(args: argparse.Namespace, environment: dict[str, str]) -> str:
    """Make ready for Pachyderm's extension; returns the Python that has it."""
    from pdk_nb import pachyderm_workbench
    from pdk_nb.settings import load

    place = pachyderm_workbench.folder()
    settings = load(environment.get("KUBECONFIG"), args.namespace)
    python = pachyderm_workbench.prepare(place, say)
    environment |= pachyderm_workbench.environment_for(place, settings, os.environ)
    return str(python)
