"""``lineage``: trace an answer back to the exact pictures and code."""

from __future__ import annotations

import argparse
import json

from pdk_nb.commands.common import Options, Subparsers, say, session_of


def register(commands: Subparsers, options: Options) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "lineage",
        parents=[options.state, options.cluster, options.person],
        help="trace a model from its pictures and code to the service",
    )
    parser.add_argument(
        "id",
        nargs="?",
        default="",
        metavar="ID",
        help="commit, version, or checkpoint id, or registry number (default: the served model)",
    )
    parser.add_argument("--service", default="", help="InferenceService (default: the lab's own)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--svg", action="store_true", help="print a diagram as SVG")
    parser.set_defaults(handler=command_lineage)


def command_lineage(args: argparse.Namespace) -> int:
    """``pdk-nb lineage``; the exit code is 1 when a link is missing."""
    from pdk_nb.journey.lineage import trace

    lineage = trace(session_of(args), args.id, service=args.service)
    if args.json:
        print(json.dumps(lineage.as_dict(), indent=2))
    elif args.svg:
        print(lineage.draw().svg())
    else:
        print(lineage.table())
    for each in lineage.missing:
        say(f"missing: {each}")
    return 0 if lineage.whole else 1
