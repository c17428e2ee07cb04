"""Resource requests and limits on a single machine."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

import psutil

from pdk_stack.common.polling import poll
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason
from pdk_stack.kubernetes.store.columns import Object

# Suffixes of quantities (k8s.io/apimachinery/pkg/api/resource).
SUFFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
SUFFIXES |= {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60}
# What KServe's webhook fills in for a custom container (pkg/apis/serving/v1beta1/inference_service_defaults.go).
DEFAULT_RESOURCES = {"cpu": "1", "memory": "2Gi"}
GUARD_POLL_S = 1.0


def quantity(text: Any) -> float:
    """Parse a Kubernetes quantity.

    Raises:
        ValueError: The text is not a quantity.
    """
    value = str(text).strip()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if value.endswith(suffix):
            return float(value[: -len(suffix)]) * SUFFIXES[suffix]
    return float(value)


def cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def capacity() -> dict[str, str]:
    """Return the machine's capacity, as a node reports it."""
    memory = psutil.virtual_memory().total // 1024
    disk = psutil.disk_usage("/").total // 1024
    size = {"cpu": str(cpus()), "memory": f"{memory}Ki", "ephemeral-storage": f"{disk}Ki"}
    return {**size, "pods": "110"}


def custom_container(predictor: dict[str, Any]) -> dict[str, Any] | None:
    """Return a custom predictor's serving container: ``kserve-container``, or else the first."""
    if isinstance(predictor.get("model"), dict):
        return None
    containers = [each for each in predictor.get("containers") or [] if isinstance(each, dict)]
    named = (each for each in containers if each.get("name") == "kserve-container")
    return next(named, containers[0] if containers else None)


def container_of(predictor: dict[str, Any]) -> dict[str, Any]:
    """Return what serves: the model, which is a container with extra fields, or the custom container."""
    return custom_container(predictor) or predictor.get("model") or {}


def asked(service: Object) -> dict[str, dict[str, Any]]:
    """Return the ``requests`` and ``limits`` that somebody asked for.

    What the webhook fills in for a custom container is neither counted nor enforced: a laptop with two CPUs has room
    for more than two small models, and an update needs room for the old and the new one.
    """
    predictor = service["spec"]["predictor"]
    filled_in = DEFAULT_RESOURCES if custom_container(predictor) else {}
    given = container_of(predictor).get("resources") or {}
    return {
        field: {name: value for name, value in (given.get(field) or {}).items() if filled_in.get(name) != value}
        for field in ("requests", "limits")
    }


def requests_of(service: Object) -> dict[str, float]:
    """Return one replica's requests by resource name; as in Kubernetes, a limit without a request is also a request.

    Raises:
        ModelServerError: An amount is not a quantity.
    """
    given = asked(service)
    wanted = {**given["limits"], **given["requests"]}
    try:
        return {name: quantity(value) for name, value in wanted.items()}
    except ValueError as error:
        raise ModelServerError(f"resources: {error}", reason=Reason.INVALID_SPEC) from error


def memory_limit(service: Object) -> int:
    """Return a model server's memory limit in bytes; 0 means no limit.

    Raises:
        ModelServerError: It is not a quantity.
    """
    try:
        return int(quantity(asked(service)["limits"].get("memory", 0)))
    except ValueError as error:
        raise ModelServerError(f"resources: {error}", reason=Reason.INVALID_SPEC) from error


def memory_of(pid: int) -> int:
    """Return the memory of a process and its children in bytes; shared pages count once."""
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for each in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                info = each.memory_full_info()
                total += getattr(info, "pss", 0) or info.uss
    return total


def guard_memory(pid: int, limit: int, on_exceeded: Callable[[int], None]) -> None:
    """Watch a process's memory in a separate thread until it ends.

    Args:
        pid: The process.
        limit: Limit in bytes.
        on_exceeded: Called once with the bytes in use when the process exceeds the limit.
    """

    def exceeded() -> int:
        used = memory_of(pid)
        return used if used > limit else 0

    def watch() -> None:
        if used := poll(exceeded, None, GUARD_POLL_S, stop=lambda: not psutil.pid_exists(pid)):
            on_exceeded(used)

    threading.Thread(target=watch, name=f"memory-{pid}", daemon=True).start()
