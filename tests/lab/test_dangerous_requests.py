"""Two requests end pachd 2.8.10 itself; the lab never sends them."""

from __future__ import annotations

import re
from pathlib import Path

from pdk_nb.platforms.mldm._commits import commit_of

ROOT = Path(__file__).resolve().parents[2]
SENDERS = ("pdk_nb", "images", "examples", "notebooks")


def test_a_reference_to_a_commit_always_has_a_branch() -> None:
    # A write to a commit without one is a nil pointer in the server; an empty name is enough.
    for found in (commit_of("p", "data", id="0" * 32), commit_of("p", "data", branch="master"), commit_of("p", "data")):
        assert found.HasField("branch") and found.branch.repo == found.repo


def test_nobody_deletes_a_branch_or_writes_past_the_client() -> None:
    # After its output branch is gone, neither an update nor a deletion of a pipeline is safe.
    wrong = re.compile(r"delete_branch|DeleteBranch|delete branch|ModifyFileRequest|set_commit")
    found = [
        f"{path.relative_to(ROOT)}: {matched[0]}"
        for folder in SENDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".ipynb", ".sh", ".yaml")
        for matched in wrong.finditer(path.read_text(errors="replace"))
    ]
    assert found == []
