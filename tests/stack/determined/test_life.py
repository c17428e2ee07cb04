"""The life of experiments: interrupted, restarted, stopped, and a master that is killed in the middle."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from determined.common.api import errors

from tests.stack.determined.conftest import EXPERIMENTS, connect, new_master, tiny, wait_end, wait_for
from tests.support.processes import ServiceProcess

pytestmark = pytest.mark.slow
TINY = str(EXPERIMENTS / "tiny")


def slow(batches: int, pause: float = 0.05, **changes: Any) -> dict[str, Any]:
    config = tiny(batches, **changes)
    config["hyperparameters"] = {**config["hyperparameters"], "pause": pause}
    return config


def batches_of(experiment: Any) -> int:
    trials = experiment._session.get(f"/api/v1/experiments/{experiment.id}/trials").json()["trials"]
    return int(trials[0]["totalBatchesProcessed"]) if trials else 0


def log_of(experiment: Any) -> str:
    return "".join(experiment.list_trials()[0].iter_logs())


def state_of(experiment: Any) -> str:
    experiment.reload()
    return str(experiment.state.name)


def trial_processes(word: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if word in process.environ().get("DET_CLUSTER_ID", ""):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_pause_writes_a_checkpoint_and_activate_goes_on(client: Any) -> None:
    experiment = client.create_experiment(slow(120), TINY)
    wait_for(lambda: batches_of(experiment) >= 15, what="training")
    experiment.pause()
    wait_for(lambda: "zero exit code" in log_of(experiment), what="the end of the first run")
    assert state_of(experiment) == "PAUSED"
    reached = experiment.list_checkpoints()
    assert reached, log_of(experiment)
    done = max(each.metadata["steps_completed"] for each in reached)
    experiment.activate()
    assert wait_end(experiment) == "COMPLETED", log_of(experiment)
    trial = experiment.list_trials()[0]
    steps = [each.steps_completed for each in trial.iter_metrics("training")]
    assert steps == sorted(set(steps)) and steps[-1] == 120 and done < 120
    assert trial.reload() is None
    raw = client._session.get(f"/api/v1/trials/{trial.id}").json()["trial"]
    assert raw["restarts"] == 0


def test_killed_trial_restarts_from_its_checkpoint(client: Any) -> None:
    experiment = client.create_experiment(slow(60, min_checkpoint_period={"batches": 10}, max_restarts=1), TINY)
    wait_for(lambda: experiment.list_checkpoints(), what="a checkpoint")
    allocation = next(iter(client._session.get("/api/v1/tasks").json()["allocationIdToSummary"]))
    for process in psutil.process_iter():
        try:
            if process.environ().get("DET_ALLOCATION_ID") == allocation:
                os.kill(process.pid, signal.SIGKILL)
        except (psutil.Error, OSError):
            continue
    assert wait_end(experiment) == "COMPLETED", log_of(experiment)
    raw = client._session.get(f"/api/v1/experiments/{experiment.id}/trials").json()["trials"][0]
    assert raw["restarts"] == 1 and raw["totalBatchesProcessed"] == 60
    assert "restarting (restart 1 of 1)" in log_of(experiment)
    steps = [each.steps_completed for each in experiment.list_trials()[0].iter_metrics("training")]
    assert steps == list(range(5, 65, 5))


def test_failing_trial_ends_in_error_after_its_restarts(client: Any, tmp_path: Path) -> None:
    config = tiny(entrypoint="sh -c 'echo broken >&2; exit 3'", max_restarts=1)
    experiment = client.create_experiment(config, str(tmp_path))
    assert wait_end(experiment) == "ERROR"
    text = log_of(experiment)
    assert text.count("broken") >= 2 and "non-zero exit code: 3" in text and "max restarts (1)" in text


@pytest.mark.parametrize(
    ("action", "words"),
    [("cancel_retries", "don't retry policy"), ("exclude_node", "therefore will not schedule on")],
)
def test_a_log_policy_ends_the_restarts(client: Any, tmp_path: Path, action: str, words: str) -> None:
    config = tiny(entrypoint="sh -c 'echo a broken disk; exit 3'", max_restarts=4)
    config["log_policies"] = [{"name": "Disk", "pattern": "broken d.sk", "action": action}]
    config["bind_mounts"] = [{"host_path": "/somewhere", "container_path": "/data"}]
    experiment = client.create_experiment(config, str(tmp_path))
    assert wait_end(experiment) == "ERROR"
    text = log_of(experiment)
    assert text.count("a broken disk\n") == 1 and words in text
    # What has no effect is said.
    assert "bind_mounts: /data is not mounted" in text
    trial = client._session.get(f"/api/v1/experiments/{experiment.id}/trials").json()["trials"][0]
    assert trial["logPolicyMatched"] == "Disk"


@pytest.mark.parametrize("ending", ["cancel", "kill"])
def test_stop(client: Any, ending: str) -> None:
    experiment = client.create_experiment(slow(500), TINY)
    wait_for(lambda: batches_of(experiment) >= 5, what="training")
    with pytest.raises(errors.APIException, match="not in terminal state"):
        experiment.archive()
    getattr(experiment, ending)()
    assert wait_end(experiment, 60) == "CANCELED"
    assert bool(experiment.list_checkpoints()) == (ending == "cancel")
    assert not client._session.get("/api/v1/tasks").json()["allocationIdToSummary"]
    experiment.archive()
    assert experiment.id not in [each.id for each in client.list_experiments() if not each.archived]
    experiment.unarchive()
    experiment.delete()
    with pytest.raises(errors.NotFoundException):
        client.get_experiment(experiment.id)


def test_more_trials_than_slots_wait_their_turn(client: Any, tmp_path: Path) -> None:
    config = tiny(entrypoint="sh -c 'sleep 1'")
    made = [client.create_experiment(config, str(tmp_path)) for _ in range(3)]
    assert sum(state_of(each) == "QUEUED" for each in made) == 1
    pool = client._session.get("/api/v1/resource-pools").json()["resourcePools"][0]
    assert pool["slotsUsed"] == 2
    assert [wait_end(each) for each in made] == ["COMPLETED"] * 3


def test_startup_hook_is_sourced_and_pip_leaves_the_environment_alone(client: Any, tmp_path: Path) -> None:
    package = tmp_path / "own"
    (package / "pdk_hooked").mkdir(parents=True)
    (package / "pdk_hooked" / "__init__.py").write_text("VALUE = 41\n")
    (package / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='pdk-hooked', version='1', packages=['pdk_hooked'])\n"
    )
    (tmp_path / "startup-hook.sh").write_text(
        "export FROM_HOOK=seen\n"
        "pip install torch 'numpy>=1' requests\n"
        "pip install --no-build-isolation ./own\n"
        "python3 -m pip uninstall -y numpy || true\n"
    )
    check = "import os, sys, pdk_hooked, numpy; print(os.environ['FROM_HOOK'], pdk_hooked.VALUE, pdk_hooked.__file__)"
    (tmp_path / "check.py").write_text(check)
    experiment = client.create_experiment(tiny(entrypoint="python3 check.py"), str(tmp_path))
    assert wait_end(experiment) == "COMPLETED", log_of(experiment)
    text = log_of(experiment)
    assert "Requirement already satisfied: torch" in text
    assert "seen 41" in text and "/packages/pdk_hooked" in text
    with pytest.raises(ImportError):
        __import__("pdk_hooked")


def test_failing_hook_ends_the_trial_with_its_code(client: Any, tmp_path: Path) -> None:
    (tmp_path / "startup-hook.sh").write_text("exit 7\n")
    experiment = client.create_experiment(tiny(entrypoint="true"), str(tmp_path))
    assert wait_end(experiment) == "ERROR"
    assert "non-zero exit code: 7" in log_of(experiment)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_master_that_ends_takes_experiments_up_again(tmp_path: Path, end: str) -> None:
    process: ServiceProcess = new_master(tmp_path).start()
    port = process.ready["determined"].rsplit(":", 1)[1]
    process.arguments += ["--master-port", port]
    try:
        client = connect(process)
        cluster = client._session.get("/info").json()["cluster_id"]
        experiment = client.create_experiment(slow(100, min_checkpoint_period={"batches": 10}), TINY)
        wait_for(lambda: experiment.list_checkpoints(), what="a checkpoint")
        before = process.process
        getattr(process, end)()
        assert before is not None and before.poll() is not None
        if end == "stop":
            assert not trial_processes(cluster)
        process.start()
        assert wait_end(experiment) == "COMPLETED", log_of(experiment)
        raw = client._session.get(f"/api/v1/experiments/{experiment.id}/trials").json()["trials"][0]
        assert raw["restarts"] == 0 and raw["totalBatchesProcessed"] == 100
        steps = [each.steps_completed for each in experiment.list_trials()[0].iter_metrics("training")]
        assert steps == sorted(set(steps)) and len(log_of(experiment).split("Scheduling Trial")) == 3
        wait_for(lambda: not trial_processes(cluster), 10, "the end of all processes")
    finally:
        process.stop()
    assert not list((tmp_path / "determined" / "runs").glob("*"))


def test_collection_follows_the_policy_and_never_takes_a_registered_checkpoint(client: Any, tmp_path: Path) -> None:
    keep_all = {"save_experiment_best": 0, "save_trial_best": 0, "save_trial_latest": 9}
    config = tiny(40, min_checkpoint_period={"batches": 10}, checkpoint_storage=keep_all)
    experiment = client.create_experiment(config, TINY)
    assert wait_end(experiment) == "COMPLETED"
    by_steps = {each.metadata["steps_completed"]: each.uuid for each in experiment.list_checkpoints()}
    assert sorted(by_steps) == [10, 20, 30, 40]
    client.create_model("kept").register_version(by_steps[10])

    # What ``det experiment set gc-policy`` sends.
    strict = {"saveExperimentBest": 0, "saveTrialBest": 0, "saveTrialLatest": 1}
    path = f"/api/v1/experiments/{experiment.id}"
    body = {"id": experiment.id, "checkpointStorage": strict}
    experiment._session.patch(path, json=body)

    def states() -> dict[int, str]:
        found = experiment._session.get(f"{path}/checkpoints").json()["checkpoints"]
        return {each["metadata"]["steps_completed"]: each["state"].removeprefix("STATE_") for each in found}

    expected = {10: "COMPLETED", 20: "DELETED", 30: "DELETED", 40: "COMPLETED"}
    wait_for(lambda: states() == expected, what="the collection")
    for steps in (10, 40):
        assert Path(client.get_checkpoint(by_steps[steps]).download(str(tmp_path / str(steps)))).is_dir()
    with pytest.raises(errors.APIException, match="in the model registry"):
        client.get_checkpoint(by_steps[10]).delete()
    assert states() == expected
