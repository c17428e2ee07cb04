"""Where the official schemas and the real photos lie, for tests that use them and skip where they are absent."""

from __future__ import annotations

import os
from pathlib import Path


def reference_dir() -> Path | None:
    """The folder with ``schemas`` and ``photos``: ``PDK_REFERENCE_DIR``, or ``shared`` beside the checkout."""
    named = os.environ.get("PDK_REFERENCE_DIR")
    candidate = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    return candidate if candidate.is_dir() else None
