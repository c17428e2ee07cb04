"""The command line ``pdk-nb``. Importing it stays cheap: every command imports what it needs."""

from __future__ import annotations

import argparse
import os
import sys

from pdk_nb import __version__
from pdk_nb.commands import (
    app,
    config,
    doctor,
    experiment,
    gallery,
    images,
    lineage,
    participants,
    plugin,
    predictions,
    specs,
    storage,
    tensorboard,
    walkthrough,
)
from pdk_nb.commands.common import say, shared_options
from pdk_shared.errors import PdkError

# In the order of the help page: each module adds its commands.
GROUPS = (
    config,
    doctor,
    walkthrough,
    participants,
    predictions,
    app,
    lineage,
    experiment,
    tensorboard,
    gallery,
    specs,
    images,
    storage,
)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="pdk-nb", description="PDK Lab: Pachyderm, Determined, and KServe from Jupyter notebooks."
    )
    parser.add_argument("--version", action="version", version=f"pdk-nb {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
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
    args = build_parser().parse_args(argv)
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
