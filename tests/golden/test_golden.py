"""The embedded services answer no worse than they did: the numbers of ``ratchet.json`` do not grow."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.golden import asking, ratchet

# These programs have no groups to choose, or only one.
WHOLE = ("pachctl", "serverless")
pytestmark = pytest.mark.skipif(asking.golden_dir() is None, reason="no recorded answers of the real servers")


@pytest.mark.parametrize("name", asking.PLATFORMS)
def test_answers_are_as_close_to_the_real_ones_as_they_were(name: str, tmp_path: Path) -> None:
    tool = asking.PLATFORMS[name].tool
    if tool and not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    record = asking.ask(name, tmp_path / "asked", [])
    counts = asking.counts(name, record)
    assert sum(counts["all"].values()) > 50, counts
    worse = ratchet.grown(name, counts)
    if worse:
        # What answers by chance must answer worse twice.
        groups = [each.split("/")[1].split(":")[0] for each in worse] if name not in WHOLE else []
        record = asking.ask(name, tmp_path / "again", groups)
        worse = ratchet.grown(name, asking.counts(name, record))
    assert not worse, asking.score(name, record)


def test_a_class_that_grows_is_named() -> None:
    limits = ratchet.read()["pachyderm"]["repos"]
    more = limits["accepted"] + 1
    worse = {"repos": {**limits, "accepted": more, "same": 0}}
    better = {"repos": {**limits, "accepted": 0, "words": limits["words"] + limits["accepted"], "same": 0}}
    others = {group: {**of, "same": 0} for group, of in ratchet.read()["pachyderm"].items()}
    assert ratchet.grown("pachyderm", others | worse) == [
        f"pachyderm/repos: {more} calls are accepted or worse; {limits['accepted']} were"
    ]
    assert not ratchet.grown("pachyderm", others | better)
