"""Requests to a Determined master: every call of the client's bindings, with values of its types, and of others.

Left out are the calls that end the run's own session, and those that start a person's program.
"""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pdk_stack.determined.api.messages import Call, Enum, List, Map, Type, calls, fields_of
from tests.fuzz.asking import Asker, Case
from tests.fuzz.by_openapi import determined_document
from tests.fuzz.values import RAW, confused, odd
from tests.support.processes import ServiceProcess

PASSWORD = "Fuzzing-pass-1"
LEFT_OUT = {
    *("Logout", "SetUserPassword", "PatchUser", "PatchUsers", "PutUserSetting", "ResetUserSetting"),
    *("LaunchCommand", "LaunchShell", "LaunchNotebook", "LaunchTensorboard"),
}
CONFIG = """
name: fuzz
entrypoint: "true"
unmanaged: true
searcher: {name: single, metric: loss, max_length: {batches: 1}}
hyperparameters: {a: {type: int, minval: 1, maxval: 3}, b: 0.5}
resources: {slots_per_trial: 1}
checkpoint_storage: {type: directory, container_path: /tmp/fuzz}
"""
#: Values that lead to what exists.
KNOWN: dict[str, tuple[Any, ...]] = {
    "int32": (1, 1, 2, 0, -1, 2**31 - 1),
    "int64": (1, 0, -1, 2**63 - 1),
    "string": ("1", "admin", "fuzz", "default", "a", "", "x" * 200, "a/b", "0"),
    "bool": (True, False),
    "double": (0.5, 0, -1, 1e308),
    "Timestamp": ("2026-01-01T00:00:00Z", "", "2026-13-01T00:00:00Z"),
    "bytes": ("", "eA==", "x"),
}


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Asker, list[ServiceProcess]]]:
    """Start a master with one of each thing."""
    master = ServiceProcess("determined", folder, {"admin_password": PASSWORD, "user_password": PASSWORD})
    try:
        master.start()
        url = master.ready["determined"]
        body = json.dumps({"username": "admin", "password": PASSWORD}).encode()
        with urllib.request.urlopen(f"{url}/api/v1/auth/login", body) as answer:
            token = json.load(answer)["token"]
        asker = Asker(url, {"Authorization": f"Bearer {token}"}, master.log, endless=_stays_open)
        for path, content in (
            ("/api/v1/workspaces", {"name": "fuzz"}),
            ("/api/v1/workspaces/2/projects", {"workspaceId": 2, "name": "fuzz"}),
            ("/api/v1/models", {"name": "fuzz"}),
            ("/api/v1/templates/fuzz", {"config": {"description": "fuzz"}}),
            ("/api/v1/experiments", {"config": CONFIG, "unmanaged": True, "projectId": 1, "activate": True}),
            ("/api/v1/trials", {"experimentId": 1, "unmanaged": True, "hparams": {"a": 1}}),
        ):
            asker.ask(Case(f"POST {path}", "POST", path, body=content))
        yield asker, [master]
    finally:
        master.stop()


def _stays_open(case: Case) -> bool:
    return case.path.endswith(("/logs", "/notify_preemption", "/signals/preemption", "/signals/rendezvous")) or (
        urlsplit(case.target).query.find("follow") >= 0
    )


def document() -> dict[str, Any]:
    """Return the OpenAPI document of the calls that the run makes."""
    return determined_document([each for each in calls() if each.operation not in LEFT_OUT], KNOWN)


def tamed(case: Case) -> Case:
    """Return a request that creates no experiment but one that isn't run here."""
    if case.call == "CreateExperiment" and isinstance(case.body, dict):
        return replace(case, body={**case.body, "config": CONFIG, "unmanaged": True})
    return case


def cases(chance: random.Random) -> Iterator[Case]:
    """Yield requests without end."""
    known = [each for each in calls() if each.operation not in LEFT_OUT]
    while True:
        call = chance.choice(known)
        path = call.path
        for name, kind in call.values.items():
            value = _of(chance, kind, 2) if chance.random() < 0.85 else odd(chance)
            path = path.replace(f"{{{name}}}", value if isinstance(value, str) else json.dumps(value))
        query = {name: _of(chance, kind, 2) for name, kind in call.query.items() if chance.random() < 0.3}
        if query and chance.random() < 0.4:
            query = confused(chance, query)
        body = _body(chance, call)
        yield Case(call.operation, call.method, path, query if isinstance(query, dict) else {}, body)


def _body(chance: random.Random, call: Call) -> Any:
    if call.body is None:
        return chance.choice(RAW) if call.method != "GET" and chance.random() < 0.05 else None
    if chance.random() < 0.06:
        return chance.choice(RAW)
    body = _of(chance, call.body, 5)
    if call.operation == "CreateExperiment" and isinstance(body, dict):
        body |= {"config": CONFIG, "unmanaged": True}
        if chance.random() < 0.7:
            config = confused(chance, _config())
            body["config"] = json.dumps({**config, "unmanaged": True} if isinstance(config, dict) else config)
    return confused(chance, body) if chance.random() < 0.6 else body


def _config() -> dict[str, Any]:
    return {
        "name": "fuzz",
        "entrypoint": "true",
        "searcher": {"name": "single", "metric": "loss", "max_length": {"batches": 1}},
        "hyperparameters": {"a": {"type": "int", "minval": 1, "maxval": 3}, "b": 0.5, "c": {"d": {"type": "const"}}},
        "resources": {"slots_per_trial": 1, "devices": [], "priority": 42},
        "environment": {"environment_variables": {"cpu": ["A=1"]}, "image": {"cpu": "x"}},
        "checkpoint_storage": {"type": "directory", "container_path": "/tmp/fuzz", "save_trial_latest": 1},
        "log_policies": [{"pattern": ".*", "action": "exclude_node"}],
        "labels": ["a"],
    }


def _of(chance: random.Random, kind: Type, depth: int) -> Any:
    """Return a value of a type of the protocol."""
    if isinstance(kind, Enum):
        return chance.choice([*kind.numbers, *kind.numbers.values(), "NONE"])
    if isinstance(kind, List):
        return [_of(chance, kind.of, depth - 1) for _ in range(chance.choice((0, 1, 2)))]
    if isinstance(kind, Map):
        return {"a": _of(chance, kind.of, depth - 1)}
    if kind in KNOWN:
        return chance.choice(KNOWN[kind])
    if kind in ("Struct", "Value", "ListValue", "BoolValue", "uint32", "float") or depth <= 0:
        return odd(chance)
    return {name: _of(chance, each, depth - 1) for name, each in fields_of(kind).items() if chance.random() < 0.7}
