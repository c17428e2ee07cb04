"""A master of its own in this process, reached by plain HTTP: no client between the tests and the wire."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from pdk_stack.determined.core.accounts import client_hash
from pdk_stack.determined.service import Config, Service
from tests.stack.determined.conftest import ADMIN_PASSWORD, USER_PASSWORD

SECONDS = 30


class Wire:
    """Requests to a master, with a token.

    Args:
        service: The master's service.
        address: Where it answers.
    """

    def __init__(self, service: Service, address: str) -> None:
        self.master = service.master
        self.address = address
        self.port = int(address.rpartition(":")[2])
        self.http = requests.Session()
        body = {"username": "determined", "password": client_hash(USER_PASSWORD), "isHashed": True}
        self.token = self.post("/api/v1/auth/login", body).json()["token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def post(self, path: str, body: Any) -> requests.Response:
        """One POST of JSON."""
        return self.http.post(self.address + path, data=json.dumps(body), timeout=SECONDS)

    def get(self, path: str, **options: Any) -> requests.Response:
        """One GET."""
        return self.http.get(self.address + path, timeout=SECONDS, **options)

    def connect(self) -> socket.socket:
        """A connection for bytes of the test's own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def raw(self, path: str, body: Any = None, *headers: str, version: str = "1.1") -> bytes:
        """A request as it is sent: a POST when it has a body."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/{version}", "Host: here"]
        lines += [f"Authorization: Bearer {self.token}", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(content)}")
        return "\r\n".join([*lines, "\r\n"]).encode() + content

    def trial(self) -> int:
        """A new trial, started, that runs nowhere."""
        config = "name: reports\nsearcher: {name: single, metric: loss}\n"
        made = self.post("/api/v1/experiments", {"config": config, "unmanaged": True}).json()["experiment"]
        body = {"experimentId": made["id"], "unmanaged": True}
        trial = int(self.post("/api/v1/trials", body).json()["trial"]["id"])
        self.post(f"/api/v1/trials/{trial}/start", {"trialId": trial})
        return trial


@contextlib.contextmanager
def wired(folder: Path) -> Iterator[Wire]:
    """A master for the length of a block."""
    service = Service(Config(folder, admin_password=ADMIN_PASSWORD, user_password=USER_PASSWORD, slots=1))
    try:
        yield Wire(service, service.start()["determined"])
    finally:
        service.stop()


def report(trial: int, steps: int, loss: Any = 0.5) -> tuple[str, dict[str, Any]]:
    """Path and body of a training report."""
    metrics = {"trialId": trial, "trialRunId": 1, "stepsCompleted": steps, "metrics": {"avgMetrics": {"loss": loss}}}
    return f"/api/v1/trials/{trial}/metrics", {"group": "training", "metrics": metrics}


def read_all(client: socket.socket) -> bytes:
    """What arrives until the other side closes."""
    pieces = []
    while piece := client.recv(65_536):
        pieces.append(piece)
    return b"".join(pieces)
