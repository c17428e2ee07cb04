"""``new``: begin an example of one's own."""

from __future__ import annotations

import argparse

from pdk_nb.commands.common import Options, Subparsers, say

TASK = "tabular"


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    new = commands.add_parser("new", help="begin an example of your own: a copy that works, to change step by step")
    new.add_argument("name", metavar="NAME", help="folder under examples/, and the beginning of its names")
    new.add_argument("--task", default=TASK, metavar="T", help=f"kind of data and of answers (default: {TASK})")
    new.set_defaults(handler=command_new)


def command_new(args: argparse.Namespace) -> int:
    """``pdk-nb new``."""
    from pdk_nb import example as examples
    from pdk_nb import specs
    from pdk_nb.tasks.scaffold import create

    made = create(args.name, args.task, examples.examples_folder())
    specs.write(made.name)
    print(made.folder)
    say(f"Next: git add and commit {made.folder.name}, then pdk-nb run --with-stack --example {made.name}")
    say("What to change, step by step: docs/bring-your-own-model.md")
    return 0
