"""Payload logging: sends a service's requests and answers as CloudEvents to the sink of its ``logger``.

Off unless a predictor has a ``logger``. Types and attributes match KServe's agent (``pkg/logger`` of v0.13.1), in the
binary mode of the CloudEvents HTTP binding. Predictions never wait for the sink: events that it doesn't accept are
dropped and logged.
"""

from __future__ import annotations

import logging
import queue
import threading
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass

log = logging.getLogger(__name__)

TYPE = "org.kubeflow.serving.inference."
SOURCE = "http://localhost:9081/"
ID_HEADER = "ce-id"
QUEUE_LENGTH = 100
SEND_SECONDS = 10.0


@dataclass(frozen=True)
class Event:
    """A CloudEvent: its headers and the unchanged payload."""

    headers: dict[str, str]
    body: bytes


class PayloadLogger:
    """Sends payloads in a separate thread.

    Args:
        url: The sink.
        mode: ``all``, ``request``, or ``response``.
        namespace: The service's namespace.
        service: The service's name.
    """

    def __init__(self, url: str, mode: str, namespace: str, service: str) -> None:
        self._url = url
        self._kinds = ("request", "response") if mode == "all" else (mode,)
        self._about = {"inferenceservicename": service, "namespace": namespace, "component": "predictor"}
        self._waiting: queue.Queue[Event | None] = queue.Queue(QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._run, name=f"payloads-{service}", daemon=True)
        self._thread.start()

    def exchange(self, headers: dict[str, str], request: bytes, code: int, answer: bytes, answer_type: str) -> None:
        """Log a request and its answer under one id, the client's own if it sent one.

        Args:
            headers: The request's headers by lowercase name.
            request: The request's body.
            code: The answer's status code; like KServe's agent, only 200 answers are logged.
            answer: The answer's body.
            answer_type: The answer's content type.
        """
        key = headers.get(ID_HEADER) or str(uuid.uuid4())
        if "request" in self._kinds:
            self._put("request", key, request, headers.get("content-type", ""))
        if "response" in self._kinds and code == 200:
            self._put("response", key, answer, answer_type)

    def _put(self, kind: str, key: str, body: bytes, content_type: str) -> None:
        attributes = {"specversion": "1.0", "id": key, "source": SOURCE, "type": TYPE + kind, **self._about}
        headers = {f"ce-{name}": value for name, value in attributes.items()}
        try:
            self._waiting.put_nowait(Event({**headers, "Content-Type": content_type or "application/json"}, body))
        except queue.Full:
            log.warning("%s does not keep up; dropped a payload of %s", self._url, self._about)

    def _run(self) -> None:
        while event := self._waiting.get():
            call = urllib.request.Request(self._url, event.body, event.headers, method="POST")
            try:
                with urllib.request.urlopen(call, timeout=SEND_SECONDS):
                    pass
            except urllib.error.HTTPError as error:
                error.close()
                log.warning("%s did not accept a payload: %s", self._url, error)
            except OSError as error:
                log.warning("%s did not accept a payload: %s", self._url, error)

    def close(self) -> None:
        """Stop the thread and drop queued events."""
        try:
            while True:
                self._waiting.get_nowait()
        except queue.Empty:
            self._waiting.put(None)


def sink_problem(logger: dict[str, str]) -> str:
    """Return why a ``logger`` can't be honored; empty when it can."""
    url = str(logger.get("url") or "")
    if not url.startswith(("http://", "https://")):
        return f"logger.url has to be an http address ('{url}' is not): there is no broker here to send payloads to."
    return ""
