"""Which handler a request gets: the routes of github.com/pachyderm/s2 (``s2.go``), in their order.

A subresource is a parameter without which the call would be another one, such as ``?acl``. A call that the server has a
route for but doesn't implement gets 501; a method without a route 405.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from starlette.responses import Response

from pdk_stack.common.http.exchange import Exchange
from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.api.s3.messages import Request, empty, parse_query
from pdk_stack.pachyderm.api.s3.multipart import Multipart
from pdk_stack.pachyderm.api.s3.reading import Reading
from pdk_stack.pachyderm.api.s3.writing import Writing
from pdk_stack.pachyderm.names import clean_path

Handler = Callable[[Request], Response]

_BUCKET = r"[a-zA-Z0-9\-_.]{1,255}"
_PATH = re.compile(rf"/(?P<bucket>{_BUCKET})(?:/(?P<key>.+)?)?")
_WITH_BUCKET = re.compile(rf"/{_BUCKET}/")


@dataclass(frozen=True)
class Route:
    """One route.

    Attributes:
        methods: The HTTP methods.
        handler: The handler; None where the server implements nothing.
        parameter: A query parameter that must be there, or empty.
        header: A header that must be there, or empty.
    """

    methods: tuple[str, ...]
    handler: Handler | None
    parameter: str = ""
    header: str = ""

    def fits(self, request: Request) -> bool:
        """Whether a request takes this route."""
        return (
            request.method in self.methods
            and (not self.parameter or self.parameter in request.query)
            and (not self.header or self.header in request.exchange.headers)
        )


def _absent(methods: str, parameters: str) -> list[Route]:
    return [Route(tuple(methods.split()), None, each) for each in parameters.split()]


class Routes:
    """All routes of a gateway.

    Args:
        reading: Handles requests that read.
        writing: Handles requests that write.
        multipart: Handles uploads in parts.

    Attributes:
        service: The routes of ``/``.
        bucket: The routes of ``/bucket`` and ``/bucket/``.
        object: The routes of ``/bucket/key``.
    """

    def __init__(self, reading: Reading, writing: Writing, multipart: Multipart) -> None:
        self.service = [Route(("GET", "HEAD"), reading.list_buckets)]
        self.bucket = [
            *_absent("GET PUT", "accelerate acl logging notification object-lock requestPayment"),
            *_absent("GET PUT DELETE", "analytics cors encryption inventory lifecycle metrics policy"),
            *_absent("GET PUT DELETE", "publicAccessBlock tagging website"),
            *_absent("GET", "policyStatus versions"),
            *_absent("PUT DELETE", "replication"),
            Route(("GET",), reading.versioning, "versioning"),
            Route(("PUT",), writing.set_versioning, "versioning"),
            Route(("GET",), multipart.list_uploads, "uploads"),
            Route(("GET",), reading.location, "location"),
            Route(("GET", "HEAD"), reading.list_objects),
            Route(("PUT",), writing.create_bucket),
            Route(("POST",), writing.delete_objects, "delete"),
            Route(("DELETE",), writing.delete_bucket),
            Route(("POST",), None),
        ]
        self.object = [
            *_absent("GET PUT", "acl legal-hold retention"),
            *_absent("GET PUT DELETE", "tagging"),
            *_absent("GET", "torrent"),
            *_absent("POST", "restore select"),
            Route(("GET",), multipart.list_parts, "uploadId"),
            Route(("POST",), multipart.begin, "uploads"),
            Route(("POST",), multipart.complete, "uploadId"),
            Route(("PUT",), multipart.put_part, "uploadId"),
            Route(("DELETE",), multipart.abort, "uploadId"),
            Route(("GET", "HEAD"), reading.get_object),
            Route(("PUT",), writing.copy_object, header="x-amz-copy-source"),
            Route(("PUT",), writing.put_object),
            Route(("DELETE",), writing.delete_object),
        ]

    def answer(self, exchange: Exchange) -> Response:
        """Handle a request.

        Raises:
            S3Error: There is no such route, or the handler refuses.
        """
        path = unquote(exchange.path)
        if (clean := _clean(path)) != path:
            # gorilla/mux redirects to the path without empty and relative parts.
            query = f"?{exchange.query}" if exchange.query else ""
            return empty(301, {"Location": quote(clean, safe="/-_.~$&+,:;=@") + query})
        if path == "/":
            return _take(self.service, Request(exchange, "", "", parse_query(exchange.query)))
        found = _PATH.fullmatch(path)
        if found is None:
            raise S3Error("NoSuchKey" if _WITH_BUCKET.match(path) else "InvalidBucketName")
        request = Request(exchange, found["bucket"], found["key"] or "", parse_query(exchange.query))
        return _take(self.object if request.key else self.bucket, request)


def _take(routes: Iterable[Route], request: Request) -> Response:
    route = next((each for each in routes if each.fits(request)), None)
    if route is None:
        raise S3Error("MethodNotAllowed")
    if route.handler is None:
        raise S3Error("NotImplemented")
    return route.handler(request)


def _clean(path: str) -> str:
    """Return a path as gorilla/mux wants it: clean, but with its slash at the end."""
    clean = clean_path(path)
    return f"{clean}/" if path.endswith("/") and clean != "/" else clean
