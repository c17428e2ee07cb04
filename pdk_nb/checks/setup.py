"""Check 01: project, repo, pipelines and workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdk_nb.checks.findings import Findings, expect
from pdk_nb.display.tables import Note
from pdk_nb.platforms import mlde, mldm

if TYPE_CHECKING:
    from pdk_nb.session import Session


def check_setup(session: Session) -> Findings:
    """01: project, repo and both pipelines exist, and none of the pipelines has failed."""
    names = session.names
    present = mldm.repos(session.pachyderm, names.project)
    yield expect(
        names.data_repo in present,
        f"Repo {names.project}/{names.data_repo} is there.",
        f"Repo {names.project}/{names.data_repo} is not there.",
        "Run the cell with lab.create_projects().",
        state="not yet",
    )
    pipelines = mldm.pipelines(session.pachyderm, names.project)
    for name in (names.train_pipeline, names.deploy_pipeline):
        state, reason = pipelines.get(name, ("missing", ""))
        if state == "missing":
            yield Note("not yet", f"Pipeline {name} is not there.", "Run the cell with lab.create_pipelines().")
            continue
        yield expect(
            state not in ("FAILURE", "CRASHING"),
            f"Pipeline {name} is {state.lower()}.",
            f"Pipeline {name} is {state.lower()}: {reason}",
            f"pachctl inspect pipeline {name} --project {names.project}",
        )
    mlde.check_project(session.determined, names.workspace, names.experiment_project)
    yield Note("ok", f"Determined has {names.workspace}/{names.experiment_project}.")
