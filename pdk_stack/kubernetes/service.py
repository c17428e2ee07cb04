"""The daemon: object store, API, InferenceService controller, and ingress of an embedded Kubernetes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pdk_stack.common.http.server import Server
from pdk_stack.common.limits import PORTS
from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.api.application import LIMITS, Application
from pdk_stack.kubernetes.api.ingress.routing import Ingress
from pdk_stack.kubernetes.api.ingress.server import Server as IngressServer
from pdk_stack.kubernetes.core.bootstrap import WORKER, create_system_objects
from pdk_stack.kubernetes.core.custom_kinds import Collector
from pdk_stack.kubernetes.core.inference.reconciler.controller import InferenceController
from pdk_stack.kubernetes.core.namespaces import Namespaces
from pdk_stack.kubernetes.core.rbac import MASTERS, User
from pdk_stack.kubernetes.core.tls import ensure_certificates, write_kubeconfig
from pdk_stack.kubernetes.core.tokens import Tokens
from pdk_stack.kubernetes.core.volumes import Volumes
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.registry import Registry

ADMIN = "system:admin"


@dataclass(frozen=True)
class Config:
    """Configuration of the daemon.

    Attributes:
        state_dir: Folder of everything that survives a restart.
        api_port: Port of the Kubernetes API; 0 lets the system choose.
        ingress_port: Port of the ingress; 0 lets the system choose.
        admin_token: Bearer token of the administrator.
        worker_token: Bearer token of the pipelines' service account; by default, the administrator's.
    """

    state_dir: Path
    api_port: int = 0
    ingress_port: int = 0
    admin_token: str = field(default="", repr=False)
    worker_token: str = field(default="", repr=False)


class Daemon:
    """An embedded Kubernetes with KServe.

    Args:
        config: The configuration.

    Raises:
        StackError: A port is taken, or another release wrote the state.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        state = config.state_dir
        self._store = ObjectStore(state / "objects.sqlite")
        self._registry = Registry()
        self._collector = Collector(self._store, self._registry)
        self._volumes = Volumes(self._store, state / "volumes")
        self._controller = InferenceController(self._store, self._volumes, state / "services")
        self._ingress = Ingress(self._controller.routes, state / "access.log")
        self._ingress_server = IngressServer(
            "kubernetes.ingress", config.ingress_port, PORTS["kubernetes.ingress"], self._ingress
        )
        self._ca, certificate, key = ensure_certificates(state / "pki")
        self._api_server = Server("kubernetes.api", config.api_port, LIMITS, certificate, key)
        self._namespaces = Namespaces(self._store, self._registry, self._ca.read_text())
        self._accounts = Tokens(self._store, state / "pki" / "service-accounts.key")

    def start(self) -> dict[str, str]:
        """Start serving.

        Returns:
            The addresses for the ready file.
        """
        self._ingress_server.start()
        create_system_objects(self._store, self._ingress_server.port, self._api_server.port)
        self._namespaces.start()
        self._collector.start()
        self._volumes.start()
        # Before the API answers, so that it shows services from before the restart as not ready.
        self._controller.start()
        admin, worker = self._config.admin_token, self._config.worker_token
        tokens = {admin: User.named(ADMIN, (MASTERS,)), **({worker: User.named(WORKER)} if worker else {})}
        application = Application(
            self._store,
            self._registry,
            tokens,
            self._controller.pods,
            self._ingress.pod_metrics,
            self._namespaces,
            self._accounts,
        )
        application.serve(self._api_server)
        state = self._config.state_dir
        address = f"https://{LOOPBACK}:{self._api_server.port}"
        write_kubeconfig(state / "kubeconfig", address, self._ca, "admin", admin)
        write_kubeconfig(state / "worker-kubeconfig", address, self._ca, "pachyderm-worker", worker or admin)
        return {
            "kubernetes": address,
            "ingress": f"http://{LOOPBACK}:{self._ingress_server.port}",
            "kubeconfig": str(state / "kubeconfig"),
        }

    def stop(self) -> None:
        """Stop serving, end model servers, and close the store."""
        # The ingress stops first, so that no request restarts a server.
        self._ingress_server.stop()
        self._store.end()
        self._collector.stop()
        self._controller.stop()
        self._api_server.stop()
        self._ingress.close()
        self._store.close()
