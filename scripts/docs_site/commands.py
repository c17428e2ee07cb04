"""The reference of the command line, from its parser."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pdk_nb.cli import SECTIONS, build_parser

# The width of usage lines: what fits beside the navigation.
COLUMNS = "88"


@contextmanager
def _fixed_width() -> Iterator[None]:
    """argparse takes the width from the terminal; a page has one width on every machine."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def subcommands(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Subcommands of a parser by name, with their help."""
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help or "" for each in action._get_subactions()}
            found |= {name: (each, helps.get(name, "")) for name, each in action.choices.items()}
    return found


def cell(text: str) -> str:
    """A text in a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("\n", " ")


def _flags(action: argparse.Action) -> str:
    """How an argument is written."""
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`" if not action.choices else f"`{{{','.join(action.choices)}}}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"`{flag}{value}`" for flag in action.option_strings)


def _section(name: str, parser: argparse.ArgumentParser, said: str, level: int) -> list[str]:
    lines = [f"{'#' * level} {name}", "", f"{said[:1].upper()}{said[1:]}" if said else "", ""]
    children = subcommands(parser)
    if not children:
        usage = parser.format_usage().removeprefix("usage: ").rstrip()
        # Continuation lines are aligned with the text after "usage: ".
        lines += ["```text", usage.replace("\n       ", "\n"), "```", ""]
    rows = []
    formatter = parser._get_formatter()
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)) or action.help == argparse.SUPPRESS:
            continue
        text = formatter._expand_help(action) if action.help else ""
        rows.append(f"| {_flags(action)} | {cell(text)} |")
    if rows:
        lines += ["| argument | meaning |", "|---|---|", *rows, ""]
    for child, (each, said_of_child) in children.items():
        lines += _section(f"{name} {child}", each, said_of_child, level + 1)
    return lines


def page() -> str:
    """The page, as Markdown."""
    with _fixed_width():
        parser = build_parser()
        known = subcommands(parser)
        lines = [
            "# Command line",
            "",
            "All commands of `pdk-nb`, from its own parser. `pdk-nb COMMAND --help` shows the same text in a terminal.",
            "",
            "| exit status | meaning |",
            "|---|---|",
            "| 0 | success |",
            "| 1 | failure; the message says what happened, where, and what to do next |",
            "| 2 | wrong usage |",
            "| 3 | `pdk-nb status`: the embedded stack isn't ready |",
            "",
        ]
        for title, names in SECTIONS.items():
            lines += [f"## {title[:1].upper()}{title[1:]}", ""]
            for name in names:
                if name in known:
                    lines += _section(f"pdk-nb {name}", *known[name], level=3)
    return "\n".join(lines)
