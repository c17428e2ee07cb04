"""The base of all diagrams: an SVG with a title and a description, for notebooks, pages, and files."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["done", "running", "failed", "missing", "waiting"]
# Okabe and Ito's palette ("Color Universal Design", 2008), a little lighter for dark pages.
COLOURS: dict[State, str] = {
    "done": "#009e73",
    "running": "#2b8fd0",
    "failed": "#d55e00",
    "missing": "#d55e00",
    "waiting": "#8a8a8a",
}
# The state's symbol, in a circle with radius 7: color is never the only difference.
SIGNS: dict[State, str] = {
    "done": "M-3.4 0.2L-1 2.8L3.6 -2.6",
    "running": "M-2 -3.4L3.4 0L-2 3.4Z",
    "failed": "M-2.8 -2.8L2.8 2.8M-2.8 2.8L2.8 -2.8",
    "missing": "M-1.9 -1.6A2 2 0 1 1 0 0.6L0 1.4M0 3.2L0 3.8",
    "waiting": "M-3 0L3 0",
}
# Of a drawing inside a page: as wide as there is room, in the page's text color.
INLINE_STYLE = "max-width:100%;height:auto;color:var(--jp-content-font-color1,currentColor)"
# The average width of a letter in a sans-serif font, as a share of the font size.
LETTER = 0.56
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif"


@dataclass(frozen=True)
class Drawing:
    """A finished drawing.

    Attributes:
        body: SVG elements; text and neutral lines are drawn in ``currentColor``.
        width: In pixels.
        height: In pixels.
        description: Alternative text.
        linked: Whether it contains links; without any, it's one picture for a screen reader.
    """

    body: str
    width: float
    height: float
    description: str
    linked: bool = False

    def svg(self) -> str:
        """A separate file, dark on a white card."""
        card = f'<rect width="{self.width:g}" height="{self.height:g}" rx="8" fill="#fff"/>'
        return self._element(' color="#222"', card)

    def _element(self, attributes: str, ground: str = "") -> str:
        said = html.escape(self.description)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" role="{"group" if self.linked else "img"}" aria-label="{said}" '
            f'font-family="{FONT}"{attributes}>'
            f"{ground}{self.body}</svg>"
        )

    def inline(self) -> str:
        """HTML for a page, in the page's text color, which also works in a dark theme."""
        style = f' style="{INLINE_STYLE}"'
        return f"<div>{self._element(style)}</div>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.inline(), "text/plain": self.description}

    def __str__(self) -> str:
        return self.description

    __repr__ = __str__


def text(
    x: float,
    y: float,
    content: str,
    *,
    size: float = 12,
    anchor: str = "middle",
    fill: str = "currentColor",
    bold: bool = False,
    faint: bool = False,
) -> str:
    """One line of text at its baseline."""
    weight = ' font-weight="600"' if bold else ""
    opacity = ' opacity="0.75"' if faint else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size:g}" fill="{fill}"{weight}{opacity}>'
        f"{html.escape(content)}</text>"
    )


def badge(x: float, y: float, state: State) -> str:
    """The symbol of a state in a filled circle."""
    colour, sign = COLOURS[state], SIGNS[state]
    fill = "#fff" if state == "running" else "none"
    return (
        f'<g transform="translate({x:g} {y:g})"><circle r="7" fill="{colour}"/>'
        f'<path d="{sign}" fill="{fill}" stroke="#fff" stroke-width="1.8" stroke-linecap="round" '
        f'stroke-linejoin="round"/></g>'
    )


def shorten(content: str, width: float, size: float = 12) -> str:
    """Text shortened to a width in pixels. The middle is removed, because ids and names differ at both ends."""
    most = max(4, int(width / (LETTER * size)))
    if len(content) <= most:
        return content
    head = (most - 1) * 2 // 3
    return f"{content[:head]}…{content[len(content) - (most - 1 - head) :]}"
