"""The ingress: one HTTP listener that routes predictions by their Host header, as Istio does for KServe."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pdk_nb.local.kubernetes.inference.revision import Revision
from pdk_nb.local.kubernetes.inference.routes import Routes
from pdk_nb.local.service import LOOPBACK

log = logging.getLogger(__name__)

# Istio has no limit of its own; TorchServe's default is 6.5 MB and a model may raise it.
MAX_REQUEST_BYTES = 64 << 20
UPSTREAM_SECONDS = 120.0
# Requests that a revision works on or queues; beyond them clients are told to come back.
MAX_CONCURRENT = 128
# Headers that belong to one connection (RFC 9110, 7.6.1).
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
}


class Ingress:
    """A WSGI application that forwards predictions to the revisions.

    Args:
        routes: Host names to revisions.
        access_log: File that gets one line of JSON per request, without bodies.
    """

    def __init__(self, routes: Routes, access_log: Path) -> None:
        self._routes = routes
        self._connections = threading.local()
        self._log_lock = threading.Lock()
        self._access_log = access_log.open("a", buffering=1)

    def close(self) -> None:
        """Close the access log."""
        self._access_log.close()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started = time.monotonic()
        header = environ.get("HTTP_HOST", "")
        revision = self._routes.enter(header)
        try:
            code, headers, body = self._answer(environ, header, revision)
        finally:
            if revision is not None:
                revision.leave()
        seconds = time.monotonic() - started
        self._write_log(environ, header, revision, code, seconds)
        headers = {**headers, "Content-Length": str(len(body))}
        if revision is not None:
            headers["X-Revision"] = revision.name
        start_response(f"{code} {http.client.responses.get(code, 'Unknown')}", list(headers.items()))
        return [body]

    def _answer(
        self, environ: dict[str, Any], header: str, revision: Revision | None
    ) -> tuple[int, dict[str, str], bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > MAX_REQUEST_BYTES:
            return error(413, f"The request has {length} bytes; at most {MAX_REQUEST_BYTES} are taken.")
        body = environ["wsgi.input"].read(length) if length else _chunked(environ)
        if revision is None:
            known = ", ".join(self._routes.hosts()) or "none: no InferenceService is ready"
            return error(404, f"No InferenceService has the host '{header}'. Hosts that are known: {known}")
        if revision.inflight > MAX_CONCURRENT:
            code, headers, text = error(503, f"{revision.name} has {MAX_CONCURRENT} requests waiting.")
            return code, {**headers, "Retry-After": "1"}, text
        path = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
        local = self._local_answer(environ["REQUEST_METHOD"], environ["PATH_INFO"], revision)
        return local or self._forward(environ, path, body, revision)

    @staticmethod
    def _local_answer(method: str, path: str, revision: Revision) -> tuple[int, dict[str, str], bytes] | None:
        """What KServe's wrapper around TorchServe answers itself."""
        if method != "GET":
            return None
        if path in ("/", "/v1/health", "/v2/health/live"):
            return _reply(200, {"status": "alive"})
        if path == "/v2/health/ready":
            return _reply(200, {"ready": True})
        if path == "/v1/models":
            return _reply(200, {"models": revision.models})
        name = path.removeprefix("/v1/models/")
        if name != path and "/" not in name and ":" not in name:
            if name in revision.models:
                return _reply(200, {"name": name, "ready": True})
            return error(404, f"Model with name {name} does not exist. Models here: {', '.join(revision.models)}")
        return None

    def _forward(
        self, environ: dict[str, Any], path: str, body: bytes, revision: Revision
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {
            name[5:].replace("_", "-").title(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") and name[5:].replace("_", "-").lower() not in HOP_BY_HOP
        }
        # The guide's curl sends a form type by default; TorchServe takes its envelope as JSON only.
        given = environ.get("CONTENT_TYPE", "")
        headers["Content-Type"] = (
            given if given and not given.startswith("application/x-www-form-urlencoded") else "application/json"
        )
        method = environ["REQUEST_METHOD"]
        for attempt in (1, 2):
            connection, fresh = self._connection(revision.port)
            try:
                connection.request(method, path, body=body or None, headers=headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as failure:
                self._forget(revision.port)
                # A kept connection may have been closed by the other side before it saw the request.
                if attempt == 1 and not fresh and not isinstance(failure, TimeoutError):
                    continue
                if isinstance(failure, TimeoutError):
                    return error(504, f"{revision.name} did not answer within {UPSTREAM_SECONDS:.0f} s.")
                return error(502, f"{revision.name} does not answer: {failure}")
            return self._upstream_answer(answer, content, path, revision)
        return error(502, f"{revision.name} does not answer.")

    @staticmethod
    def _upstream_answer(
        answer: http.client.HTTPResponse, content: bytes, path: str, revision: Revision
    ) -> tuple[int, dict[str, str], bytes]:
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
        kept = {name: value for name, value in kept.items() if name.lower() in ("content-type", "x-request-id")}
        if not any(name.lower() == "content-type" for name in kept):
            # TorchServe's successful answers have no type.
            kept["Content-Type"] = "application/json"
        if answer.status == 413:
            return error(413, "The model server refuses a request of this size; shrink the picture.")
        if answer.status == 404 and path.startswith(("/v1/models/", "/v2/models/")):
            known = ", ".join(revision.models)
            return error(404, f"The model in {path} is not served here. Models here: {known}")
        return answer.status, kept, content

    def _connection(self, port: int) -> tuple[http.client.HTTPConnection, bool]:
        """This thread's kept connection to a revision, and whether it is new."""
        kept: dict[int, http.client.HTTPConnection] = self._connections.__dict__.setdefault("kept", {})
        if port in kept:
            return kept[port], False
        for other in list(kept):
            # Revisions come and go; their connections go with them.
            kept.pop(other).close()
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=UPSTREAM_SECONDS)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kept[port] = connection
        return connection, True

    def _forget(self, port: int) -> None:
        kept: dict[int, http.client.HTTPConnection] = self._connections.__dict__.setdefault("kept", {})
        if port in kept:
            kept.pop(port).close()

    def _write_log(
        self, environ: dict[str, Any], header: str, revision: Revision | None, code: int, seconds: float
    ) -> None:
        entry = {
            "time": round(time.time(), 3),
            "method": environ["REQUEST_METHOD"],
            "host": header,
            "path": environ["PATH_INFO"],
            "status": code,
            "milliseconds": round(1000 * seconds, 2),
            "revision": revision.name if revision else None,
        }
        with self._log_lock:
            self._access_log.write(json.dumps(entry) + "\n")


def _chunked(environ: dict[str, Any]) -> bytes:
    """A body that came in chunks; cheroot's reader ends at the last one."""
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() != "chunked":
        return b""
    body = environ["wsgi.input"].read(MAX_REQUEST_BYTES + 1)
    return bytes(body)


def _reply(code: int, content: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return code, {"Content-Type": "application/json"}, json.dumps(content).encode()


def error(code: int, message: str) -> tuple[int, dict[str, str], bytes]:
    """An error as KServe's servers write it."""
    return _reply(code, {"error": message})
