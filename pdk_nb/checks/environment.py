"""Check 00: the settings and the platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdk_nb.chapters import environment
from pdk_nb.checks.findings import Findings, expect

if TYPE_CHECKING:
    from pdk_nb.session import Session


def check_environment(session: Session) -> Findings:
    """00: every required setting is there and every platform answers."""
    missing = session.settings.missing
    yield expect(
        not missing,
        f"All required values are in {session.settings.namespace}/pdk-config and the pipeline secret.",
        f"Values are missing: {', '.join(missing)}.",
        f"kubectl -n {session.settings.namespace} edit configmap pdk-config",
    )
    for row in environment.preflight(session).rows:
        yield expect(row[1] == "ok", f"{row[0]}: {row[2]}", f"{row[0]}: {row[2]}", f"Look at {row[3]}.")
