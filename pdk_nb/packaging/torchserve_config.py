"""``config.properties`` of TorchServe under KServe: written, read and linted.

KServe's wrapper around TorchServe reads the same file: the addresses, and the models' names from the snapshot
(``kubernetes/kserve/kserve_wrapper`` of pytorch/serve 0.12). Most services that never become ready have a port or a
name wrong here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdk_nb.counting import counted
from pdk_nb.packaging.archive import check_model_name, describe
from pdk_shared.errors import DeploymentError, PdkError, UsageError

__all__ = ["DEFAULT_MAX_BYTES", "Problem", "config_text", "lint", "lint_folder", "parse", "write"]

MODEL_STORE = "/mnt/models/model-store"
# The wrapper listens on 8080 (HTTP) and 8081 (gRPC) itself.
PORTS = {"inference_address": 8085, "management_address": 8083, "metrics_address": 8082}
WRAPPER_PORTS = {8080, 8081}
# TorchServe's default limit of a request or answer (6.25 MiB and a bit).
DEFAULT_MAX_BYTES = 6_553_500
# TorchServe's limits are 32-bit integers.
LARGEST_MAX_BYTES = 2**31 - 1
REQUIRED = ("inference_address", "management_address", "model_store", "model_snapshot")


@dataclass(frozen=True)
class Problem:
    """A problem in a configuration.

    Attributes:
        key: The property.
        problem: What is wrong.
        fix: The line that corrects it.
        error: Whether the service cannot work with it; a warning otherwise.
    """

    key: str
    problem: str
    fix: str = ""
    error: bool = True

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}"


def config_text(
    model: str,
    version: str,
    *,
    max_request_size: int = DEFAULT_MAX_BYTES,
    max_response_size: int = DEFAULT_MAX_BYTES,
    workers: int = 1,
    response_timeout: int = 120,
) -> str:
    """The text of ``config.properties`` for one model.

    Args:
        model: Model name; its archive is ``<model>.mar``.
        version: Model version.
        max_request_size: Largest request in bytes; a picture grows by a third as base64.
        max_response_size: Largest answer in bytes.
        workers: Worker processes at start.
        response_timeout: Seconds that a worker may take for one answer.

    Raises:
        UsageError: A name or number cannot be used.
    """
    check_model_name(model)
    check_model_name(version)
    for flag, value in (("--max-request-size", max_request_size), ("max_response_size", max_response_size)):
        if not 1 <= value <= LARGEST_MAX_BYTES:
            raise UsageError(f"{flag} is {value}; TorchServe takes 1 to {LARGEST_MAX_BYTES} bytes.")
    # A batch of more than one request is broken in TorchServe's KServe envelope: it reads the first only.
    settings = {"defaultVersion": True, "marName": f"{model}.mar", "minWorkers": workers}
    settings |= {"maxWorkers": max(workers, 5), "batchSize": 1, "maxBatchDelay": 100}
    settings |= {"responseTimeout": response_timeout}
    snapshot = {"name": "startup.cfg", "modelCount": 1, "models": {model: {version: settings}}}
    lines = {key: f"http://0.0.0.0:{port}" for key, port in PORTS.items()}
    lines |= {
        "grpc_inference_port": "7070",
        "grpc_management_port": "7071",
        # KServe names the request format (service envelope) in an environment variable.
        "enable_envvars_config": "true",
        # The ingress decides who may call; TorchServe 0.12 would refuse every request without its own token.
        "disable_token_authorization": "true",
        # Never pip at load time.
        "install_py_dep_per_model": "false",
        "enable_metrics_api": "true",
        "metrics_mode": "prometheus",
        "number_of_netty_threads": "4",
        "job_queue_size": "100",
        "max_request_size": str(max_request_size),
        "max_response_size": str(max_response_size),
        "model_store": MODEL_STORE,
        "model_snapshot": json.dumps(snapshot, separators=(",", ":")),
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def parse(text: str) -> dict[str, str]:
    """The properties of a ``config.properties`` text; comments and blank lines are left out."""
    properties: dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip()
        if line and line[0] not in "#!" and "=" in line:
            key, _, value = line.partition("=")
            properties[key.strip()] = value.strip()
    return properties


def lint(text: str, *, archives: dict[str, str] | None = None) -> list[Problem]:
    """What is wrong with a configuration.

    Args:
        text: Contents of ``config.properties``, of this lab or of any other kit.
        archives: Model name by archive file name, when the archives are known.

    Returns:
        Problems, errors first; none for what this module writes.
    """
    properties = parse(text)
    found = [
        Problem(key, "is missing", "See pdk_nb.packaging.torchserve_config.")
        for key in REQUIRED
        if key not in properties
    ]
    found += _lint_ports(properties)
    found += _lint_switches(properties)
    if "model_snapshot" in properties:
        found += _lint_snapshot(properties["model_snapshot"], archives)
    store = properties.get("model_store", MODEL_STORE)
    if store != MODEL_STORE:
        found.append(
            Problem("model_store", f"is {store}; the archive is in {MODEL_STORE}", f"model_store={MODEL_STORE}")
        )
    return sorted(found, key=lambda each: not each.error)


def _port(address: str) -> int | None:
    tail = address.rsplit(":", 1)[-1].rstrip("/")
    return int(tail) if tail.isdigit() else None


def _lint_ports(properties: dict[str, str]) -> list[Problem]:
    found = []
    used: dict[int, str] = {}
    for key in (*PORTS, "grpc_inference_port", "grpc_management_port"):
        if key not in properties:
            continue
        port = _port(properties[key])
        if port is None:
            found.append(
                Problem(key, f"has no port: {properties[key]}", f"{key}=http://0.0.0.0:{PORTS.get(key, 7070)}")
            )
            continue
        if port in WRAPPER_PORTS:
            found.append(Problem(key, f"port {port} is KServe's own", f"{key}=http://0.0.0.0:{PORTS.get(key, 7070)}"))
        # Inference and management may share a port; TorchServe serves both there.
        if port in used and {used[port], key} != {"inference_address", "management_address"}:
            found.append(Problem(key, f"port {port} is {used[port]}'s as well", ""))
        used.setdefault(port, key)
    return found


def _lint_switches(properties: dict[str, str]) -> list[Problem]:
    found = []
    if properties.get("enable_envvars_config") != "true":
        problem = "isn't true, so TorchServe doesn't see KServe's request format"
        found.append(Problem("enable_envvars_config", problem, "enable_envvars_config=true"))
    if properties.get("disable_token_authorization") != "true":
        problem = "isn't true: TorchServe 0.12 refuses requests without its token (HTTP 400)"
        fix = "disable_token_authorization=true"
        found.append(Problem("disable_token_authorization", problem, fix, error=False))
    if properties.get("install_py_dep_per_model") == "true":
        problem = "lets an archive run pip while it loads"
        found.append(Problem("install_py_dep_per_model", problem, "install_py_dep_per_model=false", error=False))
    if "metrics_format" in properties:
        found.append(Problem("metrics_format", "is no property of TorchServe", "metrics_mode=prometheus", error=False))
    for key in ("max_request_size", "max_response_size"):
        value = properties.get(key)
        if value is not None and not (value.isdigit() and 0 < int(value) <= LARGEST_MAX_BYTES):
            found.append(Problem(key, f"is {value}, which isn't a number of bytes", f"{key}={DEFAULT_MAX_BYTES}"))
    return found


def _lint_snapshot(text: str, archives: dict[str, str] | None) -> list[Problem]:
    key = "model_snapshot"
    try:
        snapshot: Any = json.loads(text)
        models: dict[str, dict[str, dict[str, Any]]] = dict(snapshot["models"])
        entries = [(model, settings) for model, versions in models.items() for settings in versions.values()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return [Problem(key, f"can't be read: {type(error).__name__} {error}", "Write it on one line, as JSON.")]
    found = []
    if snapshot.get("modelCount") != len(models):
        found.append(
            Problem(key, f"modelCount is {snapshot.get('modelCount')}, but it names {counted(len(models), 'model')}")
        )
    if not entries:
        found.append(Problem(key, "names no model"))
    for model, settings in entries:
        mar = str(settings.get("marName", ""))
        if not mar:
            found.append(Problem(key, f"gives no marName for {model}"))
        elif archives is not None and mar not in archives:
            found.append(Problem(key, f"names {mar}; the model store has {', '.join(sorted(archives)) or 'nothing'}"))
        elif archives is not None and archives[mar] != model:
            found.append(Problem(key, f"calls {mar} '{model}', its manifest '{archives[mar]}'"))
        if settings.get("batchSize", 1) != 1:
            problem = f"batchSize {settings['batchSize']} loses requests with KServe's v1 format"
            found.append(Problem(key, problem, "batchSize 1", error=False))
    return found


def write(folder: Path, model: str, version: str, **options: int) -> Path:
    """Write ``config/config.properties`` under a folder.

    Args:
        folder: What ``storageUri`` will point to.
        model: Model name.
        version: Model version.
        options: As for :func:`config_text`.

    Raises:
        UsageError: A name or number cannot be used.
    """
    target = folder / "config" / "config.properties"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(config_text(model, version, **options))
    return target


def lint_folder(folder: Path) -> list[Problem]:
    """Check a whole model folder, as it is before the upload: configuration, archives and their agreement.

    Raises:
        DeploymentError: There is no configuration.
    """
    config = folder / "config" / "config.properties"
    if not config.is_file():
        raise DeploymentError("The model folder has no config/config.properties.", where=str(folder))
    archives: dict[str, str] = {}
    found = []
    for mar in sorted(folder.glob("model-store/*.mar")):
        try:
            archives[mar.name] = describe(mar).name
        except PdkError as error:
            found.append(Problem(mar.name, error.what))
            archives[mar.name] = ""
    return found + lint(config.read_text(), archives=archives)
