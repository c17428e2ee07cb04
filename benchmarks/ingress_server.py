"""What each way of serving adds to a prediction: the ingress with its threads, and the stack's common server.

    python -m benchmarks.ingress_server [--requests 1000] [--rounds 8] [--json result.json]

A model server that answers at once stands for TorchServe, so that only the way there counts. Asked directly, through
the ingress, and through the least that an ingress on the common server (uvicorn) would do: read the body, hand the call
to a thread, forward it. Each runs in a process of its own; rounds alternate. The target: the ingress adds no more than
the common server would. It is why ``api/ingress/server.py`` is there.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h11

from pdk_stack.common.http.exchange import Exchange, endpoint
from pdk_stack.common.http.server import Server as CommonServer
from pdk_stack.common.limits import PORTS
from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.api.ingress.routing import Ingress
from pdk_stack.kubernetes.api.ingress.server import Server
from pdk_stack.kubernetes.core.inference.dataplane.http_connection import HttpConnection
from pdk_stack.kubernetes.core.inference.dataplane.upstream import Upstream
from pdk_stack.kubernetes.core.inference.node import Node
from pdk_stack.kubernetes.core.inference.reconciler.routes import Routes, Target
from pdk_stack.kubernetes.core.inference.revisions.replica import Replica
from pdk_stack.kubernetes.core.inference.revisions.revision import Revision

LIMITS = PORTS["kubernetes.ingress"]
PATH, HOST = "/v1/models/echo:predict", "echo.models.example.com"
BODY = b"x" * 70_000
ANSWER = b'{"predictions": [1]}'


def serve_model(_port: int) -> int:
    """A model server that reads a request and answers at once."""
    listener = socket.create_server((LOOPBACK, 0))

    def answer(accepted: socket.socket) -> None:
        connection = HttpConnection(accepted, h11.SERVER, LIMITS)
        while connection.request():
            for _ in connection.body():
                pass
            head = h11.Response(status_code=200, headers=[("Content-Length", str(len(ANSWER)))])
            connection.send(head, h11.Data(data=ANSWER), h11.EndOfMessage())
            connection.next_message()

    def accept() -> None:
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def serve_ingress(model: int) -> int:
    """The ingress, with one revision of one replica."""
    folder, routes = Path(tempfile.mkdtemp()), Routes()
    spec = {"predictor": {"model": {"storageUri": "/x"}}}
    revision = Revision("echo-1", folder, {"metadata": {"name": "echo", "namespace": "models"}, "spec": spec}, Node())
    server: Any = SimpleNamespace(stop=lambda: None)
    replica = Replica("pod", server, b"", revision.replicas.changed, lambda _replica: None)
    replica.upstream, replica.ready, replica.step = Upstream(model), True, "Ready"
    revision.replicas.members.append(replica)
    routes.set("models", "echo", [Target(revision)])
    front = Server("kubernetes.ingress", 0, LIMITS, Ingress(routes, folder / "access.log"))
    front.start()
    return front.port


def serve_common(model: int) -> int:
    """The common server, forwarding each request from a thread."""
    from starlette.responses import Response

    upstream, front = Upstream(model), CommonServer("kubernetes.ingress", 0, LIMITS)

    def answer(exchange: Exchange) -> Response:
        headers = {"Content-Type": "application/json"}
        reply = upstream.send(exchange.method, exchange.path, headers, exchange.body, 60)
        return Response(reply.whole(), reply.code, headers)

    def refuse(_exchange: Exchange, error: Exception) -> Response:
        return Response(str(error), 500)

    front.start(endpoint(lambda _exchange: None, answer, refuse, LIMITS, front.closing))
    return front.port


def run(serve: Callable[[int], int], model: int, told: Connection) -> None:
    """Serve in this process until it is ended."""
    told.send(serve(model))
    threading.Event().wait()


def measure(port: int, count: int) -> float:
    """Median of so many requests on one connection, in microseconds."""
    connection, seconds = http.client.HTTPConnection(LOOPBACK, port), []
    for _ in range(count):
        started = time.perf_counter()
        connection.request("POST", PATH, BODY, {"Host": HOST, "Content-Type": "application/json"})
        content = connection.getresponse().read()
        seconds.append(time.perf_counter() - started)
        assert content == ANSWER, content
    connection.close()
    return 1e6 * statistics.median(seconds)


def main() -> int:
    """Run the benchmark; 1 when the ingress adds more than the common server."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ports, processes = {"direct": 0}, []
    for name, serve in (("direct", serve_model), ("ingress", serve_ingress), ("common", serve_common)):
        ours, theirs = context.Pipe()
        process = context.Process(target=run, args=(serve, ports["direct"], theirs), daemon=True)
        process.start()
        processes.append(process)
        ports[name] = ours.recv()
    try:
        found: dict[str, list[float]] = {name: [] for name in ports}
        for _ in range(options.rounds):
            for name, port in ports.items():
                found[name].append(measure(port, options.requests))
    finally:
        for process in processes:
            process.terminate()
    # The quietest round: whatever else the machine does only adds.
    best = {name: min(values) for name, values in found.items()}
    added = {name: best[name] - best["direct"] for name in ("ingress", "common")}
    print(f"direct {best['direct']:.0f} us   added by the ingress {added['ingress']:.0f} us", end="")
    print(
        f"   by the common server {added['common']:.0f} us   (medians of {options.requests}, best of {options.rounds})"
    )
    if options.json:
        options.json.write_text(json.dumps({**best, "added": added}, indent=2) + "\n")
    return int(added["ingress"] > added["common"])


if __name__ == "__main__":
    raise SystemExit(main())
