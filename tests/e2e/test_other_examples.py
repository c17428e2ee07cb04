"""The walkthrough of every other example, in its own notebooks and its own projects on the same embedded stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdk_nb import example as examples
from pdk_nb.lab import connect
from pdk_nb.run.runner import run
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
OTHERS = [name for name in examples.known(ROOT / "examples") if name != examples.DEFAULT]


@pytest.mark.parametrize("name", OTHERS)
def test_it_passes_and_leaves_nothing(name: str, stack: dict[str, str], tmp_path: Path) -> None:
    # In a test's time: fewer rows, and a short training that no gate judges.
    given = {"small": "true"}
    result = run(
        ROOT / "notebooks", tmp_path, kubeconfig=stack["kubeconfig"], example=name, parameters=given, clean_up=True
    )
    assert result.status == "passed", [notebook.error for notebook in result.notebooks]
    assert [notebook.name[:2] for notebook in result.notebooks] == ["00", "01", "02", "03", "04", "05", "06", "99"]
    assert result.predictions
    assert not connect(stack["kubeconfig"], example=name).clean_up_plan()
