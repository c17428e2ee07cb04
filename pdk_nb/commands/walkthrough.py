"""The walkthrough: ``run`` executes the notebooks, ``reset`` removes what they created."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from pdk_nb.arguments import assignments
from pdk_nb.commands import plugin
from pdk_nb.commands.common import (
    Options,
    Subparsers,
    deletion_flags,
    kubeconfig_of,
    may_delete,
    say,
    session_of,
)
from pdk_nb.example import DEFAULT
from pdk_nb.names import Names
from pdk_shared.errors import UsageError

# Notebook parameters that are paths.
PATHS = ("data1", "data2", "pictures", "upload")


def register(commands: Subparsers, options: Options) -> None:
    """Add these commands to the command line."""
    run = commands.add_parser(
        "run", parents=[options.state, options.cluster, options.person], help="execute the notebooks in order, headless"
    )
    run.add_argument("--from", dest="first", metavar="NN", help="start at notebook NN")
    run.add_argument("--until", metavar="NN", help="stop after notebook NN")
    run.add_argument("--only", metavar="NN", help="run only notebook NN")
    run.add_argument("--electives", action="store_true", help="run the elective notebooks, too (07 and 08)")
    run.add_argument("--clean-up", action="store_true", help="at the end, remove what the run created (notebook 99)")
    run.add_argument("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE", help="set a parameter")
    run.add_argument("--small", action="store_true", help="fewer pictures, shorter training, answers not judged")
    run.add_argument(
        "--with-stack", action="store_true", help="use the embedded stack; start it if needed, then stop it"
    )
    run.add_argument("--notebooks", metavar="DIR", help="folder of the notebooks (default: notebooks/ of the checkout)")
    run.add_argument("--out", metavar="DIR", default="runs", help="folder of the results (default: runs)")
    run.set_defaults(handler=command_run)
    reset = commands.add_parser(
        "reset",
        parents=[options.state, options.cluster, options.person],
        help="remove what the lab created on the cluster",
    )
    deletion_flags(reset)
    reset.set_defaults(handler=command_reset)


def command_run(args: argparse.Namespace) -> int:
    """``pdk-nb run``."""
    from pdk_nb.run.notebooks import CLEAN_UP
    from pdk_nb.run.runner import run
    from pdk_shared.checkout import find_checkout

    if args.with_stack and args.kubeconfig:
        raise UsageError("You can't use --with-stack with --kubeconfig.", where="pdk-nb run")
    parameters = assignments(args.parameters, "-p")
    for name in PATHS:
        # Kernels run in the notebooks' folder, but paths are relative to the user's folder.
        if parameters.get(name):
            path = Path(parameters[name]).expanduser()
            if not path.exists():
                raise UsageError(f"There is no file or folder {path}.", where=f"-p {name}={parameters[name]}")
            parameters[name] = str(path.resolve())
    if args.small:
        parameters.setdefault("small", "true")
    if args.namespace != "default":
        parameters.setdefault("namespace", args.namespace)
    # -p example=... means the same as --example.
    names = Names.chosen(args.participant, args.example or parameters.pop("example", ""))
    parameters.pop("example", None)
    notebooks = Path(args.notebooks) if args.notebooks else find_checkout() / "notebooks"
    started = False
    if args.with_stack:
        say("Starting the embedded stack ...")
        stack = plugin.require()
        kubeconfig, started = stack.up(args.state_dir, say)
        say(stack.stand_in)
    else:
        kubeconfig = kubeconfig_of(args)
        say(f"Using the cluster of {kubeconfig}")
    try:
        result = run(
            notebooks,
            Path(args.out),
            kubeconfig=kubeconfig,
            first=args.first,
            only=args.only,
            until=args.until,
            clean_up=args.clean_up,
            electives=args.electives,
            parameters=parameters,
            participant=names.participant,
            example=names.example,
            progress=say,
            cell_bar=sys.stderr.isatty(),
        )
    finally:
        if started:
            plugin.require().down(args.state_dir, say)
    if result.status == "passed" and result.notebooks[-1].name[:2] != CLEAN_UP:
        flags = (
            ("--state-dir", args.state_dir),
            ("--kubeconfig", args.kubeconfig),
            ("--participant", args.participant),
            ("--example", names.example if names.example != DEFAULT else ""),
        )
        given = [f" {flag} {shlex.quote(value)}" if value else "" for flag, value in flags]
        first = f"pdk-nb up{given[0]}, then " if started else ""
        say(f"What the run created is kept. To remove it: {first}pdk-nb reset{''.join(given)}")
    return 0 if result.status == "passed" else 1


def command_reset(args: argparse.Namespace) -> int:
    """``pdk-nb reset``."""
    from pdk_nb.lessons import n99_clean_up

    session = session_of(args)
    plan = n99_clean_up.make_plan(session)
    if not plan:
        say(str(plan))
        return 0
    print(plan)
    if not may_delete(args, "reset"):
        return 0 if args.dry_run else 1
    n99_clean_up.apply(session, plan)
    say("Done.")
    return 0
