"""The end of the workshop: a second version, compared in the panel, and everything gone again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.axe import violations
from tests.browser.conftest import Walker
from tests.browser.test_notebooks import check
from tests.browser.test_panel import PICTURES, choose, panel, said  # noqa: F401 (a fixture of this file too)

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
TAUGHT_MS = 600_000


def test_the_second_arrival(walked: Callable[[str], list[dict[str, str]]]) -> None:
    check(walked("06"))


def test_two_versions_side_by_side(
    walked: Callable[[str], Any],
    panel: Locator,  # noqa: F811
    shot: Callable[[Any, str], None],
) -> None:
    walked("06")
    # The notebook itself has asked about all samples.
    said(panel, "6 of 6 pictures answered")
    panel.get_by_role("button", name="Look for versions").click()
    said(panel, "1 other version available")
    panel.locator(".pdk-compare-choice select").select_option(index=1)
    said(panel, r"agree on (all )?\d|disagree on \d of 6")
    names = panel.locator(".pdk-versions .pdk-facts").all_inner_texts()
    assert "version 2" in names[0]
    assert "version 1" in names[1]
    shot(panel, "panel-compare")
    assert not violations(panel.page, ".pdk-panel")
    panel.get_by_role("button", name="End the comparison").click()
    said(panel, "The second service is removed")


def test_a_correction_leads_to_the_new_versions_answer(
    panel: Locator,  # noqa: F811
    shot: Callable[[Any, str], None],
) -> None:
    from playwright.sync_api import expect

    choose(panel, sorted(PICTURES.glob("cat*.jpg"))[0])
    said(panel, r"cat\.\d+\.jpg: cat")
    teach = panel.locator(".pdk-teach")
    teach.locator("select").select_option("cat")
    teach.get_by_role("button", name="Put into the tray").click()
    said(panel, "1 picture in the tray")
    shot(panel, "panel-tray")
    teach.get_by_role("button", name="Commit the tray").click()
    expect(panel.locator(".pdk-status")).to_contain_text("1 of 1 corrected picture right", timeout=TAUGHT_MS)
    expect(teach.locator("svg[role=img]").first).to_be_visible()
    expect(teach).to_contain_text("After the training")
    shot(panel, "panel-taught")
    assert not violations(panel.page, ".pdk-panel")


@pytest.mark.parametrize("name", ["07", "08"])
def test_the_electives(walked: Walker, name: str) -> None:
    check(walked(name))
    assert not walked.violations[name]


def test_the_clean_up(walked: Callable[[str], list[dict[str, str]]]) -> None:
    check(walked("99"))
