"""The command line of this checkout, as a person calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def pdk_nb(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line of this checkout."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PACH", "DET_", "KUBE", "PDK_"))
    }
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, "-m", "pdk_nb.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=options.pop("timeout", 240),
        **options,
    )
