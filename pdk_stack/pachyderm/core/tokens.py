"""Tokens: one for the root user and one for each pipeline, used by its workers.

A pipeline's token isn't stored: it is derived from the root token, and valid while the pipeline exists.
"""

from __future__ import annotations

import hashlib
import hmac

ROOT = "pach:root"
_PREFIX = "pipeline-"
MAX_DIGITS = 19


class Tokens:
    """Issues and verifies tokens.

    Args:
        root: The root user's token; empty disables authentication.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    @property
    def on(self) -> bool:
        """Whether authentication is enabled."""
        return bool(self._root)

    def is_root(self, token: str) -> bool:
        """Whether this is the root user's token; always true if authentication is disabled."""
        return not self._root or hmac.compare_digest(token.encode(), self._root.encode())

    def of_pipeline(self, pk: int) -> str:
        """Return the token of a pipeline's workers; empty if authentication is disabled.

        Args:
            pk: The pipeline's database key, which is never reused.
        """
        if not self._root:
            return ""
        name = f"{_PREFIX}{pk}"
        digest = hmac.new(self._root.encode(), name.encode(), hashlib.sha256).hexdigest()
        return f"{name}-{digest}"

    def pipeline(self, token: str) -> int | None:
        """Return the key of the pipeline that a token belongs to, or None."""
        name, _, _ = token.removeprefix(_PREFIX).partition("-")
        # int() takes digits of other scripts, too, and refuses thousands of them.
        if not token.startswith(_PREFIX) or not (name.isascii() and name.isdigit() and len(name) < MAX_DIGITS):
            return None
        pk = int(name)
        return pk if hmac.compare_digest(token.encode(), self.of_pipeline(pk).encode()) else None
