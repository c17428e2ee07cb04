"""Which earlier notebook has to run first: asked of the cluster, so that a lab can be gone on with at any notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pdk_nb.chapters import flow
from pdk_nb.chapters.data import latest_commit
from pdk_nb.display.tables import Note
from pdk_nb.platforms import mlde, mldm
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session


def _has_settings(session: Session) -> str:
    missing = session.settings.missing
    return f"the settings {', '.join(missing)} are missing" if missing else ""


def _has_pipelines(session: Session) -> str:
    names = session.names
    present = mldm.pipelines(session.pachyderm, names.project)
    absent = [name for name in (names.train_pipeline, names.deploy_pipeline) if name not in present]
    return f"there is no pipeline {' and no '.join(absent)}" if absent else ""


def _has_commit(session: Session) -> str:
    head = mldm.head(session.pachyderm, session.names.project, session.names.data_repo)
    return "" if head else "nothing has been committed yet"


def _has_version(session: Session) -> str:
    commit = latest_commit(session)
    found = mlde.version_for_commit(session.determined, session.names.model, commit)
    return "" if found is not None else f"there is no model version of commit {commit[:12]}…"


def _has_service(session: Session) -> str:
    found = flow.service(session)
    if found is None:
        return f"there is no service {session.names.service}"
    return "" if found.ready else f"the service {session.names.service} is not ready"


# What each notebook leaves behind, and how to see that it is not there.
LEFT: tuple[tuple[str, Callable[[Session], str]], ...] = (
    ("00", _has_settings),
    ("01", _has_pipelines),
    ("02", _has_commit),
    ("03", _has_version),
    ("04", _has_service),
)
# Notebooks that need nothing of another one.
FREE = ("00", "99")


def before(session: Session, notebook: str) -> Note:
    """See that what a notebook needs is there.

    Args:
        session: The session.
        notebook: Number of the notebook that is about to run.

    Returns:
        A note that it can start.

    Raises:
        PdkError: An earlier notebook has to run first; the text says which.
    """
    for number, missing in LEFT if notebook not in FREE else ():
        if number >= notebook:
            break
        reason = missing(session)
        if reason:
            raise PdkError(
                f"Notebook {notebook} cannot start: {reason}.",
                fix=f"Run notebook {number} first: pdk-nb run --only {number}, or open it in JupyterLab.",
            )
    return Note("ok", f"Notebook {notebook} has everything that it needs.")
