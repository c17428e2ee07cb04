"""What the doctor's tests put beside the stack: Services with load balancers, and a port without a listener."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

NOBODY = 9  # "discard": nothing listens there
ACCOUNT = "pachyderm-worker"


@contextlib.contextmanager
def service(core: Any, namespace: str, name: str, ip: str, port: int, port_name: str) -> Iterator[None]:
    """A Service with a load balancer, as a platform's installation makes it."""
    body = {"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": [{"name": port_name, "port": port}]}}
    core.create_namespaced_service(namespace, body)
    status = {"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}}
    core.patch_namespaced_service_status(name, namespace, status)
    try:
        yield
    finally:
        core.delete_namespaced_service(name, namespace)
