"""Check 03: the job, the model version and its accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdk_nb.chapters.data import latest_commit
from pdk_nb.chapters.training import trail
from pdk_nb.checks.findings import Findings, expect
from pdk_nb.display.tables import Note
from pdk_nb.platforms import mlde

if TYPE_CHECKING:
    from pdk_nb.session import Session


def check_training(session: Session, min_accuracy: float = 0.0) -> Findings:
    """03: the newest commit has a finished job and a model version of its name, good enough."""
    commit = latest_commit(session)
    found = trail(session, commit)
    fix = "Run notebook 03: it waits for the train job."
    yield expect(
        found.train is not None and found.train.state == "SUCCESS",
        f"The train job of {commit} succeeded.",
        f"The train job of {commit} is {found.train.state.lower() if found.train else 'not there'}.",
        fix,
        state="not yet",
    )
    version = mlde.version_for_commit(session.determined, session.names.model, commit)
    if version is None:
        yield Note("not yet", f"Model {session.names.model} has no version named {commit}.", fix)
        return
    yield Note("ok", f"Model {session.names.model} has version {version.model_version}, named like the commit.")
    accuracy = validation_accuracy(version)
    if accuracy is None:
        yield Note("wrong", "The checkpoint has no validation accuracy.", "Look at the experiment's log.")
        return
    yield expect(
        accuracy >= min_accuracy,
        f"Accuracy on the hold-out is {accuracy:.3f} (at least {min_accuracy} wanted).",
        f"Accuracy on the hold-out is {accuracy:.3f}; at least {min_accuracy} is wanted.",
        "Commit more pictures, or train longer (const.yaml).",
    )


def validation_accuracy(version: Any) -> float | None:
    """Validation accuracy of a registered version's checkpoint."""
    training = getattr(version.checkpoint, "training", None) if version.checkpoint else None
    metrics = getattr(training, "validation_metrics", None) or {}
    values = metrics.get("avgMetrics") or metrics.get("avg_metrics") or metrics
    value = values.get("accuracy") if isinstance(values, dict) else None
    if value is None:
        metric = (version.metadata or {}).get("metric") or {}
        value = metric.get("value") if metric.get("name") == "accuracy" else None
    return float(value) if value is not None else None
