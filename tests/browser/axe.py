"""axe-core on pages: what keeps people with a screen reader, a keyboard, or low vision from using them.

https://github.com/dequelabs/axe-core: its rules are those of WCAG 2 (A and AA) and its own best practices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: What the lab shows in JupyterLab: outputs of cells, and text. JupyterLab's frame around them (menus, tabs, cells,
#: editors) has violations of its own, which only JupyterLab can fix.
OUTPUTS = (".jp-OutputArea-output", ".jp-MarkdownOutput")
#: A part of a page needn't have the landmarks and the first heading of a whole one.
OF_PAGES = ("region", "page-has-heading-one", "landmark-one-main", "heading-order")


def violations(page: Page, *parts: str) -> list[str]:
    """What axe finds, one line for each element.

    Args:
        page: An open page.
        parts: Selectors of the parts to look at, of which each must be there; the whole page when there is none.
    """
    context: Any = {"include": [[each] for each in parts]} if parts else None
    rules = {rule: {"enabled": False} for rule in OF_PAGES} if parts else {}
    found = Axe().run(page, context, {"resultTypes": ["violations"], "rules": rules})
    return [
        f"{each['id']} ({each['impact']}): {node['target']} {node['html'][:160]}: {_why(node)}"
        for each in found.response["violations"]
        for node in each["nodes"]
    ]


def _why(node: dict[str, Any]) -> str:
    checks = [*node["any"], *node["all"], *node["none"]]
    return "; ".join(str(each["message"]) for each in checks)
