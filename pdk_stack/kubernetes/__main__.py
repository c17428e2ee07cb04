"""Start the embedded Kubernetes API, the InferenceService controller and the ingress."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from pathlib import Path

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from pdk_shared.errors import StackError
from pdk_stack.common.service import LOOPBACK, ServiceOptions, parse_options, run_main, serve_until_signalled
from pdk_stack.kubernetes.api.application import Application
from pdk_stack.kubernetes.api.ingress.routing import Ingress
from pdk_stack.kubernetes.api.ingress.server import Server
from pdk_stack.kubernetes.core.bootstrap import WORKER, create_system_objects
from pdk_stack.kubernetes.core.custom_kinds import Collector
from pdk_stack.kubernetes.core.inference.reconciler.controller import InferenceController
from pdk_stack.kubernetes.core.rbac import MASTERS, User
from pdk_stack.kubernetes.core.tls import ensure_certificates, write_kubeconfig
from pdk_stack.kubernetes.core.volumes import Volumes
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.registry import Registry

log = logging.getLogger(__name__)

# Each watch holds a thread for as long as its client stays.
API_THREADS = 96


def end_left_overs(folder: Path) -> None:
    """End model servers and storage initialisers of a daemon that was killed: nobody else would."""
    import psutil

    marker = str(folder)
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(part.startswith(marker) for part in process.cmdline()) and process.ppid() <= 1:
                left += [process, *process.children(recursive=True)]
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5)


def port_taken(name: str, port: int, error: OSError) -> StackError:
    """What to say when a listener cannot be opened."""
    return StackError(
        f"The {name} port {port} cannot be used: {error}",
        where=f"{LOOPBACK}:{port}",
        fix=f"Leave --{name}-port out to use a free port, or stop the other program.",
    )


class ApiServer(wsgi.Server):
    """The threaded server of the API, with errors in the service's log."""

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log what could not be done; a client that leaves in the middle of a watch is no error."""
        usual = isinstance(sys.exc_info()[1], OSError)
        log.log(logging.DEBUG if usual else max(level, logging.WARNING), "%s", msg, exc_info=traceback)


def bind(app: object, port: int, threads: int) -> wsgi.Server:
    """A threaded HTTP/1.1 server on loopback, not listening yet."""
    server = ApiServer((LOOPBACK, port), app, numthreads=threads, request_queue_size=256)
    server.nodelay = True
    # Clients keep their connections; an idle one costs nothing.
    server.keep_alive_conn_limit = 512
    server.timeout = 60
    server.max_request_body_size = 0
    return server


def prepare(server: wsgi.Server, name: str) -> None:
    """Listen, and serve from a thread of its own.

    Raises:
        StackError: The port is taken.
    """
    try:
        server.prepare()
    except OSError as error:
        raise port_taken(name, server.bind_addr[1], error) from error
    threading.Thread(target=server.serve, name=name, daemon=True).start()


def serve(options: ServiceOptions) -> None:
    """Run the service until it is told to stop."""
    state = options.state_dir
    folder = state / "services"
    end_left_overs(folder)
    store = ObjectStore(state / "objects.sqlite")
    volumes = Volumes(store, state / "volumes")
    controller = InferenceController(store, volumes, folder)
    ingress_app = Ingress(controller.routes, state / "access.log")
    try:
        ingress = Server((LOOPBACK, options.ports["ingress"]), ingress_app)
    except OSError as error:
        raise port_taken("ingress", options.ports["ingress"], error) from error
    ingress.start()
    create_system_objects(store, ingress.port)

    registry = Registry()
    collector = Collector(store, registry)
    collector.start()
    volumes.start()
    # Before the API answers: services of before the restart are not ready yet.
    controller.start()
    tokens = {options.credentials["admin_token"]: User.named("system:admin", (MASTERS,))}
    worker_token = options.credentials.get("worker_token")
    if worker_token:
        tokens[worker_token] = User.named(WORKER)
    api = bind(Application(store, registry, tokens, controller.pods), options.ports["api"], API_THREADS)
    ca, certificate, key = ensure_certificates(state / "pki")
    api.ssl_adapter = BuiltinSSLAdapter(str(certificate), str(key))
    prepare(api, "api")
    address = f"https://{LOOPBACK}:{api.bind_addr[1]}"
    write_kubeconfig(state / "kubeconfig", address, ca, "admin", options.credentials["admin_token"])
    write_kubeconfig(
        state / "worker-kubeconfig",
        address,
        ca,
        "pachyderm-worker",
        worker_token or options.credentials["admin_token"],
    )

    def stop() -> None:
        # First: a request that comes now must not start a server again.
        ingress.stop()
        store.end()
        collector.stop()
        controller.stop()
        api.stop()
        ingress_app.close()
        store.close()

    serve_until_signalled(
        options,
        {
            "kubernetes": address,
            "ingress": f"http://{LOOPBACK}:{ingress.port}",
            "kubeconfig": str(state / "kubeconfig"),
        },
        stop,
    )


def main() -> None:
    """Entry point."""
    serve(parse_options("kubernetes", ("api", "ingress")))


if __name__ == "__main__":
    run_main(main)
