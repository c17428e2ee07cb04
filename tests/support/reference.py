"""Where the official schemas and the real photos lie, for tests that use them and skip where they are absent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


def reference_dir() -> Path | None:
    """The folder with ``schemas`` and ``photos``: ``PDK_REFERENCE_DIR``, or ``shared`` beside the checkout."""
    named = os.environ.get("PDK_REFERENCE_DIR")
    candidate = Path(named) if named else Path(__file__).resolve().parents[3] / "shared"
    return candidate if candidate.is_dir() else None


def official_pipeline_schema() -> Any:
    """Pachyderm's own JSON schema of a pipeline spec; the test is skipped where it is absent."""
    folder = reference_dir()
    if folder is None:
        pytest.skip("no reference folder with the official schemas")
    return json.loads((folder / "schemas" / "pachyderm" / "CreatePipelineRequest.schema.json").read_text())
