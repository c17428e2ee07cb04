"""Requests and answers of the S3 protocol, and its XML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import format_datetime
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from starlette.responses import Response

from pdk_stack.common.http.exchange import Exchange
from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.store.clock import NANOSECONDS

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes:
        exchange: The HTTP request, with headers and body.
        bucket: The bucket's name, or empty.
        key: The object's key, or empty.
        query: Values of the query string by name.
    """

    exchange: Exchange
    bucket: str
    key: str
    query: dict[str, str]

    @property
    def method(self) -> str:
        """``GET`` and so on."""
        return self.exchange.method

    def header(self, name: str) -> str:
        """A header's value, or empty."""
        return self.exchange.headers.get(name, "")

    @staticmethod
    def read(exchange: Exchange) -> Request:
        """What a request names in its path (``/bucket/key``) and query."""
        bucket, _, key = exchange.path.lstrip("/").partition("/")
        pairs = (part.partition("=") for part in exchange.query.split("&") if part)
        query = {unquote(name): unquote(value.replace("+", " ")) for name, _, value in pairs}
        return Request(exchange, unquote(bucket), unquote(key), query)


def xml(document: str, status: int = 200) -> Response:
    """An answer with an XML document."""
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{document}', status, media_type="application/xml")


def result(name: str, content: str) -> Response:
    """An answer with an XML document of S3's namespace.

    Args:
        name: The root element's name.
        content: What it holds, as XML.
    """
    return xml(f'<{name} xmlns="{NAMESPACE}">{content}</{name}>')


def empty(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An answer without a body."""
    return Response(status_code=status, headers=headers)


def refusal(problem: S3Error) -> Response:
    """An answer that says what is wrong."""
    text = f"{element('Code', problem.reason)}{element('Message', problem.message)}"
    return xml(f"<Error>{text}</Error>", problem.http_status)


def element(name: str, value: object) -> str:
    """One XML element with text."""
    return f"<{name}>{escape(str(value))}</{name}>"


def iso_time(moment: int) -> str:
    """Nanoseconds since the epoch as S3's XML has times."""
    when = datetime.fromtimestamp(moment / NANOSECONDS, timezone.utc)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def http_time(moment: int) -> str:
    """Nanoseconds since the epoch as HTTP headers have times."""
    return format_datetime(datetime.fromtimestamp(moment // NANOSECONDS, timezone.utc), usegmt=True)


def url_encoded(key: str) -> str:
    """A key as ``encoding-type=url`` wants it."""
    return quote(key, safe="/-_.~")
