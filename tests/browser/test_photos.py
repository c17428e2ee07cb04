"""The whole workshop in JupyterLab with a person's own photos, by a participant beside the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Walker
from tests.browser.test_notebooks import NOTEBOOKS, check
from tests.support.reference import reference_dir

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def walked_with_photos(
    stack: dict[str, str], browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], list[dict[str, str]]]]:
    """Walks the notebooks with the parameters that a person would set."""
    from tests.browser.jupyter import JupyterServer

    reference = reference_dir()
    photos = reference / "photos" if reference else Path("photos")
    if not photos.is_dir():
        pytest.skip("there are no photos beside the checkout")
    server = JupyterServer(tmp_path_factory.mktemp("photos"), stack["kubeconfig"])
    data = {"data1": str(photos / "data1"), "data2": str(photos / "data2")}
    for path in server.notebooks.glob("*.ipynb"):
        known = path.read_text()
        chosen = {name: value for name, value in data.items() if f'"{name}: str' in known}
        # A few dozen real photos don't teach a small network enough for the gate of the drawn pets.
        gate = {"min_accuracy": 0.5} if '"min_accuracy: ' in known else {}
        server.set_parameter(path.name, participant="photos", **chosen, **gate)
    yield Walker(server, browser, "photos-")
    server.stop()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_without_an_error(walked_with_photos: Callable[[str], list[dict[str, str]]], name: str) -> None:
    check(walked_with_photos(name[:2]))
