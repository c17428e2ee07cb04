"""The columns of ``kubectl get``: definitions, JSONPath, and ages."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A printed column of a kind."""

    name: str
    value: Callable[[Object], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> dict[str, Any]:
        """Return the column as a Table's columnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": self.priority,
        }


def timestamp(moment: float | None = None) -> str:
    """Format a time as Kubernetes does: RFC 3339 in UTC, to the second."""
    when = datetime.fromtimestamp(time.time() if moment is None else moment, timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def age(text: Any) -> str:
    """Format an age as kubectl does (``k8s.io/apimachinery/pkg/util/duration`` HumanDuration)."""
    try:
        since = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return "<unknown>"
    seconds = max(0, int(time.time() - since.timestamp()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{days}d"


# The parts of JSONPath that printer columns use: ``.a.b``, ``[0]``, ``[*]``, ``[?(@.x=='y')]``.
STEP = re.compile(
    r"\[\?\(@\.(?P<key>[\w.]+)==(?P<want>'[^']*'|\"[^\"]*\"|true|false|\d+)\)\]"
    r"|\[(?P<index>\d+|\*)\]|\.?(?P<name>(?:\\.|[^.\[\\])+)"
)


@functools.lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[Callable[[Any], list[Any]], ...]:
    """Parse a path into the functions that evaluate its parts."""
    return tuple(_step(match) for match in STEP.finditer(path.lstrip(".")))


def _step(match: re.Match[str]) -> Callable[[Any], list[Any]]:
    if match["key"]:
        raw, key = match["want"], match["key"]
        wanted: Any = int(raw) if raw.isdigit() else {"true": True, "false": False}.get(raw, raw.strip("'\""))
        return lambda value: [each for each in _items(value) if each.get(key) == wanted]
    if match["index"] == "*":
        return _items
    if match["index"]:
        index = int(match["index"])
        return lambda value: _items(value)[index : index + 1]
    name = match["name"].replace("\\.", ".")
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def path_values(path: str, obj: Any) -> list[Any]:
    """Evaluate the part of JSONPath that printer columns use: ``.a.b``, ``[0]``, ``[*]``, ``[?(@.x=='y')]``."""
    current = [obj]
    for step in _steps(path):
        current = [each for value in current for each in step(value)]
    return current


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def at(path: str, default: str = "") -> Callable[[Object], Any]:
    """Make a cell with the first value of a path."""

    def read(obj: Object) -> Any:
        found = path_values(path, obj)
        return str(found[0]) if found else default

    return read


def count(*paths: str) -> Callable[[Object], Any]:
    """Make a cell with the number of values of some paths."""
    return lambda obj: sum(len(found) for path in paths for found in path_values(path, obj) if found)


def number(path: str) -> Callable[[Object], Any]:
    """Make a cell with the number at a path; 0 when it is absent."""
    return lambda obj: next(iter(path_values(path, obj)), 0)


def selector(path: str) -> Callable[[Object], Any]:
    """Make a cell with the labels at a path (``labels.FormatLabels``)."""

    def read(obj: Object) -> str:
        found = path_values(path, obj)
        labels = found[0] if found and isinstance(found[0], dict) else {}
        return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"

    return read


def join(values: Iterable[Any], default: str = "<none>") -> str:
    """Join values with commas."""
    return ",".join(str(each) for each in values if each) or default


def every(path: str, default: str = "<none>") -> Callable[[Object], Any]:
    """Make a cell with all values of a path."""
    return lambda obj: join(path_values(path, obj), default)


def printer_columns(version: dict[str, Any]) -> tuple[Column, ...]:
    """Return the printer columns of a CustomResourceDefinition's version."""

    def cell(path: str, kind: str) -> Callable[[Object], Any]:
        def read(obj: Object) -> Any:
            found = path_values(path, obj)
            if not found:
                return None
            if kind == "date":
                return age(found[0])
            if kind in ("integer", "number", "boolean"):
                return found[0]
            return ",".join(str(each) for each in found)

        return read

    wanted = version.get("additionalPrinterColumns")
    if not wanted:
        return (NAME, AGE)
    return (
        NAME,
        *(
            Column(
                each["name"],
                cell(each["jsonPath"], each["type"]),
                each["type"],
                each.get("format", ""),
                each.get("priority", 0),
                each.get("description", ""),
            )
            for each in wanted
        ),
    )


NAME = Column("Name", at("metadata.name"), format="name", description="Name of the object")
AGE = Column("Age", lambda obj: age(obj["metadata"].get("creationTimestamp")))
CREATED = Column("Created At", at("metadata.creationTimestamp"), format="", description="Time of the creation")
Cell = Callable[[Object], Any]


def columns(cells: Mapping[str, Cell], *, priority: int = 0) -> tuple[Column, ...]:
    """Make columns by name; those with a priority appear only in ``kubectl get -o wide``."""
    return tuple(Column(name, cell, priority=priority) for name, cell in cells.items())


def table(cells: Mapping[str, Cell] | None = None, wide: Mapping[str, Cell] | None = None) -> tuple[Column, ...]:
    """Return a kind's columns: name, its own, age, and those for wide output."""
    return (NAME, *columns(cells or {}), AGE, *columns(wide or {}, priority=1))


def ready_containers(obj: Object) -> str:
    """Format a pod's READY: ready containers of total."""
    states = path_values("status.containerStatuses[*].ready", obj)
    total = len(path_values("spec.containers[*]", obj))
    return f"{sum(bool(each) for each in states)}/{total}"


def pod_state(pod: Object) -> str:
    """Return a pod's STATUS from its first unfinished container (``printPod`` in ``pkg/printers/internalversion``)."""
    inits = path_values("status.initContainerStatuses[*]", pod)
    for number, each in enumerate(inits):
        state = each.get("state") or {}
        if (state.get("terminated") or {}).get("exitCode") == 0:
            continue
        told = (state.get("waiting") or state.get("terminated") or {}).get("reason", "")
        return f"Init:{told}" if told and told != "PodInitializing" else f"Init:{number}/{len(inits)}"
    found = str(at("status.reason")(pod) or at("status.phase")(pod))
    for state in path_values("status.containerStatuses[*].state", pod):
        found = (state.get("waiting") or state.get("terminated") or {}).get("reason") or found
    return found


def desired(obj: Object) -> str:
    """Format a Deployment's READY: ready replicas of desired."""
    wanted = path_values("spec.replicas", obj)
    return f"{at('status.readyReplicas', '0')(obj)}/{wanted[0] if wanted else 1}"
