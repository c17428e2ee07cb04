from pathlib import Path

import pytest
import yaml

from pdk_nb.platforms.mlde import Pool, choose_pool
from pdk_nb.stages import experiment, train, train_options
from pdk_nb.stages.experiment import PachydermBlock
from pdk_nb.stages.worker import Worker
from pdk_nb.tasks import for_stages
from pdk_shared.errors import DataError, SettingsError, SpecError

CPU, GPU = Pool("default", 2, False), Pool("gpu-pool", 4, True)
BLOCK = PachydermBlock("pachd", "30650", "pets", "photos", "c" * 32, "s3cret", "p" * 32)
ENV = {
    "PACH_JOB_ID": "a" * 32,
    "PPS_PIPELINE_NAME": "model",
    "PPS_PROJECT_NAME": "pets",
    "PACHD_LB_SERVICE_HOST": "pachd.example.com",
    "PACHD_LB_SERVICE_PORT": "80",
}


def test_yaml_numbers_are_numbers(tmp_path):
    (tmp_path / "c.yaml").write_text("a: 1e-4\nb: 1.5E+3\nc: 12e03\nd: e4\ne: 1.0\nf: '1e-4'\n")
    assert experiment.read_yaml(tmp_path / "c.yaml") == {
        "a": 1e-4,
        "b": 1500.0,
        "c": 12000.0,
        "d": "e4",
        "e": 1.0,
        "f": "1e-4",
    }
    # The loader that everyone else uses is left alone.
    assert yaml.safe_load("a: 1e-4") == {"a": "1e-4"}


def test_yaml_errors_say_where(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: 1\nb: [1, 2\nc: 3\n")
    with pytest.raises(SpecError) as caught:
        experiment.read_yaml(tmp_path / "bad.yaml", "dog-cat/bad.yaml")
    assert caught.value.where == "dog-cat/bad.yaml:3:2"
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(SpecError, match="isn't a mapping"):
        experiment.read_yaml(tmp_path / "list.yaml")
    with pytest.raises(SpecError) as missing:
        experiment.read_yaml(tmp_path / "const.yaml")
    assert "bad.yaml, list.yaml" in missing.value.fix


def test_profiles_go_by_the_pool(tmp_path):
    (tmp_path / "profiles").mkdir()
    for name in ("cpu", "gpu"):
        (tmp_path / "profiles" / f"{name}.yaml").write_text("{}")
    assert experiment.profile_for(tmp_path, "auto", CPU) == "cpu"
    assert experiment.profile_for(tmp_path, "auto", GPU) == "gpu"
    assert experiment.profile_for(tmp_path, "cpu", GPU) == "cpu"
    assert experiment.profile_for(tmp_path / "profiles", "auto", CPU) == ""
    with pytest.raises(SpecError) as caught:
        experiment.profile_for(tmp_path, "tpu", CPU)
    assert "cpu, gpu" in caught.value.fix
    (tmp_path / "profiles" / "gpu.yaml").write_text("resources: {slots_per_trial: 4}")
    config = {"name": "x", "resources": {"priority": 7}}
    changed = {"name": "x", "resources": {"priority": 7, "slots_per_trial": 4}}
    assert experiment.with_profile(config, tmp_path, "auto", GPU) == (changed, "gpu")
    assert experiment.with_profile(config, tmp_path / "profiles", "auto", GPU) == (config, "")


def test_pools_are_chosen_by_name_or_by_their_gpus():
    assert choose_pool([CPU, GPU]) is GPU
    assert choose_pool([CPU, Pool("gpu-pool", 0, True)]) is CPU
    assert choose_pool([CPU, GPU], "default") is CPU
    with pytest.raises(SettingsError) as caught:
        choose_pool([CPU, GPU], "A100")
    assert "default, gpu-pool" in caught.value.fix
    with pytest.raises(SettingsError):
        choose_pool([])


def test_the_token_goes_where_determined_masks_it_if_the_experiment_asks_there():
    masked = experiment.fill({"data": {"secrets": {"pachyderm_token": ""}}}, BLOCK, labels=["x"], pool="default")
    assert masked["data"]["secrets"] == {"pachyderm_token": "s3cret"}
    assert masked["data"]["pachyderm"]["token"] == ""
    plain = experiment.fill({"data": {"pachyderm": {"host": ""}}}, BLOCK, labels=["x"], pool="default")
    assert plain["data"]["pachyderm"]["token"] == "s3cret"
    assert "secrets" not in plain["data"]
    assert "s3cret" not in repr(BLOCK)


def test_the_configuration_is_completed_even_without_a_pachyderm_block():
    config = {"data": None, "searcher": {"metric": "accuracy"}, "workspace": "w", "project": "p"}
    filled = experiment.fill(
        config, BLOCK, labels=["photos", "job", "model"], pool="default", warm_start="uuid", project="q"
    )
    assert filled["data"]["pachyderm"] == {
        "host": "pachd",
        "port": "30650",
        "project": "pets",
        "repo": "photos",
        "branch": "c" * 32,
        "token": "s3cret",
        "previous_commit": "p" * 32,
    }
    assert filled["labels"] == ["photos", "job", "model"]
    assert filled["searcher"] == {"metric": "accuracy", "source_checkpoint_uuid": "uuid"}
    assert (filled["workspace"], filled["project"], filled["resources"]) == ("w", "q", {"resource_pool": "default"})
    assert config["data"] is None


@pytest.mark.parametrize("missing", ["name", "entrypoint", "searcher", "hyperparameters"])
def test_incomplete_configurations_are_refused(missing):
    config = {"name": "n", "entrypoint": "e", "searcher": {"metric": "m"}, "hyperparameters": {"a": 1}}
    experiment.check(config, CPU, "const.yaml")
    with pytest.raises(SpecError, match=missing):
        experiment.check({k: v for k, v in config.items() if k != missing}, CPU, "const.yaml")


def test_more_slots_than_the_pool_has_are_refused():
    config = {"name": "n", "entrypoint": "e", "searcher": {"metric": "m"}, "hyperparameters": {"a": 1}}
    config["resources"] = {"slots_per_trial": 3}
    with pytest.raises(SettingsError, match="3 slots"):
        experiment.check(config, CPU, "const.yaml")
    experiment.check(config, Pool("on demand", 0, True), "const.yaml")


def test_the_job_is_read_from_the_workers_environment():
    worker = Worker(ENV | {"data_COMMIT": "b" * 32, "PACH_TOKEN": "w", "PAC_TOKEN": "s3cret"}, Path("/pfs"))
    found = (worker.job, worker.pipeline, worker.project, worker.commit("data"))
    assert found == ("a" * 32, "model", "pets", "b" * 32)
    pachd = worker.pachd
    assert (pachd.host, pachd.port, pachd.token, pachd.token_from) == ("pachd.example.com", "80", "s3cret", "PAC_TOKEN")
    assert "s3cret" not in repr(worker) + repr(pachd)
    peer = {"PACHD_PEER_SERVICE_HOST": "10.0.0.1", "PACHD_PEER_SERVICE_PORT": "30653", "PACH_TOKEN": "w"}
    own = {k: v for k, v in ENV.items() if "LB" not in k}
    worker = Worker(own | peer, Path("/pfs"))
    pachd = worker.pachd
    assert (pachd.host, pachd.port, pachd.token_from) == ("10.0.0.1", "30653", "PACH_TOKEN")
    assert (worker.data_project("other"), worker.commit("data")) == ("other", "a" * 32)


@pytest.mark.parametrize("missing", ["PACH_JOB_ID", "PACHD_LB_SERVICE_HOST"])
def test_a_stage_outside_a_worker_says_what_it_lacks(missing):
    with pytest.raises(SettingsError) as caught:
        worker = Worker({k: v for k, v in ENV.items() if k != missing}, Path("/pfs"))
        _ = (worker.job, worker.pachd)
    assert missing in caught.value.where


def test_file_names_alone_can_refuse_a_commit(tmp_path):
    check = for_stages("image-classification").check_commit
    check(tmp_path / "absent", {"data": {"classes": ("dog", "cat")}})
    with pytest.raises(DataError, match=r"class dog, cat \(0 files"):
        check(tmp_path, {"data": {"classes": ("dog", "cat")}})
    (tmp_path / "cat.1.jpg").touch()
    with pytest.raises(DataError, match="class dog"):
        check(tmp_path, {"data": {"classes": ("dog", "cat")}})
    (tmp_path / "dog.1.jpg").touch()
    check(tmp_path, {"data": {"classes": ("dog", "cat")}})
    check(tmp_path, {"data": {"classes": ()}})


def test_the_command_line_has_the_guides_flags():
    guide = "--git-url https://git@github.com:/o/r.git --git-ref main --sub-dir s --config const.yaml"
    guide += " --repo r --model m --project p"
    options = train_options.parse_arguments(guide.split())
    assert isinstance(options, train_options.TrainOptions) and options.incremental is True
    assert train_options.parse_arguments([*guide.split(), "--no-incremental"]).incremental is False


def test_errors_end_the_stage_with_their_message(capsys, monkeypatch):
    monkeypatch.delenv("PACH_JOB_ID", raising=False)
    assert train.main(["--git-url", "x", "--config", "c", "--repo", "r", "--model", "m"]) == 1
    with pytest.raises(SystemExit):
        train.main(["--config", "c"])


def test_the_context_brings_what_a_trial_imports(tmp_path):
    (tmp_path / "code" / "__pycache__").mkdir(parents=True)
    (tmp_path / "code" / "model_def.py").write_text("x = 1\n")
    (tmp_path / "code" / ".DS_Store").touch()
    context = experiment.build_context(tmp_path / "code", tmp_path / "context", for_stages().modules)
    names = sorted(path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file())
    assert names == ["model_def.py", *sorted(for_stages().modules)]
