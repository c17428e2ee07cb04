"""The application behind the server: it routes, authenticates, and answers requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

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
    files,
    groups,
    jobs,
    logs,
    models,
    project_tables,
    run_actions,
    searching,
    series,
    sources,
    templates,
    tokens,
    trials,
    unmanaged,
    users,
    workspaces,
)
from pdk_stack.determined.api.gateway import read_body, read_query, read_value
from pdk_stack.determined.api.router import GATEWAY, Directory
from pdk_stack.determined.api.routing import BRIEF_BYTES, Bytes, Request, Stream, dump, parse_query, routes_of
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.errors import (
    body_of,
    internal,
    no_such_page,
    unauthenticated,
    unimplemented,
    unknown_uri,
)

__all__ = ["Application", "all_routes"]

log = logging.getLogger(__name__)

MODULES = (
    *(agents, allocations, bulk, checkpoints, cluster, creation, experiments, jobs, logs),
    *(files, groups, models, project_tables, run_actions, searching, series),
    *(sources, templates, tokens, trials, unmanaged, users, workspaces),
)


def all_routes() -> Directory:
    """Return the routes of every call that this master answers."""
    return Directory(routes_of(*MODULES))


class Application:
    """Answers REST calls for one master.

    Args:
        master: The master.
    """

    def __init__(self, master: Master) -> None:
        self._master = master
        self._routes = all_routes()
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
            query=parse_query(exchange.query) if exchange.query else {},
            accept=headers.get("accept", ""),
            gone=exchange.gone,
        )
        found = self._routes.find(exchange.method, exchange.path)
        if found is None and exchange.path.startswith(GATEWAY):
            raise unknown_uri()
        request.streams = found is not None and found.call is not None and found.call.streams
        if found is not None and found.route is not None and found.route.open:
            return
        if header := _user_header(headers):
            request.token = _bearer(header)
            request.user = accounts.user_of(request.token)
        elif header := headers.get("grpc-metadata-x-allocation-token", ""):
            request.user = accounts.allocation_of(_bearer(header))[1]
        else:
            raise unauthenticated("token missing")

    def is_brief(self, exchange: Exchange) -> bool:
        """Whether a call may run in the event loop."""
        found = self._routes.find(exchange.method, exchange.path)
        route = found.route if found else None
        return route is not None and route.brief and len(exchange.body) <= BRIEF_BYTES

    def answer(self, exchange: Exchange) -> Response:
        """Answer an authenticated request; runs in a thread.

        Raises:
            Refusal: The request can't be fulfilled.
        """
        found, request = self._routes.find(exchange.method, exchange.path), exchange.user
        if found is None:
            raise no_such_page(exchange.method, unquote(exchange.path))
        # What the gateway itself refuses is no part of a stream.
        streams, request.streams = request.streams, False
        request.body = read_body(found.call, exchange.body)
        values = {each.name: read_value(each.known_name, each.kind, each.text) for each in found.values}
        if found.call is not None and request.query:
            request.query = read_query(found.call, request.query)
        if found.route is None:
            raise unimplemented(exchange.method, exchange.path)
        request.streams = streams
        reply = found.route.function(request, **values)
        if isinstance(reply, Stream):
            return stream(self._lines(reply.pages, exchange.path), headers={"content-type": JSON})
        if isinstance(reply, Bytes):
            disposition = f'attachment; filename="{reply.filename}"'
            return stream(
                reply.chunks, headers={"content-type": reply.content_type, "content-disposition": disposition}
            )
        return Response(dump(reply), media_type=JSON if exchange.path.startswith(GATEWAY) else PAGE_JSON)

    def refuse(self, exchange: Exchange, error: Exception) -> Response:
        """Turn an error into the reply for the client."""
        refusal = _refusal(error, f"{exchange.method} {exchange.path}")
        if not exchange.path.startswith(GATEWAY):
            return Response(dump({"message": refusal.message}), refusal.http_status, media_type=PAGE_JSON)
        streams = isinstance(exchange.user, Request) and exchange.user.streams
        body = {"error": _stream_error(refusal)} if streams else body_of(refusal)
        return Response(dump(body), refusal.http_status, media_type=JSON)

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
#: The content type of what isn't behind the gateway.
PAGE_JSON = "application/json; charset=UTF-8"


def _refusal(error: Exception, call: str) -> Refusal:
    """Convert an error to a refusal; log it unless it already is one."""
    if isinstance(error, Refusal) and not isinstance(error, StorageFull):
        return error
    log.error("%s", call, exc_info=error)
    return internal(f"{type(error).__name__}: {error}")


def _user_header(headers: Mapping[str, str]) -> str:
    """Return the header that names the user: the gateway's own, the usual one, or what a cookie stands for."""
    found = headers.get("grpc-metadata-x-user-token") or headers.get("authorization", "")
    cookie = "" if found else _cookie(headers.get("cookie", ""))
    return f"{BEARER}{cookie}" if cookie else found


BEARER = "Bearer "


def _bearer(header: str) -> str:
    """Return a header's token.

    Raises:
        Refusal: It has none.
    """
    if not header.startswith(BEARER):
        raise unauthenticated()
    return header.removeprefix(BEARER)


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
    return {
        "grpcCode": error.code.number,
        "httpCode": status,
        "message": error.message,
        "httpStatus": phrase,
        "details": [],
    }
