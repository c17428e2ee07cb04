"""The embedded stack as a person starts it: through the command line, in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.command_line import ROOT, pdk_nb

__all__ = ["ROOT", "pdk_nb", "stack"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of a running stack."""
    state = tmp_path_factory.mktemp("stack")
    done = pdk_nb("up", "--json", "--state-dir", str(state))
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout)
    stopped = pdk_nb("down", "--state-dir", str(state))
    assert stopped.returncode == 0, stopped.stderr
