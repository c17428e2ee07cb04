"""The ingress: one HTTP listener that routes predictions by their Host header, as Istio does for KServe."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST

from pdk_stack.kubernetes.api.ingress.access_log import AccessLog
from pdk_stack.kubernetes.api.ingress.answers import busy, error, kept_headers, local_answer, upstream_answer
from pdk_stack.kubernetes.api.ingress.metrics import Metrics
from pdk_stack.kubernetes.api.ingress.requests import fault, not_json, refused
from pdk_stack.kubernetes.api.ingress.server import JSON, Answer, RequestBody
from pdk_stack.kubernetes.core.inference.dataplane.http_connection import Head, WireError
from pdk_stack.kubernetes.core.inference.dataplane.upstream import (
    SMALL_BYTES,
    Interrupted,
    Pieces,
    Streamed,
    Unanswered,
)
from pdk_stack.kubernetes.core.inference.failures import ModelServerError
from pdk_stack.kubernetes.core.inference.reconciler.routes import Entry, Routes
from pdk_stack.kubernetes.core.inference.revisions.replica import Replica
from pdk_stack.kubernetes.core.inference.revisions.revision import Revision

DEATH_SECONDS = 0.2
# Hop-by-hop headers (RFC 9110, 7.6.1), and those that the ingress writes itself.
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "content-type",
    "expect",
    "proxy-authorization",
    "proxy-connection",
}
FORM = "application/x-www-form-urlencoded"


class Ingress:
    """Forwards predictions to revisions; the handler of :class:`~pdk_stack.kubernetes.api.ingress.server.Server`.

    Args:
        routes: Maps host names to revisions.
        access_log: File for one JSON line per request, without bodies.
    """

    def __init__(self, routes: Routes, access_log: Path) -> None:
        self._routes = routes
        self._metrics = Metrics(routes.inflight)
        self._access_log = AccessLog(access_log)

    def pod_metrics(self, namespace: str, pod: str) -> bytes:
        """Return what a pod's queue-proxy tells of it, in the Prometheus text format."""
        return self._metrics.text_of(namespace, pod)

    def close(self) -> None:
        """Close the access log."""
        self._access_log.close()

    def __call__(self, head: Head, body: RequestBody) -> Answer:
        """Answer one request."""
        started = time.monotonic()
        host = head.headers.get("host", "")
        entry = self._routes.enter(host)
        if entry is None:
            answer = self._without_service(head, host)
            self._record(head, host, None, answer.code, started)
            return answer
        try:
            answer = self._answer(head, body, entry.revision)
        except WireError as failure:
            answer = error(failure.code, failure.message)
            answer.close = True
        except BaseException:
            entry.revision.load.leave()
            raise
        answer.headers["X-Revision"] = entry.revision.name
        if answer.done is None:
            entry.revision.load.leave()
            self._record(head, host, entry, answer.code, started, answer.pod)
            return answer
        close = answer.done

        def done() -> None:
            # A streamed answer is in flight until its end.
            close()
            entry.revision.load.leave()
            self._record(head, host, entry, answer.code, started, answer.pod)

        answer.done = done
        return answer

    def _without_service(self, head: Head, host: str) -> Answer:
        if (head.method, head.target) == ("GET", "/metrics"):
            return Answer(200, {"Content-Type": CONTENT_TYPE_LATEST}, self._metrics.text())
        known = ", ".join(self._routes.hosts()) or "none: no InferenceService is ready"
        return error(404, f"No InferenceService has the host '{host}'. Hosts that are known: {known}")

    def _answer(self, head: Head, body: RequestBody, revision: Revision) -> Answer:
        # Check before reading the body, so that a client that must retry doesn't send it for nothing.
        places = revision.limits.waiting * max(1, revision.replicas.wanted)
        if revision.load.inflight > places:
            return busy(f"{revision.name} has {places} requests under way or waiting.")
        body.check()
        path = head.target.split("?")[0]
        if local := local_answer(head.method, path, revision):
            return local
        try:
            revision.ensure_running()
        except ModelServerError as failure:
            return error(503, f"{revision.name} could not be started again: {failure}")
        content = _content(body, whole=revision.payloads is not None)
        if head.method == "POST" and not revision.custom and (no := _refusal(path, content)):
            return no
        failed: list[Replica] = []
        while True:
            replica = revision.replicas.take(revision.limits.concurrency, revision.limits.seconds, failed)
            if replica is None:
                return busy(f"{revision.name} had no free place within {revision.limits.seconds:.0f} s.")
            answer = None
            try:
                answer = self._forward(head, path, content, revision, replica)
                answer.pod = replica.pod
                return answer
            except Interrupted as failure:
                raise failure.cause from failure
            except Unanswered as failure:
                # The server died during the request: retry on another replica or on its restart. Predictions have no
                # side effects, but retry only once, because the request itself can be what kills the server.
                begun = isinstance(content, Streamed) and content.begun
                if failure.timed_out or failed or begun or not self._dead(replica, revision):
                    refusal = error(504 if failure.timed_out else 502, f"{revision.name}: {failure}")
                    refusal.pod = replica.pod
                    return refusal
                failed = [replica]
            finally:
                if answer is None or answer.done is None:
                    revision.replicas.give(replica)

    @staticmethod
    def _dead(replica: Replica, revision: Revision) -> bool:
        """Return whether a server that didn't answer has ended; its keeper thread notices a moment later."""
        with revision.replicas.changed:
            return revision.replicas.changed.wait_for(lambda: not replica.ready, DEATH_SECONDS)

    @staticmethod
    def _forward(head: Head, path: str, body: bytes | Streamed, revision: Revision, replica: Replica) -> Answer:
        headers = {name: value for name, value in head.headers.items() if name not in HOP_BY_HOP}
        # curl, as in the guide, sends a form content type by default; TorchServe accepts its envelope only as JSON.
        given = head.headers.get("content-type", "")
        headers["Content-Type"] = given if given and not given.startswith(FORM) else JSON["Content-Type"]
        reply = replica.upstream.send(head.method, head.target, headers, body, revision.limits.seconds)
        kept = kept_headers(reply.headers)
        pieces = reply.content
        if isinstance(pieces, Pieces) and reply.code == 200 and not revision.payloads:

            def done() -> None:
                pieces.close()
                revision.replicas.give(replica)

            length = {} if pieces.length is None else {"Content-Length": str(pieces.length)}
            type_given = {} if revision.custom else JSON
            return Answer(200, {**type_given, **kept, **length}, pieces=iter(pieces), done=done)
        content = reply.whole()
        if revision.payloads and head.method == "POST" and isinstance(body, bytes):
            answer_type = reply.headers.get("content-type", "")
            revision.payloads.exchange(head.headers, body, reply.code, content, answer_type)
        if revision.custom:
            return Answer(reply.code, kept, content)
        failed = reply.code in (500, 503) and head.method == "POST"
        if failed and isinstance(body, bytes) and (no := fault(path, body)):
            return no
        return upstream_answer(reply.code, reply.headers, content, path, revision)

    def _record(self, head: Head, host: str, entry: Entry | None, code: int, started: float, pod: str = "") -> None:
        milliseconds = 1000 * (time.monotonic() - started)
        if entry:
            # What the ingress answers in the place of KServe's server, the server of a pod would answer on a cluster.
            pod = pod or entry.revision.replicas.first_ready()
            self._metrics.observe(entry.namespace, entry.service, entry.revision.name, pod, code, milliseconds)
        line = {
            "time": round(time.time(), 3),
            "method": head.method,
            "host": host,
            "path": head.target,
            "status": code,
            "milliseconds": round(milliseconds, 2),
            "revision": entry.revision.name if entry else None,
            "version": entry.revision.version if entry else None,
        }
        self._access_log.record(line)


def _refusal(path: str, content: bytes | Streamed) -> Answer | None:
    """Return KServe's refusal of a body, as far as it is known; None for one that the model server gets."""
    return refused(path, content) if isinstance(content, bytes) else not_json(path, content.begin)


def _content(body: RequestBody, *, whole: bool) -> bytes | Streamed:
    """Return a request's body: small or logged bodies whole, large ones as a stream."""
    if whole or (body.length is not None and body.length <= SMALL_BYTES):
        return body.whole()
    if body.length is not None:
        return Streamed(body.pieces(), body.length)
    # For a chunked body: some servers can't read chunks, so a small one is sent with a length.
    pieces, first, size = body.pieces(), [], 0
    for piece in pieces:
        first.append(piece)
        size += len(piece)
        if size > SMALL_BYTES:
            return Streamed(itertools.chain(first, pieces), None)
    return b"".join(first)
