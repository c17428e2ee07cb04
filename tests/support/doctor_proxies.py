"""Servers between the doctor and the stack: everything passes through, but for the one thing that is wrong."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import yaml

from pdk_stack.kubernetes.core.tls import ensure_certificates

# Of one connection, not of an answer (RFC 9110, 7.6.1); the proxy writes its own.
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
GET_VERSION = "/versionpb_v2.API/GetVersion"


@dataclass
class Wrong:
    """What a proxy does to the answers.

    Attributes:
        skew: Seconds that the server's clock is ahead; None takes the time out of its answers.
        answers: What becomes of a JSON answer, by path.
    """

    skew: float | None = 0.0
    answers: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


@contextlib.contextmanager
def before(target: str, wrong: Wrong, certificates: Path | None = None) -> Iterator[int]:
    """Run a proxy on loopback; yields its port.

    Args:
        target: URL of the server behind it; its certificate is not looked at.
        wrong: What it does; may be changed while it runs.
        certificates: Folder for a CA and a certificate of its own; without, it speaks plain HTTP.
    """
    parts = urlsplit(target)

    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            if parts.scheme == "https":
                trusting = ssl._create_unverified_context()
                upstream: http.client.HTTPConnection = http.client.HTTPSConnection(parts.netloc, context=trusting)
            else:
                upstream = http.client.HTTPConnection(parts.netloc)
            with contextlib.closing(upstream):
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                content = answer.read()
            change = wrong.answers.get(self.path.partition("?")[0])
            if change is not None:
                content = json.dumps(change(json.loads(content))).encode()
            self.send_response_only(answer.status)
            if wrong.skew is not None:
                self.send_header("Date", formatdate(time.time() + wrong.skew, usegmt=True))
            for name, value in answer.getheaders():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

        def log_message(self, format: str, *args: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificates is not None:
        _, certificate, key = ensure_certificates(certificates)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def kubernetes_before(kubeconfig: str, wrong: Wrong, folder: Path) -> Iterator[str]:
    """A proxy before a Kubernetes API; yields a kubeconfig that leads through it, with the same token."""
    content = yaml.safe_load(Path(kubeconfig).read_text())
    folder.mkdir(exist_ok=True)
    with before(content["clusters"][0]["cluster"]["server"], wrong, folder) as port:
        authority = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
        content["clusters"][0]["cluster"] = {
            "server": f"https://127.0.0.1:{port}",
            "certificate-authority-data": authority,
        }
        target = folder / "kubeconfig"
        target.write_text(yaml.safe_dump(content))
        yield str(target)


@contextlib.contextmanager
def pachyderm_of_release(address: str, version: bytes) -> Iterator[int]:
    """A gRPC proxy before pachd that says another version; yields its port.

    Args:
        address: ``host:port`` of pachd.
        version: Message ``versionpb_v2.Version`` to answer with.
    """

    class Everything(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            def forward(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
                if details.method == GET_VERSION:
                    yield version
                    return
                # A stream of streams on the wire is what every kind of call is.
                yield from channel.stream_stream(details.method)(requests, metadata=details.invocation_metadata)

            return grpc.stream_stream_rpc_method_handler(forward)

    with grpc.insecure_channel(address) as channel:
        server = grpc.server(ThreadPoolExecutor(max_workers=8), handlers=(Everything(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()
