"""The train stage as the pipeline runs it, against embedded Pachyderm and Determined."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import python_pachyderm
import yaml

from pdk_nb.names import STAGE_LOG
from pdk_nb.packaging import archive
from pdk_nb.platforms import mlde
from pdk_nb.stages import deploy_options, packing
from pdk_nb.stages.model_info import ModelInfo
from pdk_shared.errors import ServiceUnreachable, SettingsError
from tests.support.processes import ServiceProcess
from tests.support.shapes import CLASSES, write_shapes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "t0ken-of-the-test"
PASSWORD = "Passw0rd-of-the-test"
WORKSPACE, PROJECT, MODEL = "PDK Demos", "pdk-dogs-and-cats", "dogs-and-cats"
ARRIVALS = {"data1": range(1, 25), "data2": range(201, 213)}


def git(folder, *arguments):
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """A repository with the real experiment, with very short training."""
    folder = tmp_path_factory.mktemp("upstream")
    experiment = folder / "examples" / "dog-cat" / "experiment"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "examples" / "dog-cat" / "experiment", experiment, ignore=ignore)
    profile = yaml.safe_load((experiment / "profiles" / "cpu.yaml").read_text())
    profile["searcher"]["max_length"]["batches"] = 30
    profile["min_validation_period"]["batches"] = 15
    profile["hyperparameters"] |= {"image_size": 32, "width": 8}
    (experiment / "profiles" / "cpu.yaml").write_text(yaml.safe_dump(profile))
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.email", "a@example.com")
    git(folder, "config", "user.name", "A")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


class World:
    """Both platforms, a repo with commits, and the stage as a process."""

    def __init__(self, tmp, code, cleanup):
        self.tmp, self.code = tmp, code
        self.pachd = ServiceProcess("pachyderm", tmp / "pachd", {"root_token": TOKEN}).start()
        cleanup.callback(self.pachd.stop)
        passwords = {"admin_password": PASSWORD, "user_password": PASSWORD}
        self.master = ServiceProcess("determined", tmp / "master", passwords).start()
        cleanup.callback(self.master.stop)
        self.host, _, self.port = self.pachd.ready["pachd"].removeprefix("grpc://").partition(":")
        self.pach = python_pachyderm.Client(host=self.host, port=int(self.port), auth_token=TOKEN)
        self.pach.create_project("pets")
        self.pach.create_repo("photos", project_name="pets")
        self.address = self.master.ready["determined"]
        self.client = mlde.connect(self.address, "admin", PASSWORD)

    def commit(self, arrival):
        with (
            zipfile.ZipFile(ROOT / "sample-data" / "dataset-dog-cat.zip") as archive,
            self.pach.commit("photos", "master", project_name="pets") as opened,
        ):
            names = archive.namelist()
            for number in ARRIVALS[arrival]:
                for kind in ("cat", "dog"):
                    start = f"{arrival}/{kind}."
                    name = next(n for n in names if n.startswith(start) and n.endswith(f".{number}.jpg"))
                    self.pach.put_file_bytes(opened, f"/{name}", archive.read(name))
        return opened.id

    def start(self, commit, job="", out="out", **flags):
        """Start the stage for a commit, as the worker would."""
        pfs = self.tmp / out
        (pfs / "data").mkdir(parents=True, exist_ok=True)
        words = {
            "git-url": self.code.as_uri(),
            "git-ref": "main",
            "sub-dir": "examples/dog-cat/experiment",
            "config": "const.yaml",
            "repo": "photos",
            "project": "pets",
            "model": MODEL,
        }
        words |= {key.replace("_", "-"): value for key, value in flags.items() if not isinstance(value, bool)}
        command = [sys.executable, str(ROOT / "images" / "train" / "train.py")]
        command += [word for key, value in words.items() for word in (f"--{key}", value)]
        command += [f"--{key.replace('_', '-')}" for key, value in flags.items() if value is True]
        for kind in str(flags.get("classes", "cat,dog")).split(","):
            (pfs / "data" / f"{kind}.1.jpg").touch()
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PACH", "PPS_", "DET_"))} | {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PDK_PFS_ROOT": str(pfs),
            "PACH_JOB_ID": job or commit,
            "data_COMMIT": commit,
            "PPS_PIPELINE_NAME": "dogs-and-cats-model",
            "PPS_PROJECT_NAME": "pets",
            "PACHD_PEER_SERVICE_HOST": self.host,
            "PACHD_PEER_SERVICE_PORT": self.port,
            "PACH_TOKEN": TOKEN,
            "DET_MASTER": self.address.removeprefix("http://"),
            "DET_USER": "admin",
            "DET_PASSWORD": PASSWORD,
            "XDG_CONFIG_HOME": str(self.tmp / "config"),
        }
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, commit, **flags):
        process = self.start(commit, **flags)
        output, _ = process.communicate(timeout=240)
        return process.returncode, output

    def experiments(self):
        return self.client.list_experiments()


@pytest.fixture(scope="module")
def world(tmp_path_factory, code):
    with contextlib.ExitStack() as cleanup:
        yield World(tmp_path_factory.mktemp("world"), code, cleanup)


@pytest.fixture(scope="module")
def first(world):
    """The first arrival, trained."""
    commit = world.commit("data1")
    mlde.ensure_project(world.client, WORKSPACE, PROJECT)
    mlde.ensure_project(world.client, WORKSPACE, PROJECT)
    code, output = world.run(commit, out="first")
    assert code == 0, output
    return commit, output


def test_a_missing_workspace_is_named_before_anything_is_started(world):
    code, output = world.run("a" * 12 + "4" + "b" * 19, workspace="Nowhere", experiment_project="x")
    assert code == 1
    assert "no workspace 'Nowhere'" in output and "det workspace create" in output
    assert world.experiments() == []


def test_the_first_commit_gives_a_registered_model(world, first, code):
    commit, output = first
    out = world.tmp / "first" / "out"
    info = ModelInfo.load(out)
    assert (info.name, info.version, info.pipeline, info.repo) == (MODEL, commit, "dogs-and-cats-model", "photos")
    assert (info.number, info.project, info.classes, info.extra["image_size"]) == (1, "pets", ("dog", "cat"), 32)
    assert info.metric is not None and info.metric[0] == "accuracy" and 0 <= info.metric[1] <= 1
    assert (info.code_sha, info.git_url, info.resumed_from) == (git(code, "rev-parse", "HEAD"), code.as_uri(), "")
    version = mlde.version_for_commit(world.client, MODEL, commit)
    assert version is not None and version.model_version == 1 and version.checkpoint.uuid == info.checkpoint
    lineage = version.metadata
    assert (lineage["commit"], lineage["job"], lineage["experiment"]) == (commit, commit, info.experiment)
    assert lineage["code"]["sha"] == info.code_sha and lineage["net"]["model"] == "small"
    assert (out / "checkpoint" / "state_dict.pth").stat().st_size > 0
    assert (out / "checkpoint" / "code" / "preprocess.py").exists()
    assert "code:" in (out / STAGE_LOG).read_text()
    newest = max(path.stat().st_mtime for path in out.rglob("*") if path.is_file() and path.name != STAGE_LOG)
    assert (out / "model-info.yaml").stat().st_mtime == newest


def test_the_job_log_tells_how_it_went(first):
    output = first[1]
    for words in (
        "resource pool: default (CPU), profile: cpu",
        "RUNNING",
        "30/30 batches",
        "accuracy",
        "full training",
    ):
        assert words in output, output
    assert "trial: learning from" in output and "token: from PACH_TOKEN" in output


def test_the_token_is_left_nowhere(world, first):
    assert TOKEN not in first[1]
    for path in (world.tmp / "first" / "out").rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path
    experiment = mlde.experiment_for_job(world.client, first[0], "dogs-and-cats-model")
    trial = mlde.progress(world.client, experiment.id).trial
    assert TOKEN not in "\n".join(mlde.tail_logs(world.client, trial, 2000))


def test_metrics_and_logs_can_be_followed(world, first):
    experiment = mlde.experiment_for_job(world.client, first[0])
    now = mlde.progress(world.client, experiment.id)
    assert (now.state, now.fraction, now.batches, now.finished) == ("COMPLETED", 1.0, 30, True)
    points = mlde.metrics(world.client, now.trial)
    assert {p.group for p in points} == {"training", "validation"}
    last = [p for p in points if p.group == "validation"][-1]
    assert last.batches == 30 and {"accuracy", "loss", "recall_dog", "confusion_cat_as_dog"} <= set(last.values)
    assert mlde.best_checkpoint(world.client, experiment.id).uuid
    assert len(mlde.tail_logs(world.client, now.trial, 5)) == 5


def test_a_retried_job_finds_its_experiment_and_its_version(world, first):
    commit, _ = first
    before = len(world.experiments())
    code, output = world.run(commit, out="retry")
    assert code == 0, output
    assert "no second one is started" in output
    assert len(world.experiments()) == before
    model = mlde.find_model(world.client, MODEL)
    assert [version.name for version in mlde.versions(model)] == [commit]
    assert ModelInfo.load(world.tmp / "retry" / "out") == ModelInfo.load(world.tmp / "first" / "out")


def test_the_second_commit_goes_on_from_the_first_with_todays_code(world, first, code):
    readme = code / "examples" / "dog-cat" / "experiment" / "TODAY.md"
    readme.write_text("changed\n")
    git(code, "add", ".")
    git(code, "commit", "-qm", "two")
    commit = world.commit("data2")
    status, output = world.run(commit, out="second")
    assert status == 0, output
    info = ModelInfo.load(world.tmp / "second" / "out")
    assert (info.number, info.resumed_from, info.code_sha) == (2, first[0], git(code, "rev-parse", "HEAD"))
    assert (world.tmp / "second" / "out" / "checkpoint" / "code" / "TODAY.md").exists()
    assert "are new since the previous commit" in output
    held = output.partition("validating with ")[2].split()[0]
    assert int(held) > int(first[1].partition("validating with ")[2].split()[0])
    assert "resuming from version" in output
    code_again, output = world.run(commit, job="c" * 12 + "4" + "d" * 19, out="anew", no_incremental=True)
    assert code_again == 0, output
    assert ModelInfo.load(world.tmp / "anew" / "out").resumed_from == ""


def test_any_three_classes_become_a_model_that_names_them(world, first, tmp_path):
    shapes = write_shapes(tmp_path / "shapes", range(12))
    world.pach.create_repo("shapes", project_name="pets")
    with world.pach.commit("shapes", "master", project_name="pets") as opened:
        for path in sorted(shapes.rglob("*.png")):
            world.pach.put_file_bytes(opened, f"/data1/{path.relative_to(shapes).as_posix()}", path.read_bytes())
    status, output = world.run(opened.id, out="shapes", repo="shapes", model="shapes", classes=",".join(CLASSES))
    assert status == 0, output
    out = world.tmp / "shapes" / "out"
    info = ModelInfo.load(out)
    version = mlde.version_for_commit(world.client, "shapes", opened.id)
    experiment = mlde.experiment_for_job(world.client, opened.id)
    assert info.classes == CLASSES
    assert tuple(version.metadata["classes"]) == CLASSES
    assert tuple(experiment.config["data"]["classes"]) == CLASSES
    # The deploy stage's own steps: the net as TorchScript, then the archive that names its outputs.
    shutil.copytree(out / "checkpoint", tmp_path / "work" / "checkpoint")
    script, size = packing.export(tmp_path / "work", info)
    served = packing.pack(
        tmp_path / "work", script, size, info, deploy_options.parse_arguments(["--deployment-name", "shapes"])
    )
    with zipfile.ZipFile(served / "model-store" / "shapes.mar") as packed:
        names = json.loads(packed.read("index_to_name.json"))
        assert json.loads(packed.read("pdk-model.json"))["classes"] == list(CLASSES)
    assert names == {str(index): name for index, name in enumerate(CLASSES)}
    described = archive.describe(served / "model-store" / "shapes.mar")
    assert tuple(described.classes) == CLASSES


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"git_ref": "nowhere"}, "'nowhere' doesn't exist"),
        ({"resource_pool": "gpu-pool"}, "no resource pool 'gpu-pool'"),
        ({"config": "absent.yaml"}, "const.yaml"),
        ({"experiment_project": "absent"}, "no project 'absent'"),
        ({"profile": "tpu"}, "no profile 'tpu'"),
    ],
)
def test_wrong_flags_end_with_a_clear_message_and_no_experiment(world, first, flags, words):
    before = len(world.experiments())
    code, output = world.run("e" * 12 + "4" + "f" * 19, out="wrong", **flags)
    assert code == 1 and words in output, output
    assert "Traceback" not in output
    assert len(world.experiments()) == before


def test_a_commit_without_dogs_is_refused_by_the_trial_with_its_reason(world, first):
    with world.pach.commit("photos", "cats-only", project_name="pets") as opened:
        picture = (ROOT / "sample-data" / "pred" / "cat.1003.jpg").read_bytes()
        for number in range(4):
            world.pach.put_file_bytes(opened, f"/x/cat.{number}.jpg", picture)
    code, output = world.run(opened.id, out="cats", no_incremental=True)
    assert code == 1 and "class dog" in output and "DataError" in output, output
    assert not (world.tmp / "cats" / "out" / "model-info.yaml").exists()


def test_a_stopped_job_cancels_its_experiment(world, first):
    job = "1" * 12 + "4" + "2" * 19
    process = world.start(first[0], job=job, out="stopped", no_incremental=True)
    deadline = time.monotonic() + 60
    while (found := mlde.experiment_for_job(world.client, job)) is None:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    # On a busy machine, these few batches could end before the stage reads the signal.
    world.client.get_experiment(found.id).pause()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert mlde.wait_experiment(world.client, found.id, timeout=60).state == "CANCELED"


def test_models_are_found_by_their_exact_name(world, first):
    world.client.create_model("my-dogs-and-cats-v2")
    assert mlde.find_model(world.client, MODEL).name == MODEL
    assert mlde.find_model(world.client, "and-cats") is None
    assert mlde.find_model(world.client, "DOGS-AND-CATS") is None
    assert mlde.version_for_commit(world.client, "absent", first[0]) is None


def test_wrong_addresses_and_projects_are_explained(world, first):
    with pytest.raises(ServiceUnreachable, match="doesn't answer"):
        mlde.connect("127.0.0.1:9", "admin", PASSWORD)
    with pytest.raises(SettingsError, match="no project 'x'") as caught:
        mlde.check_project(world.client, WORKSPACE, "x")
    assert PROJECT in caught.value.where
    with pytest.raises(SettingsError, match="both"):
        mlde.check_project(world.client, WORKSPACE, "")
