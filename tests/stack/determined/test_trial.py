"""One real trial: the wheel's harness in a child process, looked at from every side by the official client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from pdk_nb.commands import tensorboard
from pdk_shared.errors import PdkError
from tests.stack.determined.conftest import EXPERIMENTS, connect, tiny, wait_end, wait_for
from tests.support.processes import ServiceProcess

pytestmark = pytest.mark.slow
SECRET = "sekret-token-123"


@pytest.fixture(scope="module")
def finished(master: ServiceProcess) -> Any:
    client = connect(master)
    client.create_workspace("Trials").create_project("one")
    config = tiny(
        workspace="Trials",
        project="one",
        labels=["a", "b"],
        data={"secrets": {"token": SECRET}, "store": {"api_key": SECRET}},
    )
    config["searcher"]["max_length"] = {"batches": 20}
    experiment = client.create_experiment(config, str(EXPERIMENTS / "tiny"))
    assert wait_end(experiment) == "COMPLETED", "".join(experiment.list_trials()[0].iter_logs())
    return experiment


def test_metrics_of_all_groups_stream(finished: Any) -> None:
    trial = finished.list_trials()[0]
    assert [report.steps_completed for report in trial.iter_metrics("training")][-1] == 20
    validations = list(trial.iter_metrics("validation"))
    assert [report.steps_completed for report in validations] == [10, 20]
    assert validations[1].metrics["validation_loss"] < validations[0].metrics["validation_loss"]


def test_log_tells_the_whole_story_without_secrets(finished: Any) -> None:
    lines = list(finished.list_trials()[0].iter_logs(follow=True))
    text = "".join(lines)
    assert "Scheduling Trial" in text and "zero exit code" in lines[-1]
    assert "New trial runner" in text and SECRET not in text


def test_best_checkpoint_comes_first_and_downloads_both_ways(finished: Any, tmp_path: Path) -> None:
    checkpoint = finished.list_checkpoints(max_results=1)[0]
    assert checkpoint.metadata["steps_completed"] == 20
    direct = Path(checkpoint.download(str(tmp_path / "direct")))
    from determined.experimental.client import DownloadMode

    through = Path(checkpoint.download(str(tmp_path / "master"), mode=DownloadMode.MASTER))
    files = {path.relative_to(direct).as_posix() for path in direct.rglob("*") if path.is_file()}
    assert "state_dict.pth" in files and "load_data.json" in files
    for name in files - {"metadata.json"}:
        assert (direct / name).read_bytes() == (through / name).read_bytes()


def test_registry_keeps_names_and_versions(client: Any, finished: Any) -> None:
    checkpoint = finished.list_checkpoints()[0]
    client.create_model("dogs")
    model = client.create_model("dogs-and-cats", labels=["x"], metadata={"k": "v"})
    version = model.register_version(checkpoint.uuid)
    version.set_name("commit-1")
    version.set_notes("note")
    again = client.get_model("dogs-and-cats").get_version()
    assert (again.model_version, again.name, again.notes) == (1, "commit-1", "note")
    assert again.checkpoint.training.experiment_id == finished.id
    assert client.list_models(name="dogs-and-cats")[0].name == "dogs-and-cats"
    assert client.list_models(name="dogs")[0].name == "dogs"


def test_secrets_are_masked_in_replies(client: Any, finished: Any) -> None:
    reply = client._session.get(f"/api/v1/experiments/{finished.id}").text
    assert SECRET not in reply and "********" in reply


def test_secrets_are_masked_in_checkpoints(finished: Any, tmp_path: Path) -> None:
    checkpoint = finished.list_checkpoints()[0]
    folder = Path(checkpoint.download(str(tmp_path)))
    assert not [path.name for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    loaded = json.loads((folder / "load_data.json").read_text())
    assert loaded["experiment_config"]["data"]["store"] == {"api_key": "********"}
    assert loaded["hparams"]["learning_rate"] == 0.1
    assert int(checkpoint.resources["load_data.json"]) == (folder / "load_data.json").stat().st_size


def test_tensorboard_finds_the_events(client: Any, finished: Any, tmp_path: Path) -> None:
    folder = tensorboard.event_folder(client, finished.id)
    assert list(folder.rglob("*tfevents*"))
    (tmp_path / "run").symlink_to(folder)
    address = tensorboard.serve(str(tmp_path), 0)
    assert requests.get(address, timeout=20).status_code == 200
    for path in ("/", "/data/runs"):
        assert requests.get(f"http://{urlsplit(address).netloc}{path}", timeout=20).status_code == 404
    runs = wait_for(lambda: requests.get(f"{address}data/runs", timeout=20).json(), what="a run")
    assert all(run.startswith("run/trial") for run in runs)
    with pytest.raises(PdkError, match="no such experiment"):
        tensorboard.event_folder(client, 99999)


def test_warm_start_takes_the_weights_over(client: Any, finished: Any) -> None:
    source = finished.list_checkpoints()[0]
    config = tiny(batches=10, workspace="Trials", project="one")
    config["searcher"]["source_checkpoint_uuid"] = source.uuid
    experiment = client.create_experiment(config, str(EXPERIMENTS / "tiny"))
    assert wait_end(experiment) == "COMPLETED"
    before = source.training.validation_metrics["avgMetrics"]["validation_loss"]
    after = next(iter(experiment.list_trials()[0].iter_metrics("validation"))).metrics["validation_loss"]
    assert after < before
