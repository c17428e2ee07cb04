"""The S3 gateway's HTTP server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote

from starlette.responses import Response

from pdk_stack.common.errors import Refusal
from pdk_stack.common.http.exchange import Exchange, endpoint
from pdk_stack.common.http.server import Server
from pdk_stack.common.limits import PORTS
from pdk_stack.common.service import LOOPBACK
from pdk_stack.pachyderm.api.s3 import messages
from pdk_stack.pachyderm.api.s3.buckets import BranchBuckets, Buckets, FixedBuckets
from pdk_stack.pachyderm.api.s3.errors import S3Error, of_refusal
from pdk_stack.pachyderm.api.s3.multipart import Multipart
from pdk_stack.pachyderm.api.s3.reading import Reading
from pdk_stack.pachyderm.api.s3.routes import Routes
from pdk_stack.pachyderm.api.s3.signatures import verify
from pdk_stack.pachyderm.api.s3.writing import Writing
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.types import Bucket

log = logging.getLogger("pdk_stack.pachyderm.api.s3")

LISTENER = "pachyderm.s3"


class Gateway:
    """Serves buckets on one loopback port.

    Args:
        engine: The store.
        accepts: Whether a string is a token that may sign requests; None while authentication is off.
        port: The port; 0 picks a free one.
        buckets: The gateway's buckets; None means one for every branch.

    Raises:
        StackError: The port is in use.
    """

    def __init__(
        self, engine: Engine, accepts: Callable[[str], bool] | None, port: int = 0, buckets: Buckets | None = None
    ) -> None:
        buckets = buckets or BranchBuckets()
        self._accepts = accepts
        reading = Reading(engine, buckets)
        writing = Writing(engine, buckets, reading)
        self._routes = Routes(reading, writing, Multipart(engine, buckets, writing))
        self._server = Server(LISTENER, port, PORTS[LISTENER])
        self.port = self._server.port

    def start(self) -> None:
        """Start serving."""
        server = self._server
        server.start(endpoint(self._authenticate, self._answer, self._refuse, server.limits, server.closing))

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()

    def _authenticate(self, exchange: Exchange) -> None:
        exchange.user = verify(exchange.method, exchange.path, exchange.query, exchange.headers, self._accepts)

    def _answer(self, exchange: Exchange) -> Response:
        return self._routes.answer(exchange)

    def _refuse(self, exchange: Exchange, error: Exception) -> Response:
        if not isinstance(error, Refusal):
            log.error("%s %s failed", exchange.method, exchange.path, exc_info=error)
            error = S3Error("InternalError")
        return messages.refusal(of_refusal(error), unquote(exchange.path))


@contextmanager
def serve_buckets(
    engine: Engine, buckets: Mapping[str, Bucket], accepts: Callable[[str], bool] | None
) -> Iterator[str]:
    """Serve the given buckets on their own port for the duration of the block.

    Args:
        engine: The store.
        buckets: The buckets by name.
        accepts: Whether a string is a token; None while authentication is off.

    Yields:
        The gateway's URL.
    """
    gateway = Gateway(engine, accepts, buckets=FixedBuckets(buckets))
    gateway.start()
    try:
        yield f"http://{LOOPBACK}:{gateway.port}"
    finally:
        gateway.stop()
