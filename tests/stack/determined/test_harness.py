"""What the wheel's harness and Core API can do on this master: searches, invalid hyperparameters, two slots, more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.stack.determined.conftest import EXPERIMENTS, USER_PASSWORD, tiny, wait_end
from tests.support.processes import ServiceProcess

pytestmark = pytest.mark.slow
CORE = str(EXPERIMENTS / "core")


def core(searcher: dict[str, Any], rate: Any = 1.0, **changes: Any) -> dict[str, Any]:
    config = tiny(entrypoint="python3 steps.py", searcher={"metric": "loss", **searcher}, **changes)
    return {**config, "hyperparameters": {"rate": rate}}


def text_of(experiment: Any) -> str:
    return "\n".join("".join(trial.iter_logs()) for trial in experiment.list_trials())


def test_asha_stops_the_worse_trials(client: Any) -> None:
    searcher = {
        "name": "async_halving",
        "num_rungs": 2,
        "max_trials": 4,
        "max_time": 20,
        "time_metric": "batches",
        "divisor": 4,
        "max_concurrent_trials": 2,
    }
    rates = {"type": "double", "minval": 0.5, "maxval": 2.0}
    # The seed draws its two best rates first: were every rate better than those before it, none would be stopped.
    config = core(searcher, rates, reproducibility={"experiment_seed": 21})
    experiment = client.create_experiment(config, CORE)
    assert wait_end(experiment) == "COMPLETED", text_of(experiment)
    trials = client._session.get(f"/api/v1/experiments/{experiment.id}/trials").json()["trials"]
    lengths = [trial["totalBatchesProcessed"] for trial in trials]
    assert len(trials) == 4 and max(lengths) == 20 and min(lengths) < 20
    assert {trial["state"] for trial in trials} == {"STATE_COMPLETED"}
    assert "the search stops this trial" in text_of(experiment)
    metric = config["searcher"]["metric"]
    best = min(trials, key=lambda trial: trial["bestValidation"]["metrics"]["avgMetrics"][metric])
    reply = client._session.post("/api/v1/experiments-search", json={"filter": one(experiment.id)}).json()
    (found,) = reply["experiments"]
    assert found["bestTrial"]["id"] == found["experiment"]["bestTrialId"] == best["id"]
    assert found["experiment"]["progress"] == 1


def one(key: int) -> str:
    """The filter expression that finds one experiment."""
    field = {"kind": "field", "columnName": "id", "operator": "=", "value": key, "type": "COLUMN_TYPE_NUMBER"}
    group = {"kind": "group", "conjunction": "and", "children": [field]}
    return json.dumps({"filterGroup": group, "showArchived": True})


def test_refused_hyperparameters_end_without_a_checkpoint(client: Any) -> None:
    experiment = client.create_experiment(core({"name": "single"}, -1.0), CORE)
    assert wait_end(experiment) == "COMPLETED"
    assert experiment.list_checkpoints() == []


def test_continue_after_an_error(client: Any, tmp_path: Path) -> None:
    shutil.copy(Path(CORE) / "steps.py", tmp_path)
    marker = tmp_path / "go"
    entrypoint = f"test -e {marker} && python3 steps.py 0"
    experiment = client.create_experiment(core({"name": "single"}) | {"entrypoint": entrypoint}, str(tmp_path))
    assert wait_end(experiment) == "ERROR"
    marker.touch()
    client._session.post("/api/v1/experiments/continue", json={"id": experiment.id})
    assert wait_end(experiment) == "COMPLETED", text_of(experiment)
    assert len(experiment.list_trials()) == 1


@pytest.mark.parametrize("slots", [1, 2])
def test_trainer_with_profiling(client: Any, tmp_path: Path, slots: int) -> None:
    for source in (EXPERIMENTS / "tiny" / "model_def.py", EXPERIMENTS / "trainer" / "train.py"):
        shutil.copy(source, tmp_path)
    launcher = "python3 -m determined.launch.torch_distributed " if slots == 2 else ""
    config = tiny(entrypoint=f"{launcher}python3 train.py", resources={"slots_per_trial": slots})
    experiment = client.create_experiment(config, str(tmp_path))
    assert wait_end(experiment) == "COMPLETED", text_of(experiment)
    assert f"size {slots}" in text_of(experiment)
    assert experiment.list_checkpoints()[0].metadata["steps_completed"] == 10
    config = client._session.get(f"/api/v1/experiments/{experiment.id}").json()["config"]
    storage = config["checkpoint_storage"]["host_path"]
    folders = list(Path(storage).glob(f"*/tensorboard/experiment/{experiment.id}/trial/*"))
    assert any(path.name.startswith("events") or "tfevents" in path.name for path in folders[0].rglob("*"))


UNMANAGED = """
from determined.experimental import core_v2
core_v2.init(
    defaults=core_v2.DefaultConfig(name="outside", hparams={"a": 1}),
    unmanaged=core_v2.UnmanagedConfig(external_experiment_id="exp-x", external_trial_id="trial-x"),
)
for step in range(3):
    core_v2.train.report_training_metrics(steps_completed=step, metrics={"loss": 1.0 / (step + 1)})
core_v2.close()
"""


def test_unmanaged_experiment_reports_here(master: ServiceProcess, client: Any, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DET_MASTER": master.ready["determined"],
        "DET_USER": "determined",
        "DET_PASS": USER_PASSWORD,
    }
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", UNMANAGED],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    (experiment,) = client.list_experiments(name="outside")
    assert experiment.state.name == "COMPLETED"
    (trial,) = experiment.list_trials()
    assert [report.steps_completed for report in trial.iter_metrics("training")][-1] == 2
