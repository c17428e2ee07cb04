"""Put the recorded calls to the embedded services and sort the answers.

The programs that ask, the real servers' answers and the comparison lie in the reference folder (``golden``); see
:func:`tests.support.reference.reference_dir`. Every service starts on its own, with new state and loopback ports.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubernetes.client import CoreV1Api
from kubernetes.config import new_client_from_config

from tests.support.processes import ServiceProcess
from tests.support.reference import reference_dir

CLASSES = ("accepted", "refused", "code", "words", "absent", "same")
PASSWORD = "Golden-pass-1"
ASK_TIMEOUT_S = 900.0

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Platform:
    """One program that asks.

    Args:
        answers: File names of the recorded answers.
        program: The program's name without ``.py``.
        open: Starts what is asked and yields the program's arguments.
        tool: A command line program that it needs, or nothing.
    """

    answers: tuple[str, ...]
    program: str
    open: Callable[[Path], AbstractContextManager[list[str]]]
    tool: str = ""


def golden_dir() -> Path | None:
    """Return the folder with programs and answers, or ``None`` where it is absent."""
    reference = reference_dir()
    return reference / "golden" if reference and (reference / "golden" / "score.py").is_file() else None


@contextmanager
def running(*services: ServiceProcess) -> Iterator[None]:
    """Stop the services at the end, in reverse order."""
    try:
        yield
    finally:
        for service in reversed(services):
            service.stop()


def _kubernetes(folder: Path) -> ServiceProcess:
    return ServiceProcess("kubernetes", folder, {"admin_token": "golden-admin", "worker_token": "golden-worker"})


@contextmanager
def pachyderm(folder: Path) -> Iterator[list[str]]:
    """Start Pachyderm without authentication, as the real one ran, beside a cluster for its Secrets."""
    cluster = _kubernetes(folder)
    with running(cluster):
        cluster.start()
        arguments = ["--kubeconfig", cluster.ready["kubeconfig"]]
        pachd = ServiceProcess("pachyderm", folder, {"root_token": ""}, arguments)
        with running(pachd):
            pachd.start()
            yield ["--pachd", pachd.ready["pachd"].split("//")[-1], "--s3", pachd.ready["s3"]]


@contextmanager
def pachctl(folder: Path) -> Iterator[list[str]]:
    """Start Pachyderm for the commands of ``pachctl``."""
    with pachyderm(folder) as (_, address, *_):
        yield ["--address", f"grpc://{address}", "--pachctl", shutil.which("pachctl") or "pachctl"]


@contextmanager
def determined(folder: Path) -> Iterator[list[str]]:
    """Start a master with four slots, as the real one had."""
    master = ServiceProcess(
        "determined", folder, {"admin_password": PASSWORD, "user_password": PASSWORD}, ["--slots", "4"]
    )
    with running(master):
        master.start()
        yield ["--master", master.ready["determined"], "--user", "admin", "--password", PASSWORD]


@contextmanager
def kubernetes(folder: Path, mode: str = "RawDeployment") -> Iterator[list[str]]:
    """Start a cluster with KServe, configured for raw deployments as the real one was."""
    cluster = _kubernetes(folder)
    with running(cluster):
        cluster.start()
        core = CoreV1Api(new_client_from_config(config_file=cluster.ready["kubeconfig"]))
        core.create_namespace({"metadata": {"name": "kserve"}})
        deploy = {"deploy": json.dumps({"defaultDeploymentMode": mode})}
        core.create_namespaced_config_map("kserve", {"metadata": {"name": "inferenceservice-config"}, "data": deploy})
        yield ["--kubeconfig", cluster.ready["kubeconfig"]]


@contextmanager
def serverless(folder: Path) -> Iterator[list[str]]:
    """Start a cluster with KServe in serverless mode, for the InferenceServices alone."""
    with kubernetes(folder, "Serverless") as arguments:
        yield [*arguments, "--only", "isvc"]


PLATFORMS = {
    "pachyderm": Platform(
        tuple(f"pachyderm-{group}.json" for group in ("repos", "files", "pipelines", "jobs", "s3", "admin")),
        "pachyderm",
        pachyderm,
    ),
    "pachctl": Platform(("pachctl.json",), "pachctl", pachctl, "pachctl"),
    "determined": Platform(("determined.json",), "determined", determined),
    "kubernetes": Platform(("kubernetes.json",), "kubernetes", kubernetes, "kubectl"),
    "serverless": Platform(("isvc-serverless.json",), "kubernetes", serverless),
}


def ask(name: str, folder: Path, only: list[str]) -> Path:
    """Put a platform's calls to the embedded service.

    Args:
        name: Key of :data:`PLATFORMS`.
        folder: Empty folder for the service's state, its log and the record.
        only: Groups of calls; all when empty.

    Returns:
        The record of the answers.

    Raises:
        AssertionError: The program that asks failed.
    """
    golden = golden_dir()
    assert golden, "the recorded answers are not here"
    platform, record = PLATFORMS[name], folder / f"{name}.json"
    home = folder / "home"
    home.mkdir(parents=True)
    with platform.open(folder) as arguments:
        # Clients that are called by name must belong to this environment, and keep their caches to themselves.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "HOME": str(home), "PATH": path, "PYTHONWARNINGS": "ignore"}
        for group in only:
            arguments += ["--only", group]
        with (folder / f"{name}.out").open("wb") as sink:
            done = subprocess.run(
                [sys.executable, golden / f"{platform.program}.py", *arguments, "--out", record],
                env=environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
                timeout=ASK_TIMEOUT_S,
            )
        assert done.returncode == 0, (folder / f"{name}.out").read_text()[-3000:]
    return record


def score(name: str, record: Path, *options: str) -> str:
    """Compare a record with the real servers' answers.

    Args:
        name: Key of :data:`PLATFORMS`.
        record: What :func:`ask` returned.
        options: Options of the comparison, for example ``--show accepted``.

    Returns:
        What the comparison printed.
    """
    golden = golden_dir()
    assert golden, "the recorded answers are not here"
    answers = [golden / "answers" / each for each in PLATFORMS[name].answers]
    command = [sys.executable, golden / "score.py", record, *answers, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def counts(name: str, record: Path) -> Counts:
    """Return how many calls fall into each class, by group and in ``all``."""
    found: Counts = json.loads(score(name, record, "--json"))
    return {group: {each: of.get(each, 0) for each in CLASSES} for group, of in found.items()}
