"""The embedded services in one table: their listeners, what they announce, which secrets they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["LISTENERS", "SERVICES", "START_ORDER", "ServiceEntry"]


@dataclass(frozen=True)
class ServiceEntry:
    """One embedded service.

    Attributes:
        listeners: By listener, the key under which its address is announced; the first one is what ``status`` shows.
        secrets: Names of the secrets that it is given, and no others.
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
#: Kubernetes first: the others read their secrets from it. Those of a group start together.
START_ORDER: tuple[tuple[str, ...], ...] = (("kubernetes",), ("pachyderm", "determined"))
