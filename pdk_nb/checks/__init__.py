"""The check at the end of each notebook, one module per chapter: tutor for a person, assertion for a headless run.

A check looks at the cluster and never at the notebook's variables, so that it says the same tomorrow. It knows three
answers: ``ok``, ``not yet`` (something earlier has to be done first) and ``wrong`` (it is there, but not as it should
be), each with the next thing to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pdk_nb.checks.arrival import check_second_arrival
from pdk_nb.checks.cleanup import check_clean
from pdk_nb.checks.data import check_data
from pdk_nb.checks.deployment import check_deployment
from pdk_nb.checks.environment import check_environment
from pdk_nb.checks.findings import Findings
from pdk_nb.checks.prediction import check_predictions
from pdk_nb.checks.setup import check_setup
from pdk_nb.checks.start import before
from pdk_nb.checks.training import check_training
from pdk_nb.display.tables import Note
from pdk_nb.headless import is_headless, record
from pdk_shared.errors import CheckFailed, PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["CHECKS", "before", "check"]

CHECKS: dict[str, Callable[..., Findings]] = {
    "00": check_environment,
    "01": check_setup,
    "02": check_data,
    "03": check_training,
    "04": check_deployment,
    "05": check_predictions,
    "06": check_second_arrival,
    "99": check_clean,
}


def check(session: Session, notebook: str, **facts: Any) -> None:
    """Show a notebook's findings; raise when one is not ok and nobody is there to read it.

    Args:
        session: The session.
        notebook: Number of the notebook, e.g. ``03``.
        facts: What the notebook measured and its check judges, e.g. ``min_accuracy``.

    Raises:
        CheckFailed: A finding is not ok, in a headless run.
        PdkError: There is no such check.
    """
    from IPython.display import display

    if notebook not in CHECKS:
        raise PdkError(f"There is no check {notebook}.", fix=f"Use one of: {', '.join(CHECKS)}")
    found = []
    try:
        for note in CHECKS[notebook](session, **facts):
            found.append(note)
    except PdkError as error:
        found.append(Note("wrong", error.what, error.fix))
    for note in found:
        record("check", notebook=notebook, state=note.state, text=note.text, fix=note.fix)
        display(note)
    failed = [note for note in found if note.state != "ok"]
    if failed and is_headless():
        raise CheckFailed(failed[0].text, where=f"check {notebook}", fix=failed[0].fix)
