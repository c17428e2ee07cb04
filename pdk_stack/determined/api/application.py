"""The application behind the listener: finds the route, authenticates, makes the reply."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

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
from pdk_stack.determined.api.routing import Bytes, Request, Route, Router, Stream, dump, read_query, routes_of
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.errors import ApiError, internal, invalid, unauthenticated, unimplemented

__all__ = ["Application", "Reply", "Sent", "all_routes"]

log = logging.getLogger(__name__)

MODULES = (
    *(agents, allocations, bulk, checkpoints, cluster, creation, experiments, jobs, logs),
    *(models, sources, templates, trials, unmanaged, users, workspaces),
)


def all_routes() -> Router:
    """Every call that this master answers."""
    return Router(routes_of(*MODULES))


@dataclass(slots=True)
class Sent:
    """One request as it came.

    Attributes:
        path: As it was sent: a name may hold a quoted slash.
        query: The query string.
        headers: By name in lower case.
        gone: Tells whether the client has left.
    """

    method: str
    path: str
    query: str
    headers: Mapping[bytes, bytes]
    body: bytes
    gone: Callable[[], bool]

    def header(self, name: bytes) -> str:
        """A header's value; empty when it is absent."""
        return self.headers.get(name, b"").decode("latin-1")


@dataclass(slots=True)
class Reply:
    """What is sent back: a body that is whole, or one that is made while it is sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | Iterable[bytes]


Found = tuple[Route, dict[str, str]] | None


class Application:
    """Answers the clients of one master.

    Args:
        master: The master.
    """

    def __init__(self, master: Master) -> None:
        self._master = master
        self._router = all_routes()

    def find(self, method: str, path: str) -> Found:
        """The route of a request with the values in its path; None when this master has no such call."""
        return self._router.find(method, path)

    def answer(self, found: Found, sent: Sent) -> Reply:
        """Answer a request; a refusal is an answer, too."""
        try:
            reply = self._result(found, sent)
        except ApiError as error:
            return _whole(error.status, dump(error.body()))
        except Exception as error:
            log.exception("%s %s", sent.method, sent.path)
            return _whole(500, dump(internal(f"{type(error).__name__}: {error}").body()))
        if isinstance(reply, Stream):
            return Reply(200, [_JSON], _lines(reply.items, sent.path))
        if isinstance(reply, Bytes):
            headers = [("Content-Type", reply.content_type), *reply.headers]
            return Reply(200, [(name.encode(), value.encode("latin-1")) for name, value in headers], reply.chunks)
        return _whole(200, dump(reply))

    def answer_together(self, calls: Sequence[tuple[Found, Sent]]) -> list[Reply]:
        """Answer calls that never wait, in order; all that they write is stored when the replies are there.

        One transaction for all of them: it costs about as much as a report does otherwise.
        """
        if len(calls) == 1:
            return [self.answer(*calls[0])]
        replies = []
        try:
            with self._master.store.write() as db:
                for each in calls:
                    replies.append(self.answer(*each))
                    if not db.in_transaction:  # SQLite gave it up; a later call would be stored by itself
                        break
            return replies
        except sqlite3.Error as error:
            log.exception("%d calls together", len(calls))
            self._master.metrics.forget_summaries()
            return [_whole(500, dump(internal(f"{type(error).__name__}: {error}").body()))] * len(calls)

    def _result(self, found: Found, sent: Sent) -> Any:
        request = Request(
            master=self._master,
            method=sent.method,
            path=sent.path,
            query=read_query(sent.query) if sent.query else {},
            accept=sent.header(b"accept"),
            gone=sent.gone,
        )
        if found is None or not found[0].open:
            self._authenticate(request, sent)
        if found is None:
            raise unimplemented(sent.method, sent.path)
        if sent.body:
            try:
                request.body = orjson.loads(sent.body)
            except ValueError as error:
                raise invalid(f"invalid JSON: {error}") from error
        chosen, values = found
        return chosen.function(request, **values)

    def _authenticate(self, request: Request, sent: Sent) -> None:
        accounts = self._master.accounts
        token = _bearer(sent.header(b"authorization")) or _cookie(sent.header(b"cookie"))
        if token:
            request.user, request.token = accounts.user_of(token), token
        elif allocation_token := _bearer(sent.header(b"grpc-metadata-x-allocation-token")):
            request.allocation, request.user = accounts.allocation_of(allocation_token)
        else:
            raise unauthenticated("token missing")


_JSON = (b"content-type", b"application/json")


def _whole(status: int, body: bytes) -> Reply:
    return Reply(status, [_JSON, (b"content-length", b"%d" % len(body))], body)


def _bearer(header: str) -> str:
    return header[7:].strip() if header.lower().startswith("bearer ") else ""


def _cookie(header: str) -> str:
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == "auth":
            return value
    return ""


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
    phrase = HTTPStatus(error.status).phrase
    body = {"grpcCode": error.code, "httpCode": error.status, "message": error.message, "httpStatus": phrase}
    return dump({"error": body}) + b"\n"
