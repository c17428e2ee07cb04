"""The command line ``pdk-nb``. Importing it stays cheap: every command imports what it needs."""

from __future__ import annotations

import argparse
import os
import sys

from pdk_nb import __version__
from pdk_nb.commands import (
    app,
    cluster,
    completion,
    config,
    doctor,
    experiment,
    gallery,
    images,
    lab,
    lineage,
    new,
    participants,
    plugin,
    predictions,
    specs,
    storage,
    tensorboard,
    ui,
    walkthrough,
)
from pdk_nb.commands.common import say, shared_options
from pdk_shared.errors import PdkError

# In the order of the help page: each module adds its commands.
GROUPS = (
    cluster,
    config,
    doctor,
    lab,
    walkthrough,
    participants,
    predictions,
    app,
    lineage,
    experiment,
    new,
    tensorboard,
    ui,
    gallery,
    specs,
    images,
    storage,
    completion,
)


# The help page lists the commands by what they are for.
SECTIONS = {
    "embedded stack": ("up", "down", "status", "env"),
    "walkthrough": ("lab", "run", "reset", "gallery", "participants"),
    "model and service": ("predict", "img2json", "app", "lineage", "experiment", "new", "tensorboard", "ui"),
    "cluster": ("cluster", "config", "doctor", "specs", "images", "storage"),
    "shell": ("completion",),
}


class SectionedParser(argparse.ArgumentParser):
    """A parser whose help page lists its commands in :data:`SECTIONS`."""

    def format_help(self) -> str:
        """The help page."""
        subparsers = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        commands = {each.dest: each for action in subparsers for each in action._get_subactions()}
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        for title, names in SECTIONS.items():
            formatter.start_section(title)
            formatter.add_arguments([commands[name] for name in names if name in commands])
            formatter.end_section()
        formatter.start_section("options")
        formatter.add_arguments([action for action in self._actions if action not in subparsers])
        formatter.end_section()
        return formatter.format_help()


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = SectionedParser(
        prog="pdk-nb", description="PDK Lab: Pachyderm, Determined, and KServe from Jupyter notebooks."
    )
    parser.add_argument("--version", action="version", version=f"pdk-nb {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=argparse.ArgumentParser
    )
    options = shared_options()
    stack = plugin.installed()
    if stack is not None:
        stack.register(commands, options.state)
    for group in GROUPS:
        group.register(commands, options)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 success, 1 failure, 2 wrong usage, 3 the stack isn't ready (``status``).
    """
    parser = build_parser()
    if completion.asked():
        completion.answer(parser)
    if argv == [] or (argv is None and len(sys.argv) == 1):
        parser.print_help()
        return 0
    args = parser.parse_args(argv)
    try:
        return int(args.handler(args) or 0)
    except PdkError as error:
        say(f"pdk-nb {args.command}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    except BrokenPipeError:
        # The reader of our output has exited, so nobody can see a message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
