"""How long and how much each port of the stack waits for and takes. The one place where a port's timeouts stand."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PORTS", "Limits"]

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a port grants to a client.

    Attributes:
        head_seconds: From the connection, or from a request's first byte, to the end of its head (and, with TLS, of the
            handshake).
        keep_alive_seconds: Between two requests of a connection.
        body_seconds: Grace for a body; on top of it the client has the time that ``body_bytes_per_second`` needs.
        body_bytes_per_second: The slowest pace at which a body may arrive.
        body_bytes: The largest body.
        body_ahead: Bytes of a body that are read before the call begins; a larger body is read while the call runs.
            None: always the whole body.
        head_bytes: The largest head.
        connections: At most so many at once; later ones get 503.
        threads: Calls that run at the same time; each watch or followed log takes one for as long as it lasts.
    """

    head_seconds: float = 10.0
    keep_alive_seconds: int = 75
    body_seconds: float = 20.0
    body_bytes_per_second: int = 64 * 1024
    body_bytes: int = 8 * MIB
    body_ahead: int | None = None
    head_bytes: int = 64 * 1024
    connections: int = 1000
    threads: int = 96


#: By service and listener.
PORTS: dict[str, Limits] = {
    # etcd refuses objects of over 1.5 MiB, the API server bodies of over 3 MiB (``MaxRequestBodyBytes``).
    "kubernetes.api": Limits(body_bytes=3 * MIB, threads=256),
    # The code of an experiment travels in base64: 95 MB of it (``MAX_CONTEXT_SIZE`` of the client) become 127 MB.
    "determined.master": Limits(body_bytes=160 * MIB, keep_alive_seconds=120, threads=256),
    # Istio has no limit of its own; TorchServe's default is 6.5 MB and a model may raise it.
    "kubernetes.ingress": Limits(body_bytes=512 * MIB, body_seconds=60.0, connections=512),
    # S3's own limit for one PUT; objects beyond a MiB go to the store while they arrive.
    "pachyderm.s3": Limits(body_bytes=5 << 30, body_ahead=MIB),
}
