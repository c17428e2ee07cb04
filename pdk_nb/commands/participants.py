"""Many people on one cluster: the instructor's ``participants list`` and ``participants clean``."""

from __future__ import annotations

import argparse
import json

from pdk_nb.commands.common import Options, Subparsers, deletion_flags, may_delete, say, session_of
from pdk_nb.names import Names


def register(commands: Subparsers, options: Options) -> None:
    """Add these commands to the command line."""
    parser = commands.add_parser("participants", help="list the participants on the cluster, or clean up after them")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    parents = [options.state, options.cluster]
    listing = actions.add_parser("list", parents=parents, help="list everybody who has lab resources on the cluster")
    listing.add_argument("--json", action="store_true", help="print one line of JSON")
    listing.set_defaults(handler=command_list, participant="", example="")
    clean = actions.add_parser("clean", parents=parents, help="remove the resources of all or some participants")
    clean.add_argument("names", nargs="*", metavar="PARTICIPANT", help="only these participants (default: everybody)")
    deletion_flags(clean)
    clean.set_defaults(handler=command_clean, participant="", example="")


def command_list(args: argparse.Namespace) -> int:
    """``pdk-nb participants list``."""
    from pdk_nb import participants

    session = session_of(args)
    found = participants.table(session, participants.find(session))
    if args.json:
        columns = [column.lower().replace(" ", "_") for column in found.columns]
        print(json.dumps([dict(zip(columns, row, strict=True)) for row in found.rows]))
    elif len(found):
        print(found)
    else:
        say("No participant has resources on this cluster.")
    return 0


def command_clean(args: argparse.Namespace) -> int:
    """``pdk-nb participants clean``."""
    from pdk_nb import participants

    for name in args.names:
        Names.for_participant(name)
    session = session_of(args)
    plans = participants.plans(session, args.names or participants.find(session))
    if not plans:
        say("No participant has resources on this cluster.")
        return 0
    for name, plan in plans.items():
        print(f"{name}\n{plan}\n")
    if not may_delete(args, "participants clean"):
        return 0 if args.dry_run else 1
    participants.clean(session, plans, progress=say)
    say("Done.")
    return 0
