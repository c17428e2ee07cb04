"""``pdk-nb ui``: the console's pages, in both color schemes and on a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.axe import violations
from tests.browser.conftest import Served

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def console(stack: dict[str, str], walked: Callable[[str], Any]) -> Iterator[str]:
    """Its address, once the notebooks have deployed a model."""
    walked("04")
    started = Served("ui", stack["kubeconfig"])
    yield started.url
    started.stop()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_its_pages(
    console: str, page: Page, shot: Callable[[Any, str], None], scheme: str, width: int
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(console)
    names = page.get_by_role("navigation", name="Pages").get_by_role("link").all_inner_texts()
    assert {"Flow", "Journey"} <= set(names)
    for name in names:
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
        page.get_by_role("heading", level=1).wait_for()
        shot(page, f"console-{name.lower()}-{scheme}-{width}")
        assert not violations(page), name
        # Only pictures and tables scroll sideways, not the page.
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1600, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages_behind_them(
    console: str, page: Page, shot: Callable[[Any, str], None], scheme: str, width: int
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(console)
    base = console.partition("/?")[0]
    here = page.get_by_role("main").get_by_role("link")
    behind = {str(each.get_attribute("href")) for each in here.all()}
    # What the stations lead to, and one step further: a folder, changes, and a question to the service.
    commit = next(each for each in behind if each.startswith("/data/"))
    service = next(each for each in behind if each.startswith("/services/"))
    behind |= {f"{commit}?path=data1", commit.replace("/data/", "/changes/"), service.replace("/services/", "/ask/")}
    assert len(behind) >= 8, behind
    for number, address in enumerate(sorted(behind)):
        page.goto(base + address)
        page.get_by_role("heading", level=1).wait_for()
        shot(page, f"console-{number}{address.partition('/')[2].split('/')[0]}-{scheme}-{width}")
        assert not violations(page), address
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
