"""Resource requests and limits on a single machine: what fits, and what a model server may use."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from pdk_nb.local.kubernetes.inference.failures import ModelServerError, Reason

# Suffixes of quantities (k8s.io/apimachinery/pkg/api/resource).
SUFFIXES = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
SUFFIXES |= {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60}
# What KServe's webhook fills in (pkg/apis/serving/v1beta1/component.go).
DEFAULT_RESOURCES = {"cpu": "1", "memory": "2Gi"}
GUARD_POLL_S = 1.0


def quantity(text: Any) -> float:
    """A Kubernetes quantity as a number.

    Raises:
        ValueError: It is none.
    """
    value = str(text).strip()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if value.endswith(suffix):
            return float(value[: -len(suffix)]) * SUFFIXES[suffix]
    return float(value)


def capacity() -> dict[str, str]:
    """What the machine has, as a node reports it."""
    memory = psutil.virtual_memory().total // 1024
    return {"cpu": str(psutil.cpu_count() or 1), "memory": f"{memory}Ki", "pods": "110"}


def lacking(requests: dict[str, Any]) -> list[str]:
    """Resources that a revision asks for and that the whole machine does not have.

    What other revisions use is not counted: an update on a small machine needs room for the old and the new one.
    """
    has = capacity()
    found = []
    for name, wanted in requests.items():
        if quantity(wanted) > quantity(has.get(name, 0)):
            found.append(f"Insufficient {name} (it asks for {wanted}, the machine has {has.get(name, 'none')})")
    return found


def custom_container(predictor: dict[str, Any]) -> dict[str, Any] | None:
    """The container that serves, when the predictor is a custom one: ``kserve-container``, else the first."""
    if isinstance(predictor.get("model"), dict):
        return None
    containers = [each for each in predictor.get("containers") or [] if isinstance(each, dict)]
    named = (each for each in containers if each.get("name") == "kserve-container")
    return next(named, containers[0] if containers else None)


def container_of(predictor: dict[str, Any]) -> dict[str, Any]:
    """What serves: the model, which is a container with more fields, or a container of the user's own."""
    return custom_container(predictor) or predictor.get("model") or {}


def memory_limit(predictor: dict[str, Any]) -> int:
    """Bytes that a model server may use; 0 for no limit.

    The limit that the webhook fills in does not count: nobody asked for it.
    """
    limits = (container_of(predictor).get("resources") or {}).get("limits") or {}
    text = str(limits.get("memory", DEFAULT_RESOURCES["memory"]))
    return 0 if text == DEFAULT_RESOURCES["memory"] else int(quantity(text))


def place(predictor: dict[str, Any]) -> None:
    """Refuse a predictor that the machine cannot hold.

    Raises:
        ModelServerError: It asks for more than the machine has.
    """
    try:
        missing = lacking((container_of(predictor).get("resources") or {}).get("requests") or {})
    except ValueError as error:
        raise ModelServerError(f"resources.requests: {error}", reason=Reason.INVALID_SPEC) from error
    if missing:
        text = f"0/1 nodes are available: {', '.join(missing)}."
        raise ModelServerError(text, reason=Reason.UNSCHEDULABLE)


def memory_of(pid: int) -> int:
    """Bytes of a process and its children; shared pages count once."""
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for each in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                info = each.memory_full_info()
                total += getattr(info, "pss", 0) or info.uss
    return total


def guard_memory(pid: int, limit: int, on_exceeded: Callable[[int], None]) -> None:
    """Watch a process from a thread of its own until it ends.

    Args:
        pid: The process.
        limit: Bytes.
        on_exceeded: Told the bytes, once, when it uses more.
    """

    def watch() -> None:
        while psutil.pid_exists(pid):
            used = memory_of(pid)
            if used > limit:
                on_exceeded(used)
                return
            time.sleep(GUARD_POLL_S)

    threading.Thread(target=watch, name=f"memory-{pid}", daemon=True).start()
