"""The gallery in a browser without internet: every page opens from the index, and nothing is asked from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pdk_nb.run.html_export import export_gallery
from tests.browser.axe import violations
from tests.browser.conftest import Walker
from tests.lab.test_pages import run  # noqa: F401 (executed notebooks, as a fixture)

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

# Light or dark enough for a ground, by the sum of its red, green, and blue.
GROUND = """() => getComputedStyle(document.body).backgroundColor
    .match(/[\\d.]+/g).slice(0, 3).reduce((sum, each) => sum + Number(each), 0)"""


def test_every_page_opens_from_the_index(context: BrowserContext, run: Path, tmp_path: Path) -> None:  # noqa: F811
    index = export_gallery(run, tmp_path / "gallery")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(index.as_uri())
    assert page.title() == "PDK Lab: the walkthrough"
    for title in page.locator("h2 a").all_inner_texts():
        page.get_by_role("link", name=title).click()
        assert page.title() == title
        pictures = page.locator("img")
        assert pictures.count() == 2
        for number in range(pictures.count()):
            assert pictures.nth(number).get_attribute("alt")
            assert pictures.nth(number).evaluate("picture => picture.naturalWidth") > 0
        assert page.locator("svg[role=img]").count() == 1
        page.get_by_role("link", name="All notebooks").click()
    assert not problems


@pytest.mark.browser
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages_of_the_notebooks(
    walked: Walker, page: Page, tmp_path: Path, shot: Callable[[Any, str], None], scheme: str
) -> None:
    walked("05")
    index = export_gallery(walked.executed, tmp_path / "gallery")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for path in sorted(index.parent.glob("*.html")):
        page.goto(path.as_uri())
        shot(page, f"gallery-{path.stem}-{scheme}")
        assert (page.evaluate(GROUND) > 382) is (scheme == "light"), path.name
        assert not violations(page), path.name


def test_axe_finds_what_is_wrong(page: Page) -> None:
    page.set_content("<main><h1>A page</h1><img src='data:,'><p id='x' style='color:#bbb'>pale</p></main>")
    found = violations(page)
    assert any(each.startswith("image-alt") for each in found), found
    assert any(each.startswith("color-contrast") for each in found), found
    assert [each.split()[0] for each in violations(page, "#x")] == ["color-contrast"]
