"""``pdk-nb experiment``: the example's experiment as a folder for Determined's own command line."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from pdk_nb.commands.common import Options, Subparsers, say, session_of
from pdk_shared.errors import UsageError


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    parser = commands.add_parser(
        "experiment",
        parents=[options.state, options.cluster, options.person],
        help="write the example's experiment to a folder, ready for det experiment create",
    )
    parser.add_argument("folder", type=Path, help="folder to create")
    parser.add_argument("--pictures", default="", metavar="P", help="folder or zip file (default: the sample data)")
    parser.add_argument("--trials", type=int, default=8, metavar="N", help="number of learning rates in search.yaml")
    parser.add_argument("--profile", default="auto", help="cpu, gpu, or small (default: by the resource pool)")
    parser.set_defaults(handler=command_experiment)


def command_experiment(args: argparse.Namespace) -> int:
    """``pdk-nb experiment``."""
    from pdk_nb import standalone_experiment

    if args.trials < 1:
        raise UsageError(f"A search needs at least one trial, not {args.trials}.", where="--trials")
    standalone_experiment.write(session_of(args), args.folder, args.pictures, args.trials, args.profile)
    print(args.folder)
    say(
        f"Next: cd {shlex.quote(str(args.folder))}\n"
        "      det experiment create const.yaml . -f     one trial\n"
        f"      det experiment create search.yaml . -f    {args.trials} learning rates"
    )
    return 0
