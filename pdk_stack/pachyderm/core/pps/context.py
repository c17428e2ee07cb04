"""What all workers of a daemon share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pdk_stack.common.service import LOOPBACK
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.types import Bucket
from pdk_stack.pachyderm.core.pps.images import Images
from pdk_stack.pachyderm.core.pps.logs import LogStore
from pdk_stack.pachyderm.core.pps.running import RunningDatums
from pdk_stack.pachyderm.core.pps.sandbox import Sandbox
from pdk_stack.pachyderm.core.pps.secrets import Secrets
from pdk_stack.pachyderm.core.tokens import Tokens

#: Serves buckets, by name, to those whose token is accepted; within the block its value is the gateway's address.
ServeBuckets: TypeAlias = Callable[[Mapping[str, Bucket], Callable[[str], bool] | None], AbstractContextManager[str]]

#: Answers a process of user code that asks for its next datum: gets the error with which the last one failed, or an
#: empty text, and whether the process still waits; returns the datum's variables.
NextDatum: TypeAlias = Callable[[str, Callable[[], bool]], Mapping[str, str]]
#: Opens the port at which a process asks; within the block its value is the port.
ServeDatums: TypeAlias = Callable[[NextDatum], AbstractContextManager[int]]


@dataclass
class Context:
    """What all workers of a daemon share.

    Attributes:
        engine: The store.
        logs: Where log lines go.
        secrets: Where secrets come from.
        images: What can be run.
        sandbox: How ``/pfs`` is made.
        work: The folder of running datums.
        serve_buckets: Opens a job's own S3 gateway.
        serve_datums: Opens a worker's own port.
        worker_environment: Variables for every worker.
        host: Where this daemon listens.
        grpc_port: Its gRPC port; known once it listens.
        s3_port: Its S3 gateway's port.
        tokens: Gives workers their tokens.
        namespace: The namespace of the pipelines' pods and secrets.
        running: The datums that are being processed.
    """

    engine: Engine
    logs: LogStore
    secrets: Secrets
    images: Images
    sandbox: Sandbox
    work: Path
    serve_buckets: ServeBuckets
    serve_datums: ServeDatums
    worker_environment: Mapping[str, str] = field(default_factory=dict)
    host: str = LOOPBACK
    grpc_port: int = 0
    s3_port: int = 0
    tokens: Tokens = field(default_factory=lambda: Tokens(""))
    namespace: str = "default"
    running: RunningDatums = field(default_factory=RunningDatums)
