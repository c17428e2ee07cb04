"""Styles: one style sheet for the widgets and for the output in a saved notebook."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path

from pdk_nb.display.tables import Markup

SHEET = Path(__file__).with_name("panel.css")


@cache
def style_element() -> str:
    """The style sheet as an element, for standalone HTML."""
    return f"<style>{SHEET.read_text()}</style>"


def escape(text: object) -> str:
    """Escape text for HTML. Names and labels come from files and models, so all text passes here."""
    return html.escape(str(text), quote=True)


class Html(Markup):
    """HTML that includes the panel's style sheet when it's displayed alone."""

    def _repr_html_(self) -> str:
        return f'{style_element()}<div class="pdk-view">{self.content}</div>'
