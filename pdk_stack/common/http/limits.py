"""How long and how much each port of the stack waits for and takes. The one place where a port's timeouts stand."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GRPC_PORTS", "PORTS", "GrpcLimits", "Limits"]

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


@dataclass(frozen=True)
class GrpcLimits:
    """What a gRPC port grants to a client. The gRPC library enforces it.

    Attributes:
        handshake_seconds: From the connection to the end of the HTTP/2 preface.
        keep_alive_seconds: A connection on which nothing came for so long is asked whether it still lives.
        keep_alive_answer_seconds: It is closed when no answer comes in this time.
        client_ping_seconds: A client may ask the same so often, also while no call runs; one that asks more often is
            sent away (``too_many_pings``).
        message_bytes: The largest message, either way.
        streams: Calls of one connection that run at the same time; more wait at the client.
        threads: Calls of all connections that run at the same time; each one that waits or follows takes one.
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
        """The same as channel arguments of a ``grpc.server``."""
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
    # etcd refuses objects of over 1.5 MiB, the API server bodies of over 3 MiB (``MaxRequestBodyBytes``).
    "kubernetes.api": Limits(body_bytes=3 * MIB, threads=256),
    # The code of an experiment travels in base64: 95 MB of it (``MAX_CONTEXT_SIZE`` of the client) become 127 MB.
    "determined.master": Limits(body_bytes=160 * MIB, keep_alive_seconds=120, threads=256),
    # Istio has no limit of its own; TorchServe's default is 6.5 MB and a model may raise it.
    "kubernetes.ingress": Limits(body_bytes=512 * MIB, body_seconds=60.0, connections=512),
    # S3's own limit for one PUT; objects beyond a MiB go to the store while they arrive.
    "pachyderm.s3": Limits(body_bytes=5 << 30, body_ahead=MIB),
}

#: gRPC ports, by service and listener.
GRPC_PORTS: dict[str, GrpcLimits] = {
    # Clients send messages of 19 MiB (``GRPC_CHANNEL_OPTIONS`` of python_pachyderm allows 20). Pachyderm's server, too,
    # lets clients ping every 5 seconds (``keepalive.EnforcementPolicy``).
    "pachyderm.grpc": GrpcLimits(message_bytes=21 * MIB, threads=192),
    # One process of user code asks; one that lost its connection may ask again while its first question still waits.
    "pachyderm.worker": GrpcLimits(threads=4),
}
