"""The workshop in a real browser: Debian's or any other Chromium, driven by Playwright. ``make browser-test`` runs it.

Everything is skipped unless ``PDK_BROWSER_TESTS`` is set, because it needs a browser and takes minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import ROOT, stack  # noqa: F401 (a fixture of this folder too)
from tests.support.processes import heed_interrupts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.browser.jupyter import JupyterServer

WANTED = "PDK_BROWSER_TESTS"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
OWN = re.compile(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|data:|blob:|about:|file:")
# Pictures of the pages, for people to look at.
SCREENSHOTS = Path(os.environ.get("PDK_SCREENSHOTS", str(ROOT / "runs" / "browser")))

collect_ignore_glob = [] if os.environ.get(WANTED) else ["test_*.py"]


def find_chromium() -> str:
    """The browser: ``PDK_CHROMIUM``, or one on the PATH; empty when there is none."""
    chosen = os.environ.get("PDK_CHROMIUM", "")
    return chosen or next((found for name in NAMES if (found := shutil.which(name))), "")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -c constraints.txt -e '.[browser]'")
    executable = find_chromium()
    if not executable:
        pytest.skip("there is no Chromium: apt-get install chromium, or set PDK_CHROMIUM")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def shot() -> Callable[[Any, str], None]:
    """Keeps a picture of a page or of a part of it under ``runs/browser``."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def take(what: Any, name: str) -> None:
        what.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")

    return take


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh browser profile; a request that leaves this machine is stopped, and fails the test."""
    made = browser.new_context(viewport={"width": 1280, "height": 1400}, permissions=["camera"])
    outside: list[str] = []

    def watch(route: Any) -> None:
        outside.append(route.request.url)
        route.abort()

    made.route(lambda url: not OWN.match(url), watch)
    yield made
    made.close()
    assert not outside, f"requests that left this machine: {sorted(set(outside))}"


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture(scope="session")
def server(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:  # noqa: F811
    from tests.browser.jupyter import JupyterServer

    started = JupyterServer(tmp_path_factory.mktemp("jupyter"), stack["kubeconfig"])
    yield started
    started.stop()


class Served:
    """A command that serves pages, as a person starts it.

    Args:
        command: ``app`` or ``ui``.
        kubeconfig: The cluster.
        arguments: Further flags.
    """

    def __init__(self, command: str, kubeconfig: str, *arguments: str) -> None:
        heed_interrupts()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pdk_nb.cli", command, "--kubeconfig", kubeconfig, *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            _, said = self.process.communicate(timeout=30)
            raise AssertionError(f"pdk-nb {command} did not start: {said}")

    def stop(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=60)

    @property
    def base(self) -> str:
        """The address without the token."""
        return self.url.partition("?")[0]


@pytest.fixture(scope="session")
def app(stack: dict[str, str]) -> Iterator[Served]:  # noqa: F811
    started = Served("app", stack["kubeconfig"], "--no-browser")
    yield started
    started.stop()


class Walker:
    """Runs notebooks in JupyterLab, once each and in order, up to the given one, and gives its cells.

    Args:
        server: Where they lie.
        browser: What opens them.
        prefix: Begins the names of their pictures.

    Attributes:
        executed: Folder of the notebooks with their outputs, as JupyterLab saves them.
        violations: What axe finds in the outputs of each notebook, in both themes.
    """

    def __init__(self, server: JupyterServer, browser: Browser, prefix: str = "") -> None:
        self.server, self.browser, self.prefix = server, browser, prefix
        self.executed = server.folder / "executed"
        shutil.copytree(ROOT / "notebooks" / "images", self.executed / "images")
        self.violations: dict[str, list[str]] = {}
        self._done: dict[str, list[dict[str, str]]] = {}

    def __call__(self, last: str) -> list[dict[str, str]]:
        for path in sorted(self.server.notebooks.glob("*.ipynb")):
            if path.name[:2] > last:
                break
            if path.name not in self._done:
                self._walk(path)
        return next(cells for name, cells in self._done.items() if name.startswith(last))

    def _walk(self, path: Path) -> None:
        from tests.browser.axe import OUTPUTS, violations
        from tests.browser.jupyter import choose_theme, open_notebook, run_all, save, shut_down_kernels

        without_outputs = path.read_bytes()
        context = self.browser.new_context(viewport={"width": 1280, "height": 1400})
        tab = context.new_page()
        open_notebook(tab, self.server, path.name)
        self._done[path.name] = run_all(tab)
        save(tab, path)
        shutil.copy(path, self.executed)
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        found = []
        for theme in ("Light", "Dark"):
            choose_theme(tab, f"JupyterLab {theme}")
            found += [f"{theme}: {each}" for each in violations(tab, *OUTPUTS)]
            for width in (1600, 1280):
                name = (
                    f"{self.prefix}{path.stem}{'' if theme == 'Light' else '-dark'}{'' if width == 1280 else '-wide'}"
                )
                _whole(tab, SCREENSHOTS / f"{name}.png", width)
        self.violations[path.name[:2]] = found
        context.close()
        path.write_bytes(without_outputs)
        self.server.set_theme("JupyterLab Light")
        shut_down_kernels(self.server)


@pytest.fixture(scope="session")
def walked(server: JupyterServer, browser: Browser) -> Walker:
    """Walks the notebooks as they are."""
    return Walker(server, browser)


def _whole(page: Page, target: Path, width: int = 1280) -> None:
    """A picture of the whole notebook, however long it is."""
    page.set_viewport_size({"width": width, "height": 1400})
    height = page.evaluate(
        "() => document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-inner').scrollHeight"
    )
    page.set_viewport_size({"width": width, "height": min(12_000, int(height) + 260)})
    page.evaluate("() => document.querySelectorAll('.jp-WindowedPanel-outer').forEach(each => each.scrollTo(0, 0))")
    # Two frames later, the browser has painted all of a tall page.
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.screenshot(path=target, animations="disabled")
