"""The gateway's HTTP server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from cheroot import wsgi

from pdk_shared.errors import StackError
from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.api.s3 import replies
from pdk_stack.pachyderm.api.s3.buckets import BranchBuckets, Buckets
from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.api.s3.reading import Reading
from pdk_stack.pachyderm.api.s3.replies import Request
from pdk_stack.pachyderm.api.s3.sigv4 import verify
from pdk_stack.pachyderm.api.s3.writing import Writing
from pdk_stack.pachyderm.core.engine import Engine

log = logging.getLogger("pdk_stack.pachyderm.api.s3")

THREADS = 16

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Gateway:
    """Serves buckets on one loopback port.

    Args:
        engine: The store.
        accepts: Whether a text is a token, with which requests must be signed; None accepts every request.
        host: Where to listen.
        port: Where to listen; 0 lets the system choose.
        buckets: Which buckets there are; one for every branch when None.

    Raises:
        StackError: The port is taken.
    """

    def __init__(
        self,
        engine: Engine,
        accepts: Callable[[str], bool] | None,
        host: str,
        port: int,
        buckets: Buckets | None = None,
    ) -> None:
        self._accepts = accepts
        buckets = buckets or BranchBuckets()
        self._reading = Reading(engine, buckets)
        self._writing = Writing(engine, buckets)
        self._server = wsgi.Server(
            (host, port), self._answer, numthreads=THREADS, server_name="pachyderm-s3", timeout=60
        )
        self._server.shutdown_timeout = 2
        try:
            self._server.prepare()
        except OSError as error:
            raise StackError(
                f"The S3 gateway cannot listen on port {port}: {error}",
                where=f"{host}:{port}",
                fix="Choose another port, or stop what uses it.",
            ) from error
        self.port = int(self._server.bind_addr[1])
        self._thread = threading.Thread(target=self._server.serve, name="s3", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.stop()
        self._thread.join(5)

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = read_request(environ)
        try:
            if self._accepts is not None:
                verify(request.method, request.raw_path, request.raw_query, request.headers, self._accepts)
            reads = request.method in ("GET", "HEAD") or not request.bucket
            reply = (self._reading if reads else self._writing).answer(request)
        except S3Error as error:
            reply = replies.error(error)
        except Refusal as error:
            reply = replies.error(S3Error(500, "InternalError", error.message))
        except Exception as error:
            log.exception("%s %s failed", request.method, request.raw_path)
            reply = replies.error(S3Error(500, "InternalError", f"{type(error).__name__}: {error}"))
        start_response(reply.status, reply.headers)
        if request.method == "HEAD":
            reply.close()
            return []
        return reply


def read_request(environ: dict[str, Any]) -> Request:
    """A request from its WSGI environment; path and query stay as they were sent, for the signature."""
    uri = str(environ.get("REQUEST_URI") or environ.get("PATH_INFO") or "/")
    raw_path, _, raw_query = uri.partition("?")
    if "://" in raw_path:
        raw_path = "/" + raw_path.split("://", 1)[1].partition("/")[2]
    headers = {
        name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = str(environ[name])
    bucket, _, key = raw_path.lstrip("/").partition("/")
    query = {}
    for part in raw_query.split("&"):
        if part:
            name, _, value = part.partition("=")
            query[unquote(name)] = unquote(value.replace("+", " "))
    return Request(
        method=str(environ["REQUEST_METHOD"]),
        raw_path=raw_path,
        raw_query=raw_query,
        bucket=unquote(bucket),
        key=unquote(key),
        query=query,
        headers=headers,
        body=environ.get("wsgi.input"),
    )
