"""Check 04: the service and what it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdk_nb.chapters import deployment
from pdk_nb.chapters.data import latest_commit
from pdk_nb.checks.findings import Findings, expect
from pdk_nb.display.tables import Note

if TYPE_CHECKING:
    from pdk_nb.session import Session


def check_deployment(session: Session) -> Findings:
    """04: the service is ready with the model of the newest commit."""
    commit = latest_commit(session)
    found = deployment.service(session)
    if found is None:
        yield Note(
            "not yet", f"There is no InferenceService {session.names.service}.", "Run notebook 04: it waits for it."
        )
        return
    yield expect(
        found.ready,
        f"{found.url} is ready.",
        f"{session.names.service} is not ready: {found.summary()}",
        f"kubectl -n {found.namespace} describe inferenceservice {found.name}",
    )
    yield expect(
        found.version == commit,
        f"It serves the model of {commit}.",
        f"It serves the model of {found.version}, not of {commit}.",
        "Wait for the deploy job, or roll forward with lab.serve_version().",
    )
