"""``pdk-nb app``: the panel as a page of its own."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.axe import violations
from tests.browser.conftest import Served
from tests.browser.pictures import noise_bmp
from tests.browser.test_panel import PICTURES, choose, contrast, said, settled

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
OPEN_MS = 120_000


def open_panel(page: Page, address: str) -> Locator:
    # The page is complete when its kernel has run.
    page.goto(address, timeout=OPEN_MS)
    panel = page.locator(".pdk-panel")
    panel.locator(".pdk-choose").wait_for(timeout=OPEN_MS)
    settled(panel)
    return panel


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_gets_its_label(
    walked: Callable[[str], Any], app: Served, page: Page, shot: Callable[[Any, str], None], theme: str
) -> None:
    walked("04")
    panel = open_panel(page, f"{app.url}&theme={theme}")
    choose(panel, PICTURES / "cat.1003.jpg")
    said(panel, r"^cat\.1003\.jpg: (dog|cat) \d+\.\d%")
    assert contrast(panel.locator(".pdk-hint")) >= 4.5
    assert contrast(panel.locator(".pdk-facts").first) >= 4.5
    shot(page, f"app-{theme}")
    panel.locator("summary").first.click()
    assert not violations(page)
    panel.locator(".pdk-all").click()
    said(panel, "6 of 6 pictures answered")
    shot(panel, f"app-{theme}-batch")
    assert not violations(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1600])
def test_it_fits_a_phone_and_a_large_screen(
    walked: Callable[[str], Any], app: Served, page: Page, shot: Callable[[Any, str], None], theme: str, width: int
) -> None:
    walked("04")
    page.set_viewport_size({"width": width, "height": 900})
    panel = open_panel(page, f"{app.url}&theme={theme}")
    panel.locator(".pdk-all").click()
    said(panel, "6 of 6 pictures answered")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not violations(page)
    page.set_viewport_size({"width": width, "height": 2600 if width < 500 else 1500})
    shot(page, f"app-{theme}-{width}")


def test_fifty_megabytes_arrive(walked: Callable[[str], Any], app: Served, page: Page, tmp_path: Path) -> None:
    walked("04")
    panel = open_panel(page, app.url)
    choose(panel, noise_bmp(tmp_path / "dog.49.bmp", 49))
    said(panel, r"^dog\.49\.bmp: (dog|cat) \d+\.\d%")


def test_nothing_is_shown_without_the_token(app: Served, page: Page) -> None:
    for address in (app.base, f"{app.base}?token=guessed"):
        page.goto(address)
        assert "/login" in page.url
        assert page.locator(".pdk-panel").count() == 0
    assert status(f"{app.base}api/kernels/12345678-1234-1234-1234-123456789012") == 403
    assert status(app.url, Host="elsewhere.example") == 403


def status(address: str, **headers: str) -> int:
    """The status of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_ctrl_c_ends_it(stack: dict[str, str], page: Page) -> None:
    app = Served("app", stack["kubeconfig"], "--no-browser")
    try:
        open_panel(page, app.url)
        app.process.send_signal(signal.SIGINT)
        _, errors = app.process.communicate(timeout=60)
    finally:
        app.stop()
    assert app.process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "The app has stopped." in errors
