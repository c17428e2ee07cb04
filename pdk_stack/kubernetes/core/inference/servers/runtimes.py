"""Serving runtimes: chooses the model server for a predictor."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason
from pdk_stack.kubernetes.core.inference.resources import custom_container
from pdk_stack.kubernetes.core.inference.servers.custom_predictor import (
    CustomServer,
    check_container,
    plain_environment,
)
from pdk_stack.kubernetes.core.inference.servers.model_server import ModelServer
from pdk_stack.kubernetes.core.inference.servers.python_server import PYTHON, PythonServer
from pdk_stack.kubernetes.core.inference.servers.torchserve import TorchServe, java_executable

TORCHSERVE = "kserve-torchserve"
RUNTIMES = (TORCHSERVE, PYTHON)
PROTOCOLS = ("v1", "v2")


def model_server(folder: Path, home: Path, predictor: dict[str, Any], limit: int = 0) -> ModelServer:
    """Create the model server for a predictor.

    Args:
        folder: The revision's folder.
        home: The server's own folder.
        predictor: ``spec.predictor``.
        limit: Memory limit in bytes; 0 means no limit.
    """
    if container := custom_container(predictor):
        return CustomServer(folder, home, container, limit)
    model = predictor.get("model") or {}
    protocol = str(model.get("protocolVersion") or "v1")
    made = PythonServer if (model.get("runtime") or default_runtime()) == PYTHON else TorchServe
    return made(folder, home, protocol, plain_environment(model), limit)


def default_runtime() -> str:
    """Return TorchServe, as on a cluster, or the Python server if Java is absent."""
    try:
        java_executable()
    except ModelServerError:
        return PYTHON
    return TORCHSERVE


def check_predictor(predictor: dict[str, Any]) -> None:
    """Refuse predictors that the embedded runtimes can't serve.

    Raises:
        ModelServerError: The predictor is unsupported; the message lists the supported ones.
    """
    if container := custom_container(predictor):
        check_container(container)
        return
    model = predictor.get("model")
    if not isinstance(model, dict):
        given = ", ".join(sorted(key for key in predictor if key not in ("serviceAccountName",))) or "nothing"
        raise ModelServerError(
            f"The embedded runtime serves PyTorch models and custom containers; the predictor has {given}.",
            reason=Reason.NO_RUNTIME,
        )
    framework = (model.get("modelFormat") or {}).get("name")
    if framework != "pytorch":
        raise ModelServerError(
            f"The embedded runtime serves modelFormat pytorch, not {framework}.", reason=Reason.NO_RUNTIME
        )
    runtime = model.get("runtime") or default_runtime()
    if runtime not in RUNTIMES:
        raise ModelServerError(
            f"There is no runtime {runtime} here; there are {', '.join(RUNTIMES)}.", reason=Reason.UNKNOWN_RUNTIME
        )
    if runtime == PYTHON and importlib.util.find_spec("kserve") is None:
        raise ModelServerError(
            f"The runtime {PYTHON} needs the package kserve, which Python 3.12 and later don't have; "
            f"use {TORCHSERVE}, or a stack on Python 3.11.",
            reason=Reason.NO_RUNTIME,
        )
    protocol = model.get("protocolVersion") or "v1"
    if protocol not in PROTOCOLS:
        raise ModelServerError(
            f"The embedded runtimes speak {' and '.join(PROTOCOLS)}, not {protocol}.", reason=Reason.NO_RUNTIME
        )
    if not model.get("storageUri"):
        raise ModelServerError("The predictor has no storageUri.", reason=Reason.INVALID_SPEC)
