"""Check 06: a second version, and the newest in service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdk_nb.checks.deployment import check_deployment
from pdk_nb.checks.findings import Findings, expect
from pdk_nb.platforms import mlde

if TYPE_CHECKING:
    from pdk_nb.session import Session


def check_second_arrival(session: Session) -> Findings:
    """06: the model has two versions, and the service answers with the newest commit's."""
    model = mlde.find_model(session.determined, session.names.model)
    count = len(mlde.versions(model)) if model is not None else 0
    yield expect(
        count >= 2,
        f"Model {session.names.model} has {count} versions.",
        f"Model {session.names.model} has {count} version(s); the second arrival makes another.",
        "Commit the second arrival.",
        state="not yet",
    )
    yield from check_deployment(session)
