"""Completion of commands, options, and paths in bash, zsh, and fish, by argcomplete."""

from __future__ import annotations

import argparse
import os

from pdk_nb.commands.common import Options, Subparsers

SHELLS = ("bash", "zsh", "fish")
# The variable with which argcomplete's shell functions ask a program for completions.
ASKED_VARIABLE = "_ARGCOMPLETE"


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    completion = commands.add_parser("completion", help='print shell completion: eval "$(pdk-nb completion bash)"')
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(handler=command_completion)


def command_completion(args: argparse.Namespace) -> int:
    """``pdk-nb completion``."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["pdk-nb"], shell=args.shell))
    return 0


def asked() -> bool:
    """Whether the shell asks for completions of a command line."""
    return ASKED_VARIABLE in os.environ


def answer(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and exit.

    Args:
        parser: The whole command line.
    """
    import argcomplete

    argcomplete.autocomplete(parser)
