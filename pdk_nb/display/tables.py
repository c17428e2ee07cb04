"""Tables and notes for notebooks, exported pages, and terminals."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any


def _readable(colour: str) -> str:
    """A color mixed with the text color, so that it's readable on light and dark pages."""
    return f"color-mix(in srgb, {colour} 75%, var(--jp-ui-font-color1, currentColor))"


# Okabe and Ito's, a little darker: people with color blindness can tell them apart. Every state also has a word.
GOOD, BAD, OPEN = _readable("#00795c"), _readable("#b34700"), _readable("#0b62a4")
STATE_COLOURS = {
    **dict.fromkeys(("ok", "ready", "success", "true"), GOOD),
    **dict.fromkeys(("missing", "wrong", "broken", "failure", "false"), BAD),
    **dict.fromkeys(("not yet", "warning", "running", "the id", "hint", "solution"), OPEN),
}
STYLE = (
    "border-collapse:collapse;margin:0.5em 0;font-variant-numeric:tabular-nums;font-size:0.95em;"
    "font-family:system-ui,-apple-system,'Segoe UI',sans-serif"
)


def _adapted(colour: str) -> str:
    """A color mixed with the surrounding text color: darker on light pages, lighter on dark ones."""
    return f"color-mix(in srgb, {colour} 70%, currentColor)"


def _ink(colour: str) -> str:
    """Style of colored text; browsers that can't mix colors show the plain color."""
    return f"color:{colour};color:{_adapted(colour)}"


class Table:
    """Rows with named columns; HTML in a notebook and text elsewhere.

    Args:
        columns: Column headings.
        rows: Cells, one sequence for each row, as long as ``columns``.
        caption: One line above the table.
    """

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> None:
        self.columns = list(columns)
        self.rows = [[_text(cell) for cell in row] for row in rows]
        self.caption = caption

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        table = [[column.upper() for column in self.columns], *self.rows]
        widths = [max(len(row[index]) for row in table) for index in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([self.caption, *lines] if self.caption else lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cell = "padding:0.25em 0.9em 0.25em 0;text-align:left;vertical-align:top;border-bottom:1px solid #8884"
        head = "".join(f'<th scope="col" style="{cell}">{html.escape(each)}</th>' for each in self.columns)
        body = "".join(
            "<tr>" + "".join(f'<td style="{cell}">{_cell(each)}</td>' for each in row) + "</tr>" for row in self.rows
        )
        caption = ""
        if self.caption:
            style = "text-align:left;font-weight:600;padding-bottom:0.3em"
            caption = f'<caption style="{style}">{html.escape(self.caption)}</caption>'
        return f'<table style="{STYLE}">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


class Markup:
    """HTML in a notebook, and equivalent text elsewhere.

    Args:
        content: HTML.
        text: Equivalent text.
    """

    def __init__(self, content: str, text: str) -> None:
        self.content = content
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.content


class Note:
    """One sentence with a state (``ok``, ``not yet``, or ``wrong``) and the next action.

    Args:
        state: The state.
        text: The sentence.
        fix: The next action; empty when there is none.
    """

    def __init__(self, state: str, text: str, fix: str = "") -> None:
        self.state = state
        self.text = text
        self.fix = fix

    def __str__(self) -> str:
        return f"[{self.state}] {self.text}" + (f"\n         what to do: {self.fix}" if self.fix else "")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour = STATE_COLOURS.get(self.state, "#666")
        fix = f'<br><span style="opacity:0.85">What to do: {html.escape(self.fix)}</span>' if self.fix else ""
        return (
            f'<div style="border-left:4px solid {colour};border-color:{_adapted(colour)};padding:0.3em 0.8em;'
            'margin:0.3em 0;white-space:pre-wrap">'
            f'<b style="{_ink(colour)}">{html.escape(self.state)}</b> &ensp;{html.escape(self.text)}{fix}</div>'
        )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def _cell(text: str) -> str:
    colour = STATE_COLOURS.get(text.lower())
    escaped = html.escape(text)
    return f'<b style="{_ink(colour)}">{escaped}</b>' if colour else escaped
