"""Tasks: every one of the contract's has what the stages need, and the stages' own code knows none of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pdk_nb import tasks
from pdk_nb.example import DEFAULT_TASK
from pdk_nb.example.checking import schema
from pdk_shared.errors import DataError, DeploymentError, UsageError

ROOT = Path(__file__).resolve().parents[2]
# What the train image doesn't have: numpy comes with the client of Determined.
NOT_IN_THE_TRAIN_IMAGE = ("torch", "matplotlib", "ipywidgets", "kserve", "kubernetes", "python_pachyderm", "jsonschema")


def test_the_contract_offers_every_task() -> None:
    assert tuple(schema()["properties"]["task"]["enum"]) == tasks.TASKS
    assert tasks.for_stages() is tasks.for_stages(DEFAULT_TASK)
    with pytest.raises(UsageError, match="no task 'guessing'") as caught:
        tasks.for_stages("guessing")
    assert DEFAULT_TASK in caught.value.fix


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_task_names_modules_that_exist(name: str) -> None:
    task = tasks.for_stages(name)
    assert task.name == name
    for module in (*task.modules, *task.shared_modules):
        assert (ROOT / module).is_file(), module


@pytest.mark.parametrize("name", tasks.TASKS)
def test_the_stages_need_of_a_task_what_the_train_image_has(name: str) -> None:
    code = (
        "import sys; from pdk_nb import tasks; from pdk_nb.stages import train; "
        f"tasks.for_stages({name!r}); "
        f"print([each for each in {NOT_IN_THE_TRAIN_IMAGE!r} if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_a_picture_model_needs_the_size_of_its_pictures() -> None:
    task = tasks.for_stages("image-classification")
    assert task.input_shape({"image_size": 64}, {}) == task.input_shape({}, {"image_size": 64}) == (3, 64, 64)
    with pytest.raises(DeploymentError, match="size of the model's pictures is unknown"):
        task.input_shape({}, {})


def test_a_table_model_is_another_one_when_it_reads_other_inputs() -> None:
    task = tasks.for_stages("tabular")
    columns = [
        {"name": "age", "kind": "number", "least": 0, "most": 99},
        {"name": "a", "kind": "category", "values": ["x"]},
    ]

    def net(*changed: dict[str, object], width: int = 8) -> dict[str, object]:
        return task.architecture({"hyperparameters": {"width": width}, "data": {"columns": list(changed)}})

    same = net(*columns)
    # How a slider looks is no matter of the network.
    assert net({**columns[0], "most": 120, "step": 1}, columns[1]) == same
    assert net(*columns, width=9) != same
    assert net(columns[1], columns[0]) != same
    assert net(columns[0], {**columns[1], "values": ["x", "y"]}) != same
    with pytest.raises(DeploymentError, match="What the model reads is unknown"):
        task.input_shape({}, {})


def test_a_commit_without_a_table_is_refused_by_its_names(tmp_path: Path) -> None:
    task = tasks.for_stages("tabular")
    task.check_commit(tmp_path / "absent", {})
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no CSV file \(1 files"):
        task.check_commit(tmp_path, {})
    (tmp_path / "Rows.CSV").touch()
    task.check_commit(tmp_path, {})
