"""Check 00: the settings and the platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdk_nb.chapters import environment
from pdk_nb.checks.findings import Findings, expect

if TYPE_CHECKING:
    from pdk_nb.lab import Lab


def check_environment(lab: Lab) -> Findings:
    """00: every required setting is there and every platform answers."""
    missing = lab.settings.missing
    yield expect(
        not missing,
        f"All required values are in {lab.settings.namespace}/pdk-config and the pipeline secret.",
        f"Values are missing: {', '.join(missing)}.",
        f"kubectl -n {lab.settings.namespace} edit configmap pdk-config",
    )
    for row in environment.preflight(lab).rows:
        yield expect(row[1] == "ok", f"{row[0]}: {row[2]}", f"{row[0]}: {row[2]}", f"Look at {row[3]}.")
