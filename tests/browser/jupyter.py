"""A JupyterLab of the tests' own: private settings, a copy of the notebooks, and their pages in a browser."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Page

from tests.e2e.conftest import ROOT

START_S = 60.0
# A notebook's cells in all; training is in one of them.
RUN_MS = 420_000
SETTINGS = {
    # Every cell is in the page, also those that are out of sight.
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension/plugin.jupyterlab-settings": {"autosave": False},
}
CELLS = """() => [...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell')].map(cell => ({
    prompt: cell.querySelector('.jp-InputPrompt')?.innerText.trim() ?? '',
    error: cell.querySelector('[data-mime-type="application/vnd.jupyter.error"]')?.innerText ?? '',
    stderr: cell.querySelector('[data-mime-type="application/vnd.jupyter.stderr"]')?.innerText ?? '',
    source: cell.querySelector('.cm-content')?.innerText ?? '',
}))"""
SETTLED = f"""() => {{
    const cells = ({CELLS})();
    const failed = cells.some(cell => cell.error);
    return cells.length > 0 && (failed || cells.every(cell => /^\\[\\d+\\]/.test(cell.prompt)));
}}"""


class JupyterServer:
    """JupyterLab on a copy of the checkout's notebooks.

    Args:
        folder: Where it keeps everything.
        kubeconfig: The cluster for the notebooks.
    """

    def __init__(self, folder: Path, kubeconfig: str) -> None:
        self.folder = folder
        self.notebooks = folder / "notebooks"
        shutil.copytree(ROOT / "notebooks", self.notebooks)
        config = folder / "config" / "labconfig"
        config.mkdir(parents=True)
        # The news would be an outside request.
        news = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (config / "page_config.json").write_text(json.dumps(news))
        for name, values in SETTINGS.items():
            target = folder / "settings" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(values))
        self.token = secrets.token_hex(16)
        self._log = folder / "jupyter.log"
        self.process = self._start(kubeconfig)
        self.url = self._wait()

    def _start(self, kubeconfig: str) -> subprocess.Popen[bytes]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PACH", "DET_", "PDK_"))},
            "KUBECONFIG": kubeconfig,
            "PYTHONPATH": str(ROOT),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "JUPYTER_TOKEN": self.token,
            "JUPYTER_PLATFORM_DIRS": "0",
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces"),
            "IPYTHONDIR": str(self.folder / "ipython"),
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
        command += ["--ServerApp.port=0", "--LabApp.news_url=None", f"--ServerApp.root_dir={self.notebooks}"]
        command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        with self._log.open("wb") as sink:
            return subprocess.Popen(command, cwd=self.notebooks, env=environment, stdout=sink, stderr=sink)

    def _wait(self) -> str:
        """Wait until the server has written down where it listens, and answers there."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self._log.read_text()
            for file in (self.folder / "runtime").glob("jpserver-*.json"):
                try:
                    url = str(json.loads(file.read_text())["url"]).rstrip("/")
                    urllib.request.urlopen(f"{url}/api/status?token={self.token}", timeout=5).close()
                except (OSError, ValueError):
                    continue
                return url
            time.sleep(0.1)
        raise AssertionError(f"JupyterLab does not answer: {self._log.read_text()}")

    def set_parameter(self, notebook: str, **values: Any) -> None:
        """Write other values into the parameters cell of a copy, as a person would."""
        path = self.notebooks / notebook
        content = nbformat.read(str(path), as_version=4)
        cell = next(cell for cell in content.cells if "parameters" in cell.metadata.get("tags", []))
        cell.source += "".join(f"\n{name} = {value!r}" for name, value in values.items())
        nbformat.write(content, str(path))

    def set_theme(self, theme: str) -> None:
        """Choose JupyterLab's colours for pages that are opened from now on."""
        target = self.folder / "settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"theme": theme}))

    def stop(self) -> None:
        """End the server and its kernels."""
        call = urllib.request.Request(f"{self.url}/api/shutdown?token={self.token}", method="POST")
        try:
            urllib.request.urlopen(call, timeout=10).close()
        except OSError:
            self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def open_notebook(page: Page, server: JupyterServer, name: str) -> None:
    """Open a notebook and wait until its kernel is there."""
    page.goto(f"{server.url}/lab/tree/{name}?reset&token={server.token}")
    page.locator("#jupyterlab-splash").wait_for(state="detached", timeout=60_000)
    page.locator(".jp-NotebookPanel:visible .jp-Cell").first.wait_for(timeout=60_000)
    # The notebook's own indicator says idle before the kernel is connected, and "run" would be lost.
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for(timeout=60_000)


def run_all(page: Page, timeout_ms: float = RUN_MS) -> list[dict[str, str]]:
    """Run all cells from the menu, and wait until each has a number or one has failed.

    Returns:
        For each code cell: prompt, error, stderr and source.
    """
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(SETTLED, timeout=timeout_ms)
    cells: list[dict[str, str]] = page.evaluate(CELLS)
    return cells


def choose_theme(page: Page, name: str) -> None:
    """Choose JupyterLab's colors from its menu, for the open page and those to come."""
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    # JupyterLab's submenus have no role.
    page.locator(".lm-Menu-item[data-type=submenu]", has_text="Theme").first.hover()
    choice = page.locator(".lm-Menu-item[data-command='apputils:change-theme']")
    choice.filter(has=page.get_by_text(name, exact=True)).click()
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)


def save(page: Page, path: Path) -> None:
    """Save the open notebook, and wait until its file has the outputs."""
    before = path.read_bytes()
    page.get_by_role("menuitem", name="File", exact=True).click()
    # Its shortcut belongs to the name.
    page.get_by_role("menuitem", name="Save Notebook").first.click()
    deadline = time.monotonic() + START_S
    while not _saved(path, before):
        assert time.monotonic() < deadline, f"{path.name} was not saved"
        time.sleep(0.1)


def _saved(path: Path, before: bytes) -> bool:
    """Whether a notebook has other contents; Jupyter empties its file first."""
    content = path.read_bytes()
    try:
        json.loads(content)
    except ValueError:
        return False
    return content != before


def shut_down_kernels(server: JupyterServer) -> None:
    """End the kernels of closed pages; each keeps some hundred megabytes."""
    with urllib.request.urlopen(f"{server.url}/api/sessions?token={server.token}", timeout=10) as answer:
        sessions = json.load(answer)
    for session in sessions:
        url = f"{server.url}/api/sessions/{session['id']}?token={server.token}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=20).close()
