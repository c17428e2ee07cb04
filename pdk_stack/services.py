"""The table of embedded services: listeners, announced addresses, and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["LISTENERS", "SERVICES", "START_ORDER", "ServiceEntry"]


@dataclass(frozen=True)
class ServiceEntry:
    """An embedded service.

    Attributes:
        listeners: Address key by listener; ``status`` shows the first one.
        secrets: Names of the only secrets that the service gets.
    """

    listeners: Mapping[str, str]
    secrets: tuple[str, ...]


SERVICES: dict[str, ServiceEntry] = {
    "kubernetes": ServiceEntry({"api": "kubernetes", "ingress": "ingress"}, ("admin_token", "worker_token")),
    "pachyderm": ServiceEntry({"grpc": "pachd", "s3": "s3"}, ("root_token",)),
    "determined": ServiceEntry({"master": "determined"}, ("admin_password", "user_password")),
}
#: Address key by ``<service>.<listener>``.
LISTENERS: dict[str, str] = {
    f"{name}.{listener}": key for name, entry in SERVICES.items() for listener, key in entry.listeners.items()
}
#: Kubernetes starts first, because the others read their secrets from it. Services in a group start together.
START_ORDER: tuple[tuple[str, ...], ...] = (("kubernetes",), ("pachyderm", "determined"))
