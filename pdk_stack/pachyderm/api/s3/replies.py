"""Requests and answers of the S3 protocol, and its XML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import format_datetime
from http import HTTPStatus
from typing import IO, Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from pdk_stack.pachyderm.api.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes:
        raw_path: The path as it was sent.
        raw_query: The query string as it was sent.
        bucket: The bucket's name, or empty.
        key: The object's key, or empty.
        headers: Headers by lower-case name.
        body: The body's stream.
    """

    method: str
    raw_path: str
    raw_query: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: IO[bytes] | None


@dataclass
class Reply:
    """An answer.

    Attributes:
        status: Status line.
        headers: Headers.
        body: Its chunks.
        at_end: Called when the body is sent or given up.
    """

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes] = ()
    at_end: Callable[[], Any] | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def close(self) -> None:
        """Release what the body holds; WSGI servers call it."""
        if self.at_end is not None:
            self.at_end()
            self.at_end = None


def status_line(code: int) -> str:
    """``404 Not Found``."""
    return f"{code} {HTTPStatus(code).phrase}"


def xml(code: int, document: str) -> Reply:
    """An answer with an XML document."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode()
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    return Reply(status_line(code), headers, [body])


def empty(code: int, headers: Sequence[tuple[str, str]] = ()) -> Reply:
    """An answer without a body."""
    extra = [] if code == 204 else [("Content-Length", "0")]
    return Reply(status_line(code), [*headers, *extra])


def error(problem: S3Error) -> Reply:
    """An answer that says what is wrong."""
    return xml(
        problem.http_status,
        f"<Error><Code>{problem.reason}</Code><Message>{escape(problem.message)}</Message></Error>",
    )


def element(name: str, value: object) -> str:
    """One XML element with text."""
    return f"<{name}>{escape(str(value))}</{name}>"


def iso_time(moment: int) -> str:
    """Nanoseconds since the epoch as S3's XML has times."""
    when = datetime.fromtimestamp(moment / 1e9, timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def http_time(moment: int) -> str:
    """Nanoseconds since the epoch as HTTP headers have times."""
    return format_datetime(datetime.fromtimestamp(moment // 1_000_000_000, timezone.utc), usegmt=True)


def url_encoded(key: str) -> str:
    """A key as ``encoding-type=url`` wants it."""
    return quote(key, safe="/-_.~")
