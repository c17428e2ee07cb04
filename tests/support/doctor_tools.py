"""What the tests of the doctor share: one group's findings, and small servers that misbehave on purpose."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shlex
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes
import yaml

from pdk_nb import doctor
from pdk_nb.cli import build_parser
from pdk_nb.names import Names
from pdk_nb.settings import CONFIG_MAP, MINIO_SECRET_KEYS, SECRET_KEYS, Settings, load
from tests.support.doctor_codes import code_of, said

SECRETS = {*SECRET_KEYS, *MINIO_SECRET_KEYS}


def findings(settings: Settings, group: str, names: Names | None = None) -> dict[str, doctor.Finding]:
    """One group's findings by the second part of their ids."""
    context = doctor.Context(settings.kubeconfig or "", settings.namespace, names, settings)
    report = doctor.examine(context, [group])
    said.update(code_of(each) for each in report)
    return {each.id.split(".", 1)[1]: each for each in report}


def states(settings: Settings, group: str, names: Names | None = None) -> dict[str, str]:
    """States of one group's findings by the second part of their ids."""
    return {name: each.state for name, each in findings(settings, group, names).items()}


@dataclass(frozen=True)
class Stack:
    """A running stack that is told wrong things, and put right again.

    Attributes:
        kubeconfig: The administrator's.
        core: Client of its core API.
    """

    kubeconfig: str
    core: Any

    @classmethod
    def of(cls, kubeconfig: str) -> Stack:
        """The stack of a kubeconfig."""
        client = kubernetes.config.new_client_from_config(config_file=kubeconfig)
        return cls(kubeconfig, kubernetes.client.CoreV1Api(client))

    @property
    def settings(self) -> Settings:
        """What it says now."""
        return load(self.kubeconfig)

    @contextlib.contextmanager
    def told(self, **values: object) -> Iterator[Settings]:
        """Put values into ``pdk-config`` and the pipelines' secret, None for none; yields the settings."""
        texts = {key: None if value is None else str(value) for key, value in values.items()}
        config = {key: text for key, text in texts.items() if key not in SECRETS}
        secret = {
            key: text and base64.b64encode(text.encode()).decode() for key, text in texts.items() if key in SECRETS
        }
        api = self.core
        before = api.read_namespaced_config_map(CONFIG_MAP, "default").data
        kept = api.read_namespaced_secret("pipeline-secret", "default").data
        api.patch_namespaced_config_map(CONFIG_MAP, "default", {"data": config})
        api.patch_namespaced_secret("pipeline-secret", "default", {"data": secret})
        try:
            yield self.settings
        finally:
            api.patch_namespaced_config_map(CONFIG_MAP, "default", {"data": {key: before.get(key) for key in config}})
            api.patch_namespaced_secret("pipeline-secret", "default", {"data": {key: kept.get(key) for key in secret}})

    def findings(self, group: str, names: Names | None = None, **values: object) -> dict[str, doctor.Finding]:
        """One group's findings while the stack is told these values."""
        with self.told(**values) as known:
            return findings(known, group, names)

    def found(self, id: str, **values: object) -> doctor.Finding:
        """One finding, by its whole id, while the stack is told these values."""
        group, name = id.split(".")
        return self.findings(group, **values)[name]


def kubeconfig_with(folder: Path, source: str, **changes: str) -> str:
    """A copy of a kubeconfig with another ``server`` or ``token``."""
    content = yaml.safe_load(Path(source).read_text())
    if "server" in changes:
        content["clusters"][0]["cluster"]["server"] = changes["server"]
    if "token" in changes:
        content["users"][0]["user"] = {"token": changes["token"]}
    target = folder / f"kubeconfig-{len(list(folder.iterdir()))}"
    target.write_text(yaml.safe_dump(content))
    return str(target)


def broken(finding: doctor.Finding, what: str) -> None:
    """Assert that a finding says what is wrong, why it matters, and how to fix it."""
    assert finding.state == "broken", finding
    assert what in finding.what, finding.what
    assert finding.why
    assert finding.fix
    # What the lab itself is asked to do has to be a command that it has.
    for command in re.findall(r"pdk-nb (.+?)(?=$|;| &&|, |  )", finding.fix):
        build_parser().parse_args(shlex.split(command))


@dataclass
class Answers:
    """What a small server answers, by path.

    Attributes:
        routes: Status, headers and body by path; 404 for others.
        date: The ``Date`` header of every answer; none when empty.
        asked: Paths and headers of the requests so far.
    """

    routes: dict[str, tuple[int, dict[str, str], Any]] = field(default_factory=dict)
    date: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""
    port: int = 0


@contextlib.contextmanager
def serving(answers: Answers, tls: ssl.SSLContext | None = None) -> Iterator[Answers]:
    """A server on a loopback port, with a certificate if there is a context."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            answers.asked.append((self.path, dict(self.headers)))
            status, headers, body = answers.routes.get(path, (404, {}, {}))
            wanted = headers.get("X-Needs")
            if wanted and self.headers.get("Authorization", "") != wanted:
                status, headers, body = 401, {"WWW-Authenticate": headers["X-Challenge"]}, {}
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response_only(status)
            if answers.date:
                self.send_header("Date", answers.date)
            for name, value in headers.items():
                if not name.startswith("X-"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    answers.port = int(server.server_address[1])
    answers.address = f"127.0.0.1:{answers.port}"
    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
