"""Looks: one style sheet for the widgets and for what stays in a saved notebook."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path

from pdk_nb.display.tables import Markup

SHEET = Path(__file__).with_name("panel.css")


@cache
def style_element() -> str:
    """The style sheet as an element, for HTML that is shown by itself."""
    return f"<style>{SHEET.read_text()}</style>"


def escape(text: object) -> str:
    """Text for HTML; names and labels come from files and models, so everything passes here."""
    return html.escape(str(text), quote=True)


class Html(Markup):
    """Markup that brings the panel's style sheet along when it is shown by itself."""

    def _repr_html_(self) -> str:
        return f'{style_element()}<div class="pdk-view">{self.content}</div>'
