"""The deploy stage: its flags, its refusals before slow work, and the whole way from a checkpoint to a service."""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes
import numpy as np
import pytest
import torch
import yaml

from pdk_nb import specs
from pdk_nb.cli import main
from pdk_nb.names import Names
from pdk_nb.packaging import archive, torchscript, torchserve_config
from pdk_nb.platforms import mlde, serving
from pdk_nb.settings import Settings, from_maps, load
from pdk_nb.stages import deploy, deploy_options
from pdk_nb.stages.model_info import ModelInfo
from pdk_nb.stages.worker import Worker
from pdk_shared.errors import DeploymentError, SettingsError, UsageError
from tests.support.doctor_tools import findings
from tests.support.object_stores import REGION, SignedS3, google_storage, signed_s3
from tests.support.processes import ServiceProcess
from tests.support.serving_tools import BLUE, PREPROCESS, RED, SIZE

JOB = "0123456789abcdef0123456789abcdef"
MODEL_DEF = """
import os
import torch
from determined.pytorch import DataLoader, PyTorchTrial


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.0))
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, batch):
        means = self.drop(batch).mean(dim=(2, 3))
        gap = self.scale * (means[:, 0] - means[:, 2])
        return torch.stack([-gap, gap], dim=1)


class Trial(PyTorchTrial):
    def __init__(self, context):
        self.context = context
        if os.environ.get("SERVING_MODE") != "true":
            raise RuntimeError("no data here")
        self.model = context.wrap_model(Net())
        self.optimizer = context.wrap_optimizer(torch.optim.SGD(self.model.parameters(), lr=0.1))

    def build_training_data_loader(self):
        return DataLoader([])

    build_validation_data_loader = build_training_data_loader

    def train_batch(self, batch, epoch_idx, batch_idx):
        return {}

    def evaluate_batch(self, batch):
        return {}
"""


def write_checkpoint(folder: Path, scale: float = 4.0) -> Path:
    """A checkpoint as Determined's PyTorchTrial writes it."""
    code = folder / "code"
    code.mkdir(parents=True)
    (code / "model_def.py").write_text(MODEL_DEF)
    (code / "preprocess.py").write_text(PREPROCESS)
    config = {
        "name": "x",
        "entrypoint": "model_def:Trial",
        "hyperparameters": {"image_size": {"type": "const", "val": SIZE}, "global_batch_size": 4},
        "searcher": {"name": "single", "metric": "accuracy", "max_length": {"batches": 1}},
        "resources": {"slots_per_trial": 1},
        "optimizations": {},
        "reproducibility": {"experiment_seed": 1},
    }
    load_data = {
        "trial_type": "PyTorchTrial",
        "experiment_config": config,
        "hparams": {"image_size": SIZE, "global_batch_size": 4},
        "trial_cls_spec": "model_def:Trial",
        "is_trainer": False,
    }
    (folder / "load_data.json").write_text(json.dumps(load_data))
    state = {
        "models_state_dict": [{"scale": torch.tensor(scale)}],
        "rng_state": {"np_rng_state": np.random.get_state()},
    }
    torch.save(state, folder / "state_dict.pth")
    return folder


@dataclass
class Checkpoint:
    source: Path
    uuid: str = "11111111-2222-3333-4444-555555555555"

    training: Any = None
    # What the storage and the master refuse, by mode.
    refused: dict[str, Exception] = field(default_factory=dict)

    def download(self, path: str, mode: Any = None) -> str:
        # The client compares with its own enumeration and takes no words.
        name = mode.value if mode is not None else "auto"
        if name in self.refused:
            Path(path).mkdir()
            raise self.refused[name]
        shutil.copytree(self.source, path)
        return path


@dataclass
class Version:
    name: str
    model_version: int
    checkpoint: Checkpoint


@dataclass
class Model:
    registered: dict[int, Version]

    def get_version(self, number: int) -> Version | None:
        return self.registered.get(number)


def options(*more: str, name: str = "dog-cat") -> deploy_options.DeployOptions:
    return deploy_options.parse_arguments(["--deployment-name", name, *more])


def test_the_examples_flags_are_understood() -> None:
    given = options(
        "--wait",
        "--cloud-model-host=aws",
        "--cloud-model-bucket=models",
        "--service-account-name=pach-deploy",
        "--tolerations=gpu=yes,team=a=b",
        "--resource-requests=cpu=2,memory=8Gi",
        "--resource-limits=cpu=10,nvidia.com/gpu=1",
        "--max-request-size=20000000",
    )
    assert given.wait is True
    assert (given.gate, options("--min-accuracy=0.8").gate) == (("accuracy", 0.0), ("accuracy", 0.8))
    assert options("--gate=auc=0.8").gate == ("auc", 0.8)
    assert given.resource_requests == {"cpu": "2", "memory": "8Gi"}
    assert given.resource_limits["nvidia.com/gpu"] == "1"
    assert [(each["key"], each["value"]) for each in given.tolerations] == [("gpu", "yes"), ("team", "a=b")]
    assert given.handler.name == "dog_cat_handler.py"
    assert options("--no-wait").wait is False


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cloud-model-host=gcp"], "needs a bucket"),
        (["--cloud-model-bucket=b"], "needs --cloud-model-host"),
        (["--resource-requests=cpu"], "isn't key=value"),
        (["--resource-limits=mem=2Gi"], "isn't a resource"),
        (["--wait-timeout=0"], "more than 0"),
        (["--min-accuracy=80"], "between 0 and 1"),
        (["--max-request-size=0"], "out of range"),
        (["--handler=/no/such.py"], "handler is missing"),
        (["--google-application-credentials=/no/key.json"], "key file doesn't exist"),
    ],
)
def test_wrong_flags_are_refused_before_any_work(flags: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        options(*flags)
    with pytest.raises(UsageError):
        options(name="Dog_Cat")


def test_usage_errors_end_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["--deployment-name", "dog-cat", "--cloud-model-host", "aws"]) == 2
    assert "needs a bucket" in capsys.readouterr().err


def test_a_checkpoint_becomes_torchscript_with_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    with pytest.raises(DeploymentError, match="no data here") as raised:
        torchscript.load_model(checkpoint)
    assert "SERVING_MODE" in raised.value.fix
    monkeypatch.setenv("SERVING_MODE", "true")
    # Another example's code, which this process loaded before, has modules of the same names.
    others = {path.stem: types.ModuleType(path.stem) for path in (checkpoint / "code").glob("*.py")}
    assert others
    for name, module in others.items():
        monkeypatch.setitem(sys.modules, name, module)
    model, hparams = torchscript.load_model(checkpoint)
    assert all(sys.modules[name] is module for name, module in others.items())
    assert not model.training
    assert hparams["image_size"] == SIZE
    target = tmp_path / "model.pt"
    assert torchscript.export(model, (3, SIZE, SIZE), target, outputs=2) == "scripted"
    sample = torch.rand(5, 3, SIZE, SIZE)
    assert torch.equal(torch.jit.load(str(target))(sample), model(sample))
    with pytest.raises(DeploymentError, match="3 scores"):
        torchscript.export(model, (3, SIZE, SIZE), target, outputs=3)


@pytest.mark.parametrize("profile", ["cpu", pytest.param("gpu", marks=pytest.mark.slow)])
def test_the_examples_own_nets_are_exported(profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    experiment = specs.examples_folder() / "dog-cat" / "experiment"
    settings = yaml.safe_load((experiment / "profiles" / f"{profile}.yaml").read_text())["hyperparameters"]
    settings |= {"pretrained": False, "global_batch_size": 4}
    monkeypatch.syspath_prepend(str(experiment))
    nets = importlib.import_module("nets")
    options = {key: settings[key] for key in ("width", "dropout") if key in settings}
    torch.manual_seed(1)
    net = nets.build(settings["model"], 2, pretrained=False, **options).eval()
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    shutil.rmtree(checkpoint / "code")
    shutil.copytree(experiment, checkpoint / "code")
    described = json.loads((checkpoint / "load_data.json").read_text())
    described |= {"hparams": settings, "trial_cls_spec": "model_def:DogCatModel"}
    described["experiment_config"] |= {"hyperparameters": settings, "entrypoint": "model_def:DogCatModel"}
    (checkpoint / "load_data.json").write_text(json.dumps(described))
    torch.save({"models_state_dict": [net.state_dict()]}, checkpoint / "state_dict.pth")
    monkeypatch.setenv("SERVING_MODE", "true")
    for module in ("data", "nets", "preprocess", "model_def"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    model, hparams = torchscript.load_model(checkpoint)
    size = int(hparams["image_size"])
    torchscript.export(model, (3, size, size), tmp_path / "model.pt", outputs=2)
    sample = torch.rand(1, 3, size, size)
    with torch.inference_mode():
        answers = torch.jit.load(str(tmp_path / "model.pt"))(sample)
        assert torch.allclose(answers, net(sample), atol=1e-4)


class OnlyTraceable(torch.nn.Module):
    def forward(self, *batches: torch.Tensor) -> torch.Tensor:
        return torch.stack([each.mean(dim=(1, 2, 3)) for each in batches], dim=1)[:, [0, 0]]


class Restless(torch.nn.Module):
    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.rand(batch.shape[0], 2)


def test_models_that_cannot_be_scripted_are_traced(tmp_path: Path) -> None:
    assert torchscript.export(OnlyTraceable().eval(), (3, 4, 4), tmp_path / "m.pt") == "traced"


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_file_with_other_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="differ by"):
        torchscript.export(Restless().eval(), (3, 4, 4), tmp_path / "m.pt")


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    with google_storage() as address:
        yield address


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, google: str) -> Iterator[Settings]:
    secrets = {"admin_token": "admin-token-for-tests", "worker_token": "worker-token-for-tests"}
    with pytest.MonkeyPatch.context() as patch:
        # On Google Cloud the storage initialiser needs nothing; here it is told where "Google" is.
        patch.setenv("STORAGE_EMULATOR_HOST", google)
        service = ServiceProcess("kubernetes", tmp_path_factory.mktemp("deploy"), secrets).start()
    client = kubernetes.config.new_client_from_config(config_file=service.ready["kubeconfig"])
    kubernetes.client.CoreV1Api(client).create_namespace({"metadata": {"name": "models"}})
    ingress = service.ready["ingress"].removeprefix("http://")
    yield from_maps({"kserve_ingress_host": ingress}, kubeconfig=service.ready["kubeconfig"])
    service.stop()


def measured(source: Path, **metrics: float) -> Model:
    """A registry whose version 3 has validation metrics, as Determined's client gives them."""
    training = SimpleNamespace(validation_metrics={"avgMetrics": metrics})
    return Model({3: Version(JOB, 3, Checkpoint(source, training=training))})


@pytest.fixture
def job(tmp_path: Path, cluster: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker's surroundings: /pfs, its variables, and a registry with one version."""
    pfs = tmp_path / "pfs"
    (pfs / "data").mkdir(parents=True)
    (pfs / "out").mkdir()
    info = ModelInfo("dogs-and-cats", JOB, "dogs-and-cats-model", "dogs-and-cats-data", number=3, experiment=9)
    info = ModelInfo(**{**info.__dict__, "project": "p", "classes": ("dog", "cat"), "extra": {"image_size": SIZE}})
    info.save(pfs / "data")
    variables = {
        "PDK_PFS_ROOT": str(pfs),
        "PACH_JOB_ID": JOB,
        "PPS_PIPELINE_NAME": "dogs-and-cats-deploy",
        "PPS_PROJECT_NAME": "p",
        "DET_MASTER": "master:8080",
        "DET_USER": "admin",
        "KSERVE_NAMESPACE": "models",
        "KUBECONFIG": str(cluster.kubeconfig),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    registered = measured(write_checkpoint(tmp_path / "stored"), accuracy=0.97)
    monkeypatch.setattr(mlde, "connect", lambda *given: None)
    monkeypatch.setattr(mlde, "find_model", lambda client, name: registered if name == "dogs-and-cats" else None)
    return pfs


def test_a_job_leaves_its_model_and_its_service(job: Path, cluster: Settings, capsys: Any) -> None:
    assert deploy.main(["--deployment-name", "onprem", "--service-account-name", "pach-deploy"]) == 0
    said = capsys.readouterr().out
    folder = job / "out" / "dogs-and-cats" / JOB
    assert torchserve_config.lint_folder(folder) == []
    info = archive.describe(folder / "model-store" / "dogs-and-cats.mar")
    assert (info.version, info.classes, info.facts["image_size"]) == (JOB, ("dog", "cat"), SIZE)
    status = serving.service_status(cluster, "onprem")
    assert status.storage_uri == f"s3://{JOB}.master.dogs-and-cats-deploy.p/dogs-and-cats/{JOB}/"
    assert status.annotations["pach_id"] == JOB
    assert status.annotations["pdk-lab/experiment"] == "9"
    assert status.number == 3
    assert "not waiting for READY" in said
    # A retry of the job changes nothing on the cluster.
    assert deploy.main(["--deployment-name", "onprem", "--service-account-name", "pach-deploy"]) == 0
    assert "unchanged" in capsys.readouterr().out
    again = archive.describe(folder / "model-store" / "dogs-and-cats.mar")
    # A second export in one process counts its classes' names up (__torch_mangle); a retried job is a new process.
    sizes = [{each.name: each.size for each in one.entries if each.name != "model.pt"} for one in (info, again)]
    assert sizes[0] == sizes[1]
    assert [each.name for each in info.entries] == [each.name for each in again.entries]
    assert os.environ.get("SERVING_MODE") is None
    serving.delete(cluster, "onprem")


def test_a_registry_that_disagrees_is_refused(job: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    source = job.parent / "stored"
    monkeypatch.setattr(mlde, "find_model", lambda *given: Model({3: Version("f" * 32, 3, Checkpoint(source))}))
    assert deploy.main(["--deployment-name", "dog-cat"]) == 1
    assert "is called" in capsys.readouterr().err
    monkeypatch.setattr(mlde, "find_model", lambda *given: Model({}))
    assert deploy.main(["--deployment-name", "dog-cat"]) == 1
    assert "no version 3" in capsys.readouterr().err
    monkeypatch.setattr(mlde, "find_model", lambda *given: None)
    assert deploy.main(["--deployment-name", "dog-cat"]) == 1
    assert "no model 'dogs-and-cats'" in capsys.readouterr().err
    assert [path.name for path in (job / "out").rglob("*")] == ["stage.log"]


def test_a_version_that_misses_the_gate_is_not_deployed(
    job: Path, cluster: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    source = job.parent / "stored"
    flags = ["--deployment-name", "gated", "--min-accuracy", "0.8"]
    monkeypatch.setattr(mlde, "find_model", lambda *given: measured(source, accuracy=0.7966, validation_loss=0.1))
    assert deploy.main(flags) == 1
    said = capsys.readouterr().err
    assert "Registered, not deployed: accuracy on the hold-out is 0.796; the gate requires 0.8." in said
    monkeypatch.setattr(mlde, "find_model", lambda *given: measured(source, validation_loss=0.1))
    assert deploy.main(flags) == 1
    assert "this version's checkpoint has none" in capsys.readouterr().err
    with pytest.raises(DeploymentError, match="no such"):
        serving.service_status(cluster, "gated")
    assert [path.name for path in (job / "out").rglob("*")] == ["stage.log"]
    monkeypatch.setattr(mlde, "find_model", lambda *given: measured(source, accuracy=0.8))
    assert deploy.main(flags) == 0
    assert "accuracy on the hold-out is 0.800; the gate requires 0.8" in capsys.readouterr().out
    # A worse version afterwards: the service keeps what it has.
    before = serving.service_status(cluster, "gated").storage_uri
    monkeypatch.setattr(mlde, "find_model", lambda *given: measured(source, accuracy=0.5))
    monkeypatch.setenv("PACH_JOB_ID", "f" * 32)
    assert deploy.main(flags) == 1
    assert serving.service_status(cluster, "gated").storage_uri == before
    serving.delete(cluster, "gated")


def test_a_checkpoint_comes_through_the_master_where_its_storage_is_closed(
    job: Path, cluster: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    closed = Checkpoint(job.parent / "stored", refused={"auto": OSError("InvalidAccessKeyId")})
    monkeypatch.setattr(mlde, "find_model", lambda *given: Model({3: Version(JOB, 3, closed)}))
    assert deploy.main(["--deployment-name", "closed"]) == 0
    serving.delete(cluster, "closed")
    closed.refused["master"] = OSError("not for this kind of storage")
    assert deploy.main(["--deployment-name", "closed"]) == 1
    said = capsys.readouterr().err
    assert "InvalidAccessKeyId; nor through the master: not for this kind" in said


def test_missing_variables_are_named(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DET_MASTER")
    with pytest.raises(SettingsError, match="DET_MASTER"):
        deploy.run(options(), Worker.from_environment())


@pytest.fixture
def amazon(cluster: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The flags for a bucket on an S3 that checks signatures, with keys for the job and for the predictor."""
    with signed_s3() as server:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        core = serving.connect(cluster).core
        notes = {"s3-endpoint": server.endpoint.removeprefix("http://"), "s3-usehttps": "0", "s3-region": REGION}
        metadata = {"name": "keys", "annotations": {f"serving.kserve.io/{key}": text for key, text in notes.items()}}
        keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
        core.create_namespaced_secret("models", {"metadata": metadata, "stringData": keys})
        account = {"metadata": {"name": "reader"}, "secrets": [{"name": "keys"}]}
        core.create_namespaced_service_account("models", account)
        yield ["--cloud-model-endpoint", server.endpoint, "--service-account-name", "reader"]
        core.delete_namespaced_service_account("reader", "models")
        core.delete_namespaced_secret("keys", "models")


@pytest.mark.slow
@pytest.mark.parametrize(("host", "scheme"), [("aws", "s3"), ("gcp", "gs")])
def test_with_a_bucket_the_job_waits_for_the_service(
    host: str,
    scheme: str,
    job: Path,
    cluster: Settings,
    google: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    capsys: Any,
) -> None:
    more = []
    if host == "aws":
        more = request.getfixturevalue("amazon")
    else:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", google)
    flags = ["--deployment-name", f"on-{host}", "--cloud-model-host", host, "--cloud-model-bucket", "models"]
    assert deploy.main([*flags, *more, "--wait-timeout", "120"]) == 0
    said = capsys.readouterr().out
    assert f"{scheme}://models/ can be written" in said
    assert f"URL: http://on-{host}.models.example.com" in said
    assert serving.service_status(cluster, f"on-{host}").storage_uri == f"{scheme}://models/dogs-and-cats/{JOB}/"
    # Nothing goes to the output commit but what Pachyderm needs to see an end.
    assert list((job / "out").rglob("*.mar")) == []
    answers = serving.predict(cluster, f"on-{host}", [RED, BLUE])
    assert [(each.label, each.version) for each in answers] == [("cat", JOB), ("dog", JOB)]
    serving.delete(cluster, f"on-{host}")


@pytest.fixture
def minio() -> Iterator[SignedS3]:
    with signed_s3() as server:
        yield server


@pytest.mark.slow
def test_with_a_bucket_on_minio_everything_follows_from_pdk_config(
    job: Path, cluster: Settings, minio: SignedS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    """An administrator says where MinIO is; the pipeline and the predictor get address and keys from that."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, text in (("access", minio.access_key), ("secret", minio.secret_key), ("password", "a-password")):
        (tmp_path / name).write_text(text)
    values = {
        **{f"{name}_{part}": text for name in ("mldm", "mlde") for part, text in (("host", "h"), ("port", "1"))},
        "kserve_ingress_host": cluster.kserve_ingress_host,
        "kserve_ingress_port": str(cluster.kserve_ingress_port),
        "minio_url": minio.endpoint,
        "kserve_model_bucket_name": "models",
    }
    words = [word for key, text in values.items() for word in ("--set", f"{key}={text}")]
    words += ["--minio-access-key-file", str(tmp_path / "access"), "--minio-secret-key-file", str(tmp_path / "secret")]
    words += ["--det-password-file", str(tmp_path / "password")]
    assert main(["config", "init", "--apply", "--kubeconfig", str(cluster.kubeconfig), *words]) == 0
    known = load(cluster.kubeconfig)
    assert {name: each.state for name, each in findings(known, "storage").items()} == {"models": "ok", "account": "ok"}
    assert findings(known, "cluster")["secret"].state == "ok"
    # The job gets what the rendered pipeline gives it, and nothing else.
    _, spec = specs.render_for(known, Names())
    core = serving.connect(cluster).core
    secret = core.read_namespaced_secret(known.mldm_pipeline_secret, known.mldm_namespace).data
    for each in spec["transform"]["secrets"]:
        monkeypatch.setenv(each["env_var"], base64.b64decode(secret[each["key"]]).decode())
    command = shlex.split(spec["transform"]["stdin"][-1])
    assert command[:3] == ["exec", "python", "deploy.py"]
    assert deploy.main([*command[3:], "--wait-timeout", "120"]) == 0
    for name in specs.BUCKET_SECRETS:
        monkeypatch.delenv(name)
    service = Names().service
    assert serving.service_status(known, service).storage_uri == f"s3://models/dogs-and-cats/{JOB}/"
    answers = serving.predict(known, service, [RED, BLUE])
    assert [(each.label, each.version) for each in answers] == [("cat", JOB), ("dog", JOB)]
    assert main(["storage", "list", "--kubeconfig", str(cluster.kubeconfig)]) == 0
    said = capsys.readouterr()
    assert f"s3://models/dogs-and-cats/{JOB}/" in said.out.splitlines()
    assert minio.secret_key not in said.out + said.err
    serving.delete(known, service)
