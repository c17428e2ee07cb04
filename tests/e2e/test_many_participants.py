"""Eight people walk through the whole lab at the same time, on two cores. ``make participants-test`` runs it.

It is skipped unless ``PDK_PARTICIPANTS_TESTS`` is set, because it takes about ten minutes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.participants import names, on_two_cores, walk_together

WANTED = "PDK_PARTICIPANTS_TESTS"
TIMEOUT_S = 3000

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.participants,
    pytest.mark.timeout(TIMEOUT_S + 300),
    pytest.mark.skipif(not os.environ.get(WANTED), reason=f"set {WANTED}=1, or run make participants-test"),
]


def test_eight_people_share_two_cores(tmp_path: Path) -> None:
    # Each holds a model server of 250m when notebook 06 needs a second one for the roll-out.
    with on_two_cores():
        walks = walk_together(names(8), tmp_path, TIMEOUT_S)
    assert {each.person: each.error for each in walks if each.error} == {}
