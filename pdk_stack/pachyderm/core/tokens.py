"""Tokens: one for the root user, and one for every pipeline, which its workers carry.

A pipeline's token needs no storage: it is derived from the root token, and valid as long as the pipeline exists.
"""

from __future__ import annotations

import hashlib
import hmac

ROOT = "pach:root"
_PREFIX = "pipeline-"


class Tokens:
    """Makes and reads tokens.

    Args:
        root: The root user's token; empty switches authentication off.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    @property
    def on(self) -> bool:
        """Whether calls need a token."""
        return bool(self._root)

    def is_root(self, token: str) -> bool:
        """Whether a token is the root user's; every one is, where authentication is off."""
        return not self._root or hmac.compare_digest(token.encode(), self._root.encode())

    def of_pipeline(self, pk: int) -> str:
        """The token of a pipeline's workers; empty where authentication is off.

        Args:
            pk: The pipeline's key in the database, which no later pipeline gets again.
        """
        if not self._root:
            return ""
        name = f"{_PREFIX}{pk}"
        digest = hmac.new(self._root.encode(), name.encode(), hashlib.sha256).hexdigest()
        return f"{name}-{digest}"

    def pipeline(self, token: str) -> int | None:
        """The key of the pipeline whose token this is; None where it is no pipeline's."""
        name, _, _ = token.removeprefix(_PREFIX).partition("-")
        if not token.startswith(_PREFIX) or not name.isdigit():
            return None
        pk = int(name)
        return pk if hmac.compare_digest(token.encode(), self.of_pipeline(pk).encode()) else None
