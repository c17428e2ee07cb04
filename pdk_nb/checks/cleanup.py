"""Check 99: nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdk_nb.chapters import cleanup
from pdk_nb.checks.findings import Findings, expect

if TYPE_CHECKING:
    from pdk_nb.session import Session


def check_clean(session: Session) -> Findings:
    """99: nothing that carries the lab's names is left."""
    plan = cleanup.make_plan(session)
    yield expect(
        not plan,
        "Nothing of the lab is left on the cluster.",
        f"{len(plan.steps)} things are left: {', '.join(step.name for step in plan.steps[:4])}",
        "Run the cell with lab.clean_up(plan) again.",
    )
