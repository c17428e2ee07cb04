"""The embedded stack as a person starts it: through the command line, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pdk_nb(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line of this checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PACH", "DET_", "KUBE"))}
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


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of a running stack."""
    state = tmp_path_factory.mktemp("stack")
    done = pdk_nb("up", "--json", "--state-dir", str(state))
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout)
    stopped = pdk_nb("down", "--state-dir", str(state))
    assert stopped.returncode == 0, stopped.stderr
