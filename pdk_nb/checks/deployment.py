"""Check 04: the service and what it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdk_nb.chapters import deployment
from pdk_nb.checks.findings import Findings, expect
from pdk_nb.report import Note

if TYPE_CHECKING:
    from pdk_nb.lab import Lab


def check_deployment(lab: Lab) -> Findings:
    """04: the service is ready with the model of the newest commit."""
    commit = lab.latest_commit()
    found = deployment.service(lab)
    if found is None:
        yield Note("not yet", f"There is no InferenceService {lab.names.service}.", "Run notebook 04: it waits for it.")
        return
    yield expect(
        found.ready,
        f"{found.url} is ready.",
        f"{lab.names.service} is not ready: {found.summary()}",
        f"kubectl -n {found.namespace} describe inferenceservice {found.name}",
    )
    yield expect(
        found.version == commit,
        f"It serves the model of {commit}.",
        f"It serves the model of {found.version}, not of {commit}.",
        "Wait for the deploy job, or roll forward with lab.serve_version().",
    )
