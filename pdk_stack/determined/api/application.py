"""The application behind the server: it routes, authenticates, and answers requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp

from pdk_stack.common.errors import Refusal, StorageFull
from pdk_stack.common.http.exchange import Exchange, endpoint, stream
from pdk_stack.common.limits import Limits
from pdk_stack.determined.api import (
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
from pdk_stack.determined.api.router import Router
from pdk_stack.determined.api.routing import BRIEF_BYTES, Bytes, Request, Stream, dump, read_query, routes_of
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.errors import body_of, internal, invalid, unauthenticated, unimplemented

__all__ = ["Application", "all_routes"]

log = logging.getLogger(__name__)

MODULES = (
    *(agents, allocations, bulk, checkpoints, cluster, creation, experiments, jobs, logs),
    *(models, sources, templates, trials, unmanaged, users, workspaces),
)


def all_routes() -> Router:
    """Return the routes of every call that this master answers."""
    return Router(routes_of(*MODULES))


class Application:
    """Answers REST calls for one master.

    Args:
        master: The master.
    """

    def __init__(self, master: Master) -> None:
        self._master = master
        self._router = all_routes()
        self._closing: Callable[[], bool] = lambda: False

    def asgi(self, limits: Limits, closing: Callable[[], bool] = lambda: False) -> ASGIApp:
        """Return the ASGI application for the server.

        Args:
            limits: The port's deadlines and sizes.
            closing: Returns whether the server is about to stop.
        """
        self._closing = closing
        return endpoint(self.authenticate, self.answer, self.refuse, limits, closing, self.is_brief)

    def authenticate(self, exchange: Exchange) -> None:
        """Identify the user from the request head alone; runs in the event loop.

        Raises:
            Refusal: The call needs a token, and the request has no valid one.
        """
        accounts, headers = self._master.accounts, exchange.headers
        request = exchange.user = Request(
            master=self._master,
            query=read_query(exchange.query) if exchange.query else {},
            accept=headers.get("accept", ""),
            gone=exchange.gone,
        )
        found = self._router.find(exchange.method, exchange.path)
        if found is not None and found[0].open:
            return
        token = _bearer(headers.get("authorization", "")) or _cookie(headers.get("cookie", ""))
        if token:
            request.user, request.token = accounts.user_of(token), token
        elif allocation_token := _bearer(headers.get("grpc-metadata-x-allocation-token", "")):
            request.user = accounts.allocation_of(allocation_token)[1]
        else:
            raise unauthenticated("token missing")

    def is_brief(self, exchange: Exchange) -> bool:
        """Whether a call may run in the event loop."""
        found = self._router.find(exchange.method, exchange.path)
        return found is not None and found[0].brief and len(exchange.body) <= BRIEF_BYTES

    def answer(self, exchange: Exchange) -> Response:
        """Answer an authenticated request; runs in a thread.

        Raises:
            Refusal: The request can't be fulfilled.
        """
        found, request = self._router.find(exchange.method, exchange.path), exchange.user
        if found is None:
            raise unimplemented(exchange.method, exchange.path)
        if exchange.body:
            try:
                request.body = orjson.loads(exchange.body)
            except ValueError as error:
                raise invalid(f"invalid JSON: {error}") from error
        reply = found[0].function(request, **found[1])
        if isinstance(reply, Stream):
            return stream(self._lines(reply.pages, exchange.path), headers={"content-type": JSON})
        if isinstance(reply, Bytes):
            disposition = f'attachment; filename="{reply.filename}"'
            return stream(
                reply.chunks, headers={"content-type": reply.content_type, "content-disposition": disposition}
            )
        return Response(dump(reply), media_type=JSON)

    def refuse(self, exchange: Exchange, error: Exception) -> Response:
        """Turn an error into the reply for the client."""
        refusal = _refusal(error, f"{exchange.method} {exchange.path}")
        return Response(dump(body_of(refusal)), refusal.http_status, media_type=JSON)

    def _lines(self, pages: Iterable[Iterable[dict[str, Any]]], path: str) -> Iterator[bytes]:
        try:
            for page in pages:
                yield b"".join(dump({"result": item}) + b"\n" for item in page)
        except Exception as error:
            yield dump({"error": _stream_error(_refusal(error, f"stream of {path}"))}) + b"\n"
        if self._closing():
            # The stream ended because the server is stopping. A partial log must not look complete.
            raise ConnectionError("the server stops")


JSON = "application/json"


def _refusal(error: Exception, call: str) -> Refusal:
    """Convert an error to a refusal; log it unless it already is one."""
    if isinstance(error, Refusal) and not isinstance(error, StorageFull):
        return error
    log.error("%s", call, exc_info=error)
    return internal(f"{type(error).__name__}: {error}")


def _bearer(header: str) -> str:
    return header[7:].strip() if header.lower().startswith("bearer ") else ""


def _cookie(header: str) -> str:
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == "auth":
            return value
    return ""


def _stream_error(error: Refusal) -> dict[str, Any]:
    """Format a refusal inside a stream, as grpc-gateway does."""
    status = error.http_status
    phrase = HTTPStatus(status).phrase
    return {"grpcCode": error.code.number, "httpCode": status, "message": error.message, "httpStatus": phrase}
