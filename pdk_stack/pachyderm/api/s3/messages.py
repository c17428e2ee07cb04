"""Requests and responses of the S3 protocol, and its XML."""

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
    """An S3 request.

    Attributes:
        exchange: The HTTP request, with headers and body.
        bucket: The bucket's name, or empty.
        key: The object's key, or empty.
        query: The query parameters.
    """

    exchange: Exchange
    bucket: str
    key: str
    query: dict[str, str]

    @property
    def method(self) -> str:
        """The HTTP method, such as ``GET``."""
        return self.exchange.method

    def header(self, name: str) -> str:
        """Return a header's value, or an empty string."""
        return self.exchange.headers.get(name, "")

    @staticmethod
    def read(exchange: Exchange) -> Request:
        """Parse a request's path (``/bucket/key``) and query."""
        bucket, _, key = exchange.path.lstrip("/").partition("/")
        pairs = (part.partition("=") for part in exchange.query.split("&") if part)
        query = {unquote(name): unquote(value.replace("+", " ")) for name, _, value in pairs}
        return Request(exchange, unquote(bucket), unquote(key), query)


def xml(document: str, status: int = 200) -> Response:
    """Build a response with an XML document."""
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{document}', status, media_type="application/xml")


def result(name: str, content: str) -> Response:
    """Build a response with an XML document in S3's namespace.

    Args:
        name: The name of the root element.
        content: The content of the root element, as XML.
    """
    return xml(f'<{name} xmlns="{NAMESPACE}">{content}</{name}>')


def empty(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Build a response without a body."""
    return Response(status_code=status, headers=headers)


def refusal(problem: S3Error) -> Response:
    """Build the response for an error."""
    text = f"{element('Code', problem.reason)}{element('Message', problem.message)}"
    return xml(f"<Error>{text}</Error>", problem.http_status)


def element(name: str, value: object) -> str:
    """Build an XML element with text."""
    return f"<{name}>{escape(str(value))}</{name}>"


def iso_time(moment: int) -> str:
    """Format nanoseconds since the epoch for S3's XML."""
    when = datetime.fromtimestamp(moment / NANOSECONDS, timezone.utc)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def http_time(moment: int) -> str:
    """Format nanoseconds since the epoch for an HTTP header."""
    return format_datetime(datetime.fromtimestamp(moment // NANOSECONDS, timezone.utc), usegmt=True)


def url_encoded(key: str) -> str:
    """Encode a key for ``encoding-type=url``."""
    return quote(key, safe="/-_.~")
