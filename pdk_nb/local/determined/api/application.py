"""The WSGI application: authenticates, finds the route, sends its reply."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pdk_nb.local.determined.api import (
    agents,
    allocations,
    bulk,
    checkpoints,
    cluster,
    creation,
    experiments,
    jobs,
    logs,
    models,
    sources,
    templates,
    trials,
    unmanaged,
    users,
    workspaces,
)
from pdk_nb.local.determined.api.routing import Bytes, Request, Router, Stream, dump, read_query, routes_of
from pdk_nb.local.determined.errors import ApiError, internal, invalid, unauthenticated, unimplemented
from pdk_nb.local.determined.master import Master

__all__ = ["Application", "all_routes"]

log = logging.getLogger(__name__)

REASONS = {
    200: "200 OK",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    409: "409 Conflict",
    500: "500 Internal Server Error",
    501: "501 Not Implemented",
}
MODULES = (
    *(agents, allocations, bulk, checkpoints, cluster, creation, experiments, jobs, logs),
    *(models, sources, templates, trials, unmanaged, users, workspaces),
)


def all_routes() -> Router:
    """Every call that this master answers."""
    return Router(routes_of(*MODULES))


class Application:
    """Answers the clients of one master.

    Args:
        master: The master.
    """

    def __init__(self, master: Master) -> None:
        self._master = master
        self._router = all_routes()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        # The path as it was sent: a name may hold a quoted slash.
        raw_path = str(environ.get("REQUEST_URI") or environ.get("PATH_INFO") or "/").partition("?")[0]
        if raw_path.startswith("http"):
            raw_path = "/" + raw_path.split("/", 3)[-1]
        try:
            reply = self._answer(environ, method, raw_path)
        except ApiError as error:
            return self._send_error(error, start_response)
        except Exception as error:
            log.exception("%s %s", method, raw_path)
            return self._send_error(internal(f"{type(error).__name__}: {error}"), start_response)
        if isinstance(reply, Stream):
            start_response(REASONS[200], [("Content-Type", "application/json")])
            return _lines(reply.items, raw_path)
        if isinstance(reply, Bytes):
            start_response(REASONS[200], [("Content-Type", reply.content_type), *reply.headers])
            return reply.chunks
        return self._send(200, dump(reply), start_response)

    def _answer(self, environ: dict[str, Any], method: str, raw_path: str) -> Any:
        found = self._router.find(method, raw_path)
        request = Request(
            master=self._master,
            method=method,
            path=raw_path,
            query=read_query(environ.get("QUERY_STRING", "")),
            accept=environ.get("HTTP_ACCEPT", ""),
            connection=environ.get("pdk.connection"),
        )
        content = _read_body(environ)
        if found is None or not found[0].open:
            self._authenticate(request, environ)
        if found is None:
            raise unimplemented(method, raw_path)
        if content:
            try:
                request.body = json.loads(content)
            except ValueError as error:
                raise invalid(f"invalid JSON: {error}") from error
        chosen, values = found
        return chosen.function(request, **values)

    def _authenticate(self, request: Request, environ: dict[str, Any]) -> None:
        accounts = self._master.accounts
        allocation_token = _bearer(environ.get("HTTP_GRPC_METADATA_X_ALLOCATION_TOKEN", ""))
        token = _bearer(environ.get("HTTP_AUTHORIZATION", "")) or _cookie(environ.get("HTTP_COOKIE", ""))
        if token:
            request.user, request.token = accounts.user_of(token), token
        elif allocation_token:
            request.allocation, request.user = accounts.allocation_of(allocation_token)
        else:
            raise unauthenticated("token missing")

    @staticmethod
    def _send(status: int, body: bytes, start_response: Callable[..., Any]) -> list[bytes]:
        start_response(REASONS[status], [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _send_error(self, error: ApiError, start_response: Callable[..., Any]) -> list[bytes]:
        return self._send(error.status, dump(error.body()), start_response)


def _bearer(header: str) -> str:
    return header[7:].strip() if header.lower().startswith("bearer ") else ""


def _cookie(header: str) -> str:
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == "auth":
            return value
    return ""


def _read_body(environ: dict[str, Any]) -> bytes:
    source = environ["wsgi.input"]
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        return bytes(source.read())
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return bytes(source.read(length)) if length else b""


def _lines(items: Iterator[dict[str, Any]], path: str) -> Iterator[bytes]:
    try:
        for item in items:
            yield dump({"result": item}) + b"\n"
    except ApiError as error:
        yield _stream_error(error)
    except Exception as error:
        log.exception("stream of %s", path)
        yield _stream_error(internal(f"{type(error).__name__}: {error}"))


def _stream_error(error: ApiError) -> bytes:
    status = REASONS[error.status]
    body = {"grpcCode": error.code, "httpCode": error.status, "message": error.message, "httpStatus": status[4:]}
    return dump({"error": body}) + b"\n"
