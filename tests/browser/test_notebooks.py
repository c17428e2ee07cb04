"""Every notebook, opened in JupyterLab and run from its menu."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.conftest import Walker
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name < "06"])
def test_it_runs_without_an_error(walked: Callable[[str], list[dict[str, str]]], name: str) -> None:
    check(walked(name[:2]))


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name < "06"])
def test_everybody_can_use_its_outputs(walked: Walker, name: str) -> None:
    walked(name[:2])
    assert not walked.violations[name[:2]]


def check(cells: list[dict[str, str]]) -> None:
    assert not [cell for cell in cells if cell["error"]]
    assert all(cell["prompt"].startswith("[") for cell in cells)
    assert not [cell["stderr"] for cell in cells if "Traceback" in cell["stderr"] or "Warning" in cell["stderr"]]
