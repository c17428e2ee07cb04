"""The cache of small values that clients may use (``src/internal/storage/fileset/postgres_cache.go``).

A cache may forget, so this one lives in memory.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from pdk_stack.pachyderm.errors import Fault

MAX_ENTRIES = 10_000
MAX_BYTES = 32 << 20


@dataclass(frozen=True)
class _Cached:
    value: bytes
    tag: str


class Cache:
    """Values by key; the ones that nobody asked for longest go first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, _Cached] = {}
        self._bytes = 0

    def put(self, key: str, value: bytes, tag: str) -> None:
        """Store a value; a key that is known keeps the value that it has."""
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = _Cached(value, tag)
            self._bytes += len(value)
            while len(self._entries) > MAX_ENTRIES or self._bytes > MAX_BYTES:
                self._forget(next(iter(self._entries)))

    def get(self, key: str) -> bytes:
        """Return a value.

        Raises:
            Fault: The key isn't known, or was forgotten.
        """
        with self._lock:
            found = self._entries.pop(key, None)
            if found is None:
                raise Fault("sql: no rows in result set")
            self._entries[key] = found
            return found.value

    def clear(self, prefix: str) -> None:
        """Forget all values whose tags begin with a prefix."""
        with self._lock:
            for key in [key for key, each in self._entries.items() if each.tag.startswith(prefix)]:
                self._forget(key)

    def _forget(self, key: str) -> None:
        self._bytes -= len(self._entries.pop(key).value)
