"""Timeouts and size limits of every port of the stack."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GRPC_PORTS", "PORTS", "GrpcLimits", "Limits"]

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Limits of an HTTP port.

    Attributes:
        head_seconds: From the connection, or from a request's first byte, to the end of its head; with TLS, also for
            the handshake.
        keep_alive_seconds: Maximum idle time between two requests on a connection.
        body_seconds: Base time for a body, in addition to the time that ``body_bytes_per_second`` allows.
        body_bytes_per_second: The minimum rate at which a body must arrive.
        body_bytes: Maximum size of a body.
        body_ahead: Bytes of a body to read before the call begins; the rest is read while the call runs. None reads the
            whole body first.
        head_bytes: Maximum size of a head.
        connections: Maximum number of open connections; further ones get 503.
        threads: Maximum number of concurrent calls; each watch or followed log occupies one while it lasts.
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


@dataclass(frozen=True)
class GrpcLimits:
    """Limits of a gRPC port, enforced by the gRPC library.

    Attributes:
        handshake_seconds: From the connection to the end of the HTTP/2 preface.
        keep_alive_seconds: Idle time after which the server pings a connection.
        keep_alive_answer_seconds: Time to answer that ping; then the server closes the connection.
        client_ping_seconds: Minimum interval between a client's pings, also while no call runs; a client that pings
            more often is disconnected (``too_many_pings``).
        message_bytes: Maximum size of a message in either direction.
        streams: Maximum number of concurrent calls on a connection; further ones wait at the client.
        threads: Maximum number of concurrent calls on all connections; each waiting or following call occupies one.
    """

    handshake_seconds: float = 10.0
    keep_alive_seconds: float = 120.0
    keep_alive_answer_seconds: float = 20.0
    client_ping_seconds: float = 5.0
    message_bytes: int = 4 * MIB
    streams: int = 1000
    threads: int = 16

    @property
    def options(self) -> list[tuple[str, int]]:
        """Return the limits as channel arguments of a ``grpc.server``."""
        return [
            ("grpc.server_handshake_timeout_ms", int(self.handshake_seconds * 1000)),
            ("grpc.keepalive_time_ms", int(self.keep_alive_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", int(self.keep_alive_answer_seconds * 1000)),
            ("grpc.http2.min_ping_interval_without_data_ms", int(self.client_ping_seconds * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_receive_message_length", self.message_bytes),
            ("grpc.max_send_message_length", self.message_bytes),
            ("grpc.max_concurrent_streams", self.streams),
            ("grpc.so_reuseport", 0),
        ]


#: HTTP ports, by service and listener.
PORTS: dict[str, Limits] = {
    # etcd refuses objects over 1.5 MiB, the API server bodies over 3 MiB (``MaxRequestBodyBytes``).
    "kubernetes.api": Limits(body_bytes=3 * MIB, threads=256),
    # Experiment code is base64-encoded: 95 MB (the client's ``MAX_CONTEXT_SIZE``) become 127 MB.
    "determined.master": Limits(body_bytes=160 * MIB, keep_alive_seconds=120, threads=256),
    # Istio has no limit of its own; TorchServe's default is 6.5 MB, and a model may raise it.
    "kubernetes.ingress": Limits(body_bytes=512 * MIB, body_seconds=60.0, connections=512),
    # The gateway of 2.8 reads lengths of 32 bits; objects over 1 MiB are stored while they arrive.
    "pachyderm.s3": Limits(body_bytes=(4 << 30) - 1, body_ahead=MIB),
}

#: gRPC ports, by service and listener.
GRPC_PORTS: dict[str, GrpcLimits] = {
    # Clients send messages of up to 19 MiB (python_pachyderm's ``GRPC_CHANNEL_OPTIONS`` allows 20). Pachyderm's server
    # also allows client pings every 5 seconds (``keepalive.EnforcementPolicy``).
    "pachyderm.grpc": GrpcLimits(message_bytes=21 * MIB, threads=192),
    # One user process asks; after a lost connection it may ask again while its first request still waits.
    "pachyderm.worker": GrpcLimits(threads=4),
}
