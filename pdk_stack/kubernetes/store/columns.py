"""What ``kubectl get`` prints of an object: columns, the JSONPath that they are read with, ages."""

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
    """One printed column of a kind."""

    name: str
    value: Callable[[Object], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> dict[str, Any]:
        """The column as a Table's columnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": self.priority,
        }


def timestamp(moment: float | None = None) -> str:
    """A point in time as Kubernetes writes it: RFC 3339, seconds, UTC."""
    when = datetime.fromtimestamp(time.time() if moment is None else moment, timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def age(text: Any) -> str:
    """How long ago, as kubectl prints it (``k8s.io/apimachinery/pkg/util/duration`` HumanDuration)."""
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
    """What each part of a path makes of a value."""
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
    """A cell with the first value of a path."""

    def read(obj: Object) -> Any:
        found = path_values(path, obj)
        return str(found[0]) if found else default

    return read


def count(*paths: str) -> Callable[[Object], Any]:
    """A cell with the number of values of some paths."""
    return lambda obj: str(sum(len(found) for path in paths for found in path_values(path, obj)))


def join(values: Iterable[Any], default: str = "<none>") -> str:
    """Values with commas between them."""
    return ",".join(str(each) for each in values if each) or default


def every(path: str, default: str = "<none>") -> Callable[[Object], Any]:
    """A cell with all values of a path."""
    return lambda obj: join(path_values(path, obj), default)


def printer_columns(version: dict[str, Any]) -> tuple[Column, ...]:
    """The columns that one version of a CustomResourceDefinition asks for."""

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
Cell = Callable[[Object], Any]


def columns(cells: Mapping[str, Cell], *, priority: int = 0) -> tuple[Column, ...]:
    """Columns by their names; those with a priority are printed by ``kubectl get -o wide`` only."""
    return tuple(Column(name, cell, priority=priority) for name, cell in cells.items())


def table(cells: Mapping[str, Cell] | None = None, wide: Mapping[str, Cell] | None = None) -> tuple[Column, ...]:
    """The columns of a kind: its name, its own, its age, and those of the wide form."""
    return (NAME, *columns(cells or {}), AGE, *columns(wide or {}, priority=1))


def ready_containers(obj: Object) -> str:
    """A pod's READY: ready containers of all."""
    states = path_values("status.containerStatuses[*].ready", obj)
    total = len(path_values("spec.containers[*]", obj))
    return f"{sum(bool(each) for each in states)}/{total}"


def pod_state(pod: Object) -> str:
    """A pod's STATUS: what its first unfinished container says (``printPod`` of ``pkg/printers/internalversion``)."""
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
    """A Deployment's READY: ready replicas of those that are wanted."""
    wanted = path_values("spec.replicas", obj)
    return f"{at('status.readyReplicas', '0')(obj)}/{wanted[0] if wanted else 1}"
