"""pachyderm-sdk 2.8 against the daemon.

By pip's rules it cannot share an environment with python-pachyderm, so it gets its own: the interpreter that
``PDK_SDK_PYTHON`` names, else ``.venv-sdk`` in the checkout, which is made when packages can be fetched.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local.pachyderm.server import REPO, Server

SDK = "pachyderm-sdk==2.8.1"
INSTALL_TIMEOUT_S = 240


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """An interpreter that has the SDK."""
    named = os.environ.get("PDK_SDK_PYTHON")
    if named:
        return Path(named)
    folder = REPO / ".venv-sdk"
    python = folder / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", "import pachyderm_sdk"]).returncode != 0:
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_TIMEOUT_S)
            install = [str(python), "-m", "pip", "install", "-q", SDK]
            subprocess.run(install, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"no environment with {SDK}, and none can be made: {error}")
    return python


def test_the_walk_of_the_sdk(server: Server, sdk_python: Path) -> None:
    script = Path(__file__).with_name("sdk_walk.py")
    environment = {key: text for key, text in os.environ.items() if not key.startswith("PACH")}
    done = subprocess.run(
        [str(sdk_python), str(script), "127.0.0.1", str(server.ports["grpc"])],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.stdout.strip().endswith("done"), done.stderr[-3000:]
