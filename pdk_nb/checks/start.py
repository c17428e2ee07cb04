"""Which earlier notebook has to run first: asked of the cluster, so that a lab can be gone on with at any notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pdk_nb import mlde, mldm
from pdk_nb.chapters import flow
from pdk_nb.report import Note
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    from pdk_nb.lab import Lab


def _has_settings(lab: Lab) -> str:
    missing = lab.settings.missing
    return f"the settings {', '.join(missing)} are missing" if missing else ""


def _has_pipelines(lab: Lab) -> str:
    names = lab.names
    present = mldm.pipelines(lab.pachyderm, names.project)
    absent = [name for name in (names.train_pipeline, names.deploy_pipeline) if name not in present]
    return f"there is no pipeline {' and no '.join(absent)}" if absent else ""


def _has_commit(lab: Lab) -> str:
    head = mldm.head(lab.pachyderm, lab.names.project, lab.names.data_repo)
    return "" if head else "nothing has been committed yet"


def _has_version(lab: Lab) -> str:
    commit = lab.latest_commit()
    found = mlde.version_for_commit(lab.determined, lab.names.model, commit)
    return "" if found is not None else f"there is no model version of commit {commit[:12]}…"


def _has_service(lab: Lab) -> str:
    found = flow.service(lab)
    if found is None:
        return f"there is no service {lab.names.service}"
    return "" if found.ready else f"the service {lab.names.service} is not ready"


# What each notebook leaves behind, and how to see that it is not there.
LEFT: tuple[tuple[str, Callable[[Lab], str]], ...] = (
    ("00", _has_settings),
    ("01", _has_pipelines),
    ("02", _has_commit),
    ("03", _has_version),
    ("04", _has_service),
)
# Notebooks that need nothing of another one.
FREE = ("00", "99")


def before(lab: Lab, notebook: str) -> Note:
    """See that what a notebook needs is there.

    Args:
        lab: The lab.
        notebook: Number of the notebook that is about to run.

    Returns:
        A note that it can start.

    Raises:
        PdkError: An earlier notebook has to run first; the text says which.
    """
    for number, missing in LEFT if notebook not in FREE else ():
        if number >= notebook:
            break
        reason = missing(lab)
        if reason:
            raise PdkError(
                f"Notebook {notebook} cannot start: {reason}.",
                fix=f"Run notebook {number} first: pdk-nb run --only {number}, or open it in JupyterLab.",
            )
    return Note("ok", f"Notebook {notebook} has everything that it needs.")
