"""Contact sheets: many small pictures in groups, those that matter in a frame."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pdk_nb.display.tables import BAD, Markup
from pdk_nb.photos import thumbnail

__all__ = ["Group", "Shot", "contact_sheet"]

SIDE = 88


@dataclass(frozen=True)
class Shot:
    """One picture of a sheet.

    Attributes:
        picture: The picture's file.
        text: The line below it.
        marked: Whether it has a frame and a cross, for wrong answers.
    """

    picture: Path
    text: str
    marked: bool = False


@dataclass(frozen=True)
class Group:
    """Pictures that belong together.

    Attributes:
        title: The line above them.
        shots: The pictures.
    """

    title: str
    shots: tuple[Shot, ...]


def contact_sheet(groups: Sequence[Group], caption: str) -> Markup:
    """Small pictures in groups; as text, a line for each group and each marked picture.

    Args:
        groups: The groups, in order.
        caption: One line above all.
    """
    parts = [f'<p style="margin:0.5em 0"><strong>{html.escape(caption)}</strong></p>']
    lines = [caption]
    for group in groups:
        figures = "".join(_figure(shot) for shot in group.shots)
        parts.append(
            f'<p style="margin:0.8em 0 0.2em">{html.escape(group.title)}</p>'
            f'<div style="display:flex;flex-wrap:wrap;gap:6px">{figures}</div>'
        )
        lines.append(f"  {group.title}")
        lines += [f"    ✗ {shot.picture.name}: {shot.text}" for shot in group.shots if shot.marked]
    return Markup(f'<div style="font-family:system-ui,sans-serif">{"".join(parts)}</div>', "\n".join(lines))


def _figure(shot: Shot) -> str:
    name = html.escape(shot.picture.name)
    frame = f"outline:3px solid {BAD};outline-offset:-3px" if shot.marked else ""
    mark, ink = ("✗ ", f";color:{BAD};font-weight:600") if shot.marked else ("", "")
    style = f"width:{SIDE}px;height:{SIDE}px;object-fit:cover;border-radius:4px;margin:0;{frame}"
    return (
        f'<figure style="margin:0;width:{SIDE}px">'
        f'<img src="{thumbnail(shot.picture, SIDE)}" alt="{name}" title="{name}" style="{style}">'
        f'<figcaption style="font-size:0.78em;line-height:1.2{ink}">{mark}{html.escape(shot.text)}</figcaption>'
        "</figure>"
    )
