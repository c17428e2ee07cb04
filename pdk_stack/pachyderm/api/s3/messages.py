"""Requests and responses of the S3 protocol, and its XML."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import format_datetime
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from starlette.responses import Response

from pdk_stack.common.http.exchange import Exchange
from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.store.clock import NANOSECONDS

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
#: The user of everything that the gateway shows.
USER_ID, USER_NAME = "0" * 32, "pachyderm"
# What XML can't hold; Go's encoder writes U+FFFD instead.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class Request:
    """An S3 request.

    Attributes:
        exchange: The HTTP request, with headers and body.
        bucket: The bucket's name, or empty.
        key: The object's key, or empty.
        query: The query parameters; the first value of each.
    """

    exchange: Exchange
    bucket: str
    key: str
    query: Mapping[str, str]

    @property
    def method(self) -> str:
        """The HTTP method, such as ``GET``."""
        return self.exchange.method

    def header(self, name: str) -> str:
        """Return a header's value, or an empty string."""
        return self.exchange.headers.get(name, "")

    def number(self, name: str, highest: int, default: int) -> int:
        """Return a query parameter as a number from 0 to ``highest``.

        Raises:
            S3Error: The parameter is another text.
        """
        text = self.query.get(name, "")
        if not text:
            return default
        if not _INTEGER.fullmatch(text) or not 0 <= int(text) <= highest:
            raise S3Error("InvalidArgument")
        return int(text)


def parse_query(raw: str) -> dict[str, str]:
    """Return the parameters of a raw query string; of several with one name, the first."""
    found: dict[str, str] = {}
    for part in raw.split("&"):
        name, _, value = part.partition("=")
        if part:
            found.setdefault(unquote(name.replace("+", " ")), unquote(value.replace("+", " ")))
    return found


def xml(document: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Build a response with an XML document and the two headers that identify a request."""
    number = str(uuid.uuid4())
    head = {"x-amz-id-2": number, "x-amz-request-id": number, **(headers or {})}
    content = f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'
    return Response(content, status, head, "application/xml")


def result(name: str, content: str, headers: Mapping[str, str] | None = None) -> Response:
    """Build a response with an XML document in S3's namespace.

    Args:
        name: The name of the root element.
        content: The content of the root element, as XML.
        headers: Further headers.
    """
    return xml(f'<{name} xmlns="{NAMESPACE}">{content}</{name}>', headers=headers)


def empty(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Build a response without a body."""
    return Response(status_code=status, headers=headers)


def refusal(problem: S3Error, path: str) -> Response:
    """Build the response for an error.

    Args:
        problem: The error.
        path: The path that the request names, decoded.
    """
    number = str(uuid.uuid4())
    fields = {"Code": problem.reason, "Message": problem.message, "Resource": path, "RequestId": number}
    content = "".join(element(name, value) for name, value in fields.items())
    ids = {"x-amz-id-2": number, "x-amz-request-id": number}
    return xml(f"<Error>{content}</Error>", problem.http_status, ids)


def element(name: str, value: object) -> str:
    """Build an XML element with text."""
    return f"<{name}>{escape(_NOT_XML.sub('�', str(value)))}</{name}>"


def user(name: str, known: bool = True) -> str:
    """Build an XML element with the gateway's user, or with none."""
    fields = element("ID", USER_ID if known else "") + element("DisplayName", USER_NAME if known else "")
    return f"<{name}>{fields}</{name}>"


def parse_document(data: bytes, root: str) -> ElementTree.Element:
    """Parse a request's XML.

    Args:
        data: The document.
        root: The name of its root element, in any namespace.

    Raises:
        S3Error: It is malformed, has another root or declares entities.
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise S3Error("MalformedXML")
    try:
        found = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise S3Error("MalformedXML") from error
    if local_name(found) != root:
        raise S3Error("MalformedXML")
    return found


def local_name(node: ElementTree.Element) -> str:
    """Return an element's name without its namespace."""
    return str(node.tag).rpartition("}")[2]


def child_text(node: ElementTree.Element, name: str) -> str:
    """Return the text of an element's child, or an empty string."""
    return next((each.text or "" for each in node if local_name(each) == name), "")


def iso_time(moment: int) -> str:
    """Format nanoseconds since the epoch for S3's XML, rounded to a second: some clients can't read fractions."""
    when = datetime.fromtimestamp((moment + NANOSECONDS // 2) // NANOSECONDS, timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def http_time(moment: int) -> str:
    """Format nanoseconds since the epoch for an HTTP header."""
    return format_datetime(datetime.fromtimestamp(moment // NANOSECONDS, timezone.utc), usegmt=True)
