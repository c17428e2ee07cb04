"""Check 02: what the newest commit holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdk_nb.chapters.data import latest_commit
from pdk_nb.checks.findings import Findings, expect
from pdk_nb.photos import ignored
from pdk_nb.platforms import mldm

if TYPE_CHECKING:
    from pdk_nb.session import Session


def check_data(session: Session, minimum: int = 2) -> Findings:
    """02: the newest commit holds pictures of every class and nothing else."""
    commit = latest_commit(session)
    paths = mldm.files(session.pachyderm, mldm.commit_of(session.names.project, session.names.data_repo, id=commit))
    strange = [path for path in paths if ignored(path)]
    yield expect(
        len(paths) - len(strange) >= 2 * minimum,
        f"Commit {commit} holds {len(paths)} pictures in {len({path.split('/')[1] for path in paths})} folder(s).",
        f"Commit {commit} holds {len(paths)} files, too few to learn from.",
        "Commit more pictures with lab.commit().",
    )
    yield expect(
        not strange,
        "Every file of it is a picture.",
        f"{len(strange)} files are no pictures: {', '.join(strange[:3])}",
        "Training skips them; delete them with pachctl delete file to have them out.",
    )
