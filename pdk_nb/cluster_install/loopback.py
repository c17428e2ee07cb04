"""Services with node ports, which ``cluster up`` maps to ports of this machine's loopback address."""

from __future__ import annotations

from typing import Any

import yaml

from pdk_nb.cluster_install.versions import Versions
from pdk_nb.platforms.cluster import Object

__all__ = ["node_ports", "services"]

FILE = "loopback.yaml"


def _read(versions: Versions, serving: str) -> dict[str, dict[str, Any]]:
    content = yaml.safe_load((versions.folder / FILE).read_text())
    return {name: content[f"ingress-{serving}" if name == "ingress" else name] for name in
            ("pachyderm", "determined", "ingress")}  # fmt: skip


def node_ports(versions: Versions, serving: str) -> dict[str, int]:
    """The node's port for Pachyderm, Determined, and the ingress."""
    return {name: int(each["port"]) for name, each in _read(versions, serving).items()}


def services(versions: Versions, serving: str) -> list[tuple[str, Object]]:
    """The Services, each with the platform that it leads to."""
    return [
        (
            name,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": f"pdk-loopback-{name}",
                    "namespace": each["namespace"],
                    "labels": {"app.kubernetes.io/managed-by": "pdk-nb"},
                },
                "spec": {
                    "type": "NodePort",
                    "selector": each["selector"],
                    "ports": [
                        {
                            "name": "http",
                            "port": int(each["port"]),
                            "targetPort": each["targetPort"],
                            "nodePort": int(each["port"]),
                            "protocol": "TCP",
                        }
                    ],
                },
            },
        )
        for name, each in _read(versions, serving).items()
    ]
