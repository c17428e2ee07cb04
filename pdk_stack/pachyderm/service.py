"""The daemon: store, scheduler, gRPC server, and S3 gateway of an embedded Pachyderm."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pdk_shared.errors import StackError
from pdk_stack.pachyderm.api.grpc.access import AccessControl
from pdk_stack.pachyderm.api.grpc.admin import VERSION_TEXT
from pdk_stack.pachyderm.api.grpc.server import build_server
from pdk_stack.pachyderm.api.grpc.worker import serve_datums
from pdk_stack.pachyderm.api.s3.server import Gateway, serve_buckets
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.maintenance import Maintenance
from pdk_stack.pachyderm.core.pps import lifecycle
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.images import Images
from pdk_stack.pachyderm.core.pps.logs import DaemonLog, LogStore
from pdk_stack.pachyderm.core.pps.sandbox import Sandbox
from pdk_stack.pachyderm.core.pps.scheduler import Scheduler
from pdk_stack.pachyderm.core.pps.secrets import ClusterSecrets, LocalSecrets, Secrets
from pdk_stack.pachyderm.core.pps.ticks import Ticker
from pdk_stack.pachyderm.core.tokens import Tokens

log = logging.getLogger("pdk_stack.pachyderm.service")

STOP_GRACE_S = 1.0


@dataclass(frozen=True)
class Config:
    """A daemon's configuration.

    Attributes:
        state_dir: The folder for everything that survives a restart.
        grpc_port: Port of the gRPC server; 0 picks a free one.
        s3_port: Port of the S3 gateway; 0 picks a free one.
        root_token: The token that every call needs; empty disables authentication.
        kubeconfig: The cluster whose Secrets pipelines use; None stores secrets in the database.
        namespace: The namespace of those Secrets.
        images: The images file; see :meth:`Images.load`.
        worker_environment: Environment variables for every worker.
    """

    state_dir: Path
    grpc_port: int = 0
    s3_port: int = 0
    root_token: str = field(default="", repr=False)
    kubeconfig: Path | None = None
    namespace: str = "default"
    images: Path | None = None
    worker_environment: dict[str, str] = field(default_factory=dict, repr=False)


class Daemon:
    """An embedded Pachyderm.

    Args:
        config: The configuration.

    Raises:
        StackError: A port is in use, or a file can't be read.
    """

    def __init__(self, config: Config) -> None:
        engine = Engine(config.state_dir)
        secrets: Secrets = LocalSecrets(engine.database)
        if config.kubeconfig is not None:
            secrets = ClusterSecrets(config.kubeconfig, config.namespace)
        self.context = Context(
            engine=engine,
            logs=LogStore(config.state_dir / "logs"),
            secrets=secrets,
            images=Images.load(config.images),
            sandbox=Sandbox(),
            work=config.state_dir / "work",
            serve_buckets=partial(serve_buckets, engine),
            serve_datums=serve_datums,
            worker_environment=config.worker_environment,
            tokens=Tokens(config.root_token),
            namespace=config.namespace,
        )
        daemon_log = DaemonLog(self.context.logs)
        daemon_log.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logging.getLogger("pdk_stack.pachyderm").addHandler(daemon_log)
        self._daemon_log = daemon_log
        engine.at_change_end.append(lifecycle.create_jobs)
        access = AccessControl(self.context.tokens, engine)
        self._server, self.context.grpc_port = build_server(self.context, access, config.grpc_port)
        accepts = (lambda key: access.identify(key) is not None) if access.on else None
        self._gateway = Gateway(engine, accepts, config.s3_port)
        self.context.s3_port = self._gateway.port
        self._scheduler = Scheduler(self.context)
        self._ticker = Ticker(engine)
        self._maintenance = Maintenance(engine)

    def start(self) -> dict[str, str]:
        """Start serving.

        Returns:
            The addresses, as in the ready file.
        """
        log.info("pachd starts: release %s, authentication %s", VERSION_TEXT, "on" if self.context.tokens.on else "off")
        # Before any upload starts: until then, packs unknown to the database are leftovers.
        self._maintenance.start()
        self._server.start()
        self._gateway.start()
        self._scheduler.start()
        self._ticker.start()
        host = self.context.host
        return {
            "pachd": f"grpc://{host}:{self.context.grpc_port}",
            "s3": f"http://{host}:{self.context.s3_port}",
        }

    def stop(self) -> None:
        """Stop serving, stop the workers, and close the store."""
        self._server.stop(STOP_GRACE_S)
        self._ticker.stop()
        self._scheduler.stop()
        self._server.stop(0).wait()
        self._gateway.stop()
        self._maintenance.stop()
        self.context.engine.close()
        logging.getLogger("pdk_stack.pachyderm").removeHandler(self._daemon_log)


def read_environment(path: Path | None) -> dict[str, str]:
    """Read the workers' environment file: a flat JSON object.

    Raises:
        StackError: The file is invalid or can't be read.
    """
    if path is None:
        return {}
    try:
        return {str(key): str(value) for key, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise StackError(f"The worker environment cannot be read: {error}", where=str(path)) from error
