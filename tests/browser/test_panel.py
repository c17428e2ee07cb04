"""The prediction panel in JupyterLab, with a person's means: file chooser, mouse, keyboard, camera."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.axe import violations
from tests.browser.pictures import noise_bmp
from tests.e2e.conftest import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

    from tests.browser.jupyter import JupyterServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
PICTURES = ROOT / "sample-data" / "pred"
ANSWER_MS = 60_000


@pytest.fixture
def panel(walked: Callable[[str], Any], server: JupyterServer, context: BrowserContext) -> Iterator[Locator]:
    """The panel of notebook 05, right after "run all"."""
    from tests.browser.jupyter import open_notebook, run_all, shut_down_kernels

    walked("05")
    page = context.new_page()
    open_notebook(page, server, "05-predict.ipynb")
    run_all(page)
    found = page.locator(".pdk-panel").first
    settled(found)
    yield found
    page.close()
    shut_down_kernels(server)


def settled(panel: Locator) -> None:
    """Wait until the panel takes pictures again."""
    from playwright.sync_api import expect

    expect(panel.locator(".pdk-upload")).to_have_attribute("aria-busy", "false", timeout=ANSWER_MS)


def said(panel: Locator, words: str) -> None:
    """Wait until the panel's status says something."""
    from playwright.sync_api import expect

    expect(panel.locator(".pdk-status")).to_contain_text(re.compile(words), timeout=ANSWER_MS)
    settled(panel)


def choose(panel: Locator, *files: Path) -> None:
    """Upload through the browser's real file chooser."""
    with panel.page.expect_file_chooser() as chooser:
        panel.locator(".pdk-choose").click()
    chooser.value.set_files(list(files))


def test_the_ways_in(panel: Locator, shot: Callable[[Any, str], None], tmp_path: Path) -> None:
    page: Page = panel.page
    shot(panel, "panel-after-run")
    choose(panel, PICTURES / "dog.1004.jpg")
    said(panel, r"dog\.1004\.jpg: (dog|cat) \d+\.\d%")
    panel.locator("summary").click()
    details = panel.locator("details").inner_text()
    assert '{"instances": [{"data": "/9j/' in details
    assert "pdk-nb img2json dog.1004.jpg | curl" in details
    shot(panel, "panel-upload")
    assert not violations(page, ".pdk-panel")

    choose(panel, *sorted(PICTURES.glob("*.jpg")))
    said(panel, r"6 of 6 pictures answered; \d of 6 right")
    assert panel.locator(".pdk-sheet img").count() == 6
    assert panel.locator(".pdk-matrix td[style]").count() == 4
    shot(panel, "panel-batch")
    assert not violations(page, ".pdk-panel")

    panel.locator(".pdk-sample").first.drag_to(panel.locator(".pdk-drop"))
    said(panel, r"^cat\.1003\.jpg: ")

    panel.locator(".pdk-camera-open").click()
    panel.locator(".pdk-shutter").click()
    said(panel, r"^camera-\d{6}\.jpg: ")

    page.get_by_label("Address of a picture").fill("http://127.0.0.1:9/cat.jpg")
    panel.get_by_role("button", name="Fetch").click()
    said(panel, "private network or on this machine")

    broken = tmp_path / "broken.jpg"
    broken.write_bytes((PICTURES / "cat.1003.jpg").read_bytes()[:300])
    choose(panel, broken)
    said(panel, "There is no answer")
    assert "broken.jpg: the picture can't be decoded" in panel.locator(".pdk-result").inner_text()
    shot(panel, "panel-broken")
    assert not violations(page, ".pdk-panel")


@pytest.mark.parametrize("megabytes", [12, 49])
def test_large_uploads_arrive(panel: Locator, tmp_path: Path, megabytes: int) -> None:
    picture = noise_bmp(tmp_path / f"cat.{megabytes}.bmp", megabytes)
    choose(panel, picture)
    said(panel, rf"^cat\.{megabytes}\.bmp: (dog|cat) \d+\.\d%")


def test_what_is_too_large_is_refused_with_a_reason(panel: Locator, tmp_path: Path) -> None:
    choose(panel, noise_bmp(tmp_path / "huge.bmp", 60), PICTURES / "cat.1003.jpg")
    said(panel, r"huge\.bmp has 60 MB; the limit is 50 MB")
    # The other picture was taken all the same.
    assert "cat.1003.jpg" in panel.locator(".pdk-result").inner_text()


def test_the_keyboard_is_enough(panel: Locator) -> None:
    page: Page = panel.page
    cells = page.locator(".jp-Cell").count()
    # JupyterLab moves the focus to the last cell when all have run; a person comes back to the panel.
    with page.expect_file_chooser() as chooser:
        panel.locator(".pdk-choose").press("Enter")
    chooser.value.set_files(PICTURES / "cat.1012.jpg")
    said(panel, r"^cat\.1012\.jpg: ")
    page.keyboard.press("Tab")
    assert focused(page) == "Use the camera"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert focused(page) == "cat.1003.jpg"
    page.keyboard.press("Space")
    said(panel, r"^cat\.1003\.jpg: ")
    while focused(page) != "Request, answer, and curl command":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert panel.locator("details[open]").count() == 1
    # JupyterLab took none of the keys for a command of its own.
    assert page.locator(".jp-Cell").count() == cells
    assert page.locator(".jp-NotebookPanel:visible .jp-mod-editMode").count() == 0


def focused(page: Page) -> str:
    """The words of the element that has the focus."""
    words: str = page.evaluate("() => document.activeElement.innerText?.trim() ?? ''")
    return words


def test_the_dark_theme(
    panel: Locator, server: JupyterServer, context: BrowserContext, shot: Callable[[Any, str], None]
) -> None:
    from tests.browser.jupyter import open_notebook, run_all

    server.set_theme("JupyterLab Dark")
    try:
        page = context.new_page()
        open_notebook(page, server, "05-predict.ipynb")
        run_all(page)
        dark = page.locator(".pdk-panel").first
        settled(dark)
        choose(dark, PICTURES / "cat.1012.jpg")
        said(dark, r"^cat\.1012\.jpg: ")
        dark.locator(".pdk-all").click()
        said(dark, "6 of 6 pictures answered")
        assert page.locator("body").get_attribute("data-jp-theme-light") == "false"
        assert contrast(dark.locator(".pdk-hint")) >= 4.5
        assert contrast(dark.locator(".pdk-good").first) >= 4.5
        shot(dark, "panel-dark")
        assert not violations(page, ".pdk-panel")
    finally:
        server.set_theme("JupyterLab Light")


CONTRAST = """node => {
    const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
    const brush = canvas.getContext('2d', {willReadFrequently: true});
    const paint = colour => { brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1); };
    const light = () => [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3)
        .map(each => each / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
    const papers = [];
    for (let each = node; each; each = each.parentElement) papers.unshift(getComputedStyle(each).backgroundColor);
    papers.forEach(paint);
    const below = light();
    paint(getComputedStyle(node).color);
    const above = light();
    return (Math.max(above, below) + 0.05) / (Math.min(above, below) + 0.05);
}"""


def contrast(text: Locator) -> float:
    """WCAG 2's contrast ratio of a text and what lies under it."""
    ratio: float = text.evaluate(CONTRAST)
    return ratio
