"""The served kinds: built-in ones, and those from CustomResourceDefinitions."""

from __future__ import annotations

from collections.abc import Iterable

from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import KINDS


class Registry:
    """The served kinds, by the names in API paths."""

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in kinds}

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """Return the kind for a path, or None."""
        return self._kinds.get((group, version, plural))

    def named(self, group: str, plural: str) -> Kind | None:
        """Return a kind in any version."""
        return next((kind for kind in self._kinds.values() if kind.resource == (group, plural)), None)

    def replace(self, group: str, plural: str, kinds: Iterable[Kind]) -> None:
        """Serve a resource in these versions; an empty list stops serving it."""
        # Replace the table instead of changing it, so that readers need no lock.
        kept = {key: kind for key, kind in self._kinds.items() if (key[0], key[2]) != (group, plural)}
        self._kinds = kept | {(kind.group, kind.version, kind.plural): kind for kind in kinds}

    def groups(self) -> dict[str, dict[str, list[Kind]]]:
        """Return all kinds by group and version."""
        found: dict[str, dict[str, list[Kind]]] = {}
        for kind in self._kinds.values():
            found.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
        return found

    def __len__(self) -> int:
        return len(self._kinds)
