"""State that all workers of a daemon share."""

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

#: Serves buckets by name to clients whose token is accepted; the block's value is the gateway's URL.
ServeBuckets: TypeAlias = Callable[[Mapping[str, Bucket], Callable[[str], bool] | None], AbstractContextManager[str]]

#: Handles a user process's request for the next datum. Gets the error of the last datum, or an empty string, and a
#: function that returns whether the process is still waiting; returns the datum's variables.
NextDatum: TypeAlias = Callable[[str, Callable[[], bool]], Mapping[str, str]]
#: Opens the port where a process requests datums; the block's value is the port.
ServeDatums: TypeAlias = Callable[[NextDatum], AbstractContextManager[int]]


@dataclass
class Context:
    """State that all workers of a daemon share.

    Attributes:
        engine: The store.
        logs: The log store.
        secrets: The secret store.
        images: The images that can run.
        sandbox: Provides ``/pfs`` to user code.
        work: The folder of running datums.
        serve_buckets: Opens a job's own S3 gateway.
        serve_datums: Opens a worker's own port.
        worker_environment: Environment variables for every worker.
        host: The address where this daemon listens.
        grpc_port: The gRPC port; set once the daemon listens.
        s3_port: The S3 gateway's port; set once the daemon listens.
        tokens: Issues the workers' tokens.
        namespace: The namespace of the pipelines' pods and secrets.
        running: The datums in progress.
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
