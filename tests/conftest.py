"""What several test modules share: one embedded stack, started when the first of them needs it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.command_line import pdk_nb


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of a running stack. A test that changes something on it puts it back."""
    state = tmp_path_factory.mktemp("shared-stack")
    done = pdk_nb("up", "--json", "--state-dir", str(state))
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout)
    pdk_nb("down", "--state-dir", str(state))
