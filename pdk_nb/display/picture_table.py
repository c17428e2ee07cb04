"""A table whose rows begin with a small picture, and may have a share as a bar."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from pdk_nb.display.progress import BAR_COLOUR
from pdk_nb.display.tables import STYLE, Markup, Table
from pdk_nb.photos import thumbnail
from pdk_shared.errors import DataError

__all__ = ["PictureRow", "picture_table"]

SIDE = 56
CELL = "padding:0.25em 0.9em 0.25em 0;text-align:left;vertical-align:middle;border-bottom:1px solid #8884"


@dataclass(frozen=True)
class PictureRow:
    """One row.

    Attributes:
        picture: The picture's bytes; a dash is shown if they are no picture.
        name: Its name, the second column.
        share: A share from 0 to 1, the third column; None for an empty cell.
        cells: The other columns.
    """

    picture: bytes
    name: str
    share: float | None
    cells: Sequence[str]


def picture_table(columns: Sequence[str], rows: Sequence[PictureRow], caption: str) -> Markup:
    """A table with pictures in a notebook, and without them as text.

    Args:
        columns: Headings of the name, the share, and the other columns.
        rows: The rows.
        caption: One line above the table.
    """
    # A heading without words would say nothing to a screen reader; the pictures have their own.
    headings = "".join(f'<th scope="col" style="{CELL}">{html.escape(each)}</th>' for each in columns)
    head = f'<td style="{CELL}"></td>{headings}'
    body = "".join(f"<tr>{_picture(row)}{_cells(row)}</tr>" for row in rows)
    said = html.escape(caption)
    page = (
        f'<table style="{STYLE}"><caption style="text-align:left;font-weight:600;padding-bottom:0.3em">{said}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
    text = Table(columns, [(row.name, _percent(row.share), *row.cells) for row in rows], caption)
    return Markup(page, str(text))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _picture(row: PictureRow) -> str:
    try:
        source = thumbnail(row.picture, 2 * SIDE)
    except DataError:
        return f'<td style="{CELL}"><span title="no picture">–</span></td>'
    style = f"width:{SIDE}px;height:{SIDE}px;object-fit:cover;border-radius:4px;margin:0"
    return f'<td style="{CELL}"><img src="{source}" alt="{html.escape(row.name)}" style="{style}"></td>'


def _cells(row: PictureRow) -> str:
    bar = ""
    if row.share is not None:
        filled = f"height:100%;border-radius:3px;background:{BAR_COLOUR};width:{100 * row.share:.1f}%"
        bar = (
            f"{_percent(row.share)}"
            '<div style="height:5px;width:7em;border-radius:3px;background:#8883;margin-top:3px">'
            f'<div style="{filled}"></div></div>'
        )
    others = "".join(f'<td style="{CELL}">{html.escape(each)}</td>' for each in row.cells)
    return f'<td style="{CELL}">{html.escape(row.name)}</td><td style="{CELL}">{bar}</td>{others}'
