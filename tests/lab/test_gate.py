"""What notebook 03 says about a model version at the gate of the deploy pipeline."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb.example import Gate
from pdk_nb.lessons import n01_pipelines, n03_training
from pdk_nb.platforms import mlde
from pdk_shared.errors import TrainingError


@pytest.mark.parametrize(
    ("accuracy", "minimum", "served", "state", "says"),
    [
        (0.8, 0.8, "", "ok", "Version 2 passes the gate: accuracy on the hold-out is 0.800, at least 0.8 required."),
        (
            0.7996,
            0.8,
            "",
            "wrong",
            "hold-out is 0.799, at least 0.8 required. It is registered, not deployed",
        ),
        (0.5, 0.8, "c1", "wrong", "It was deployed under a lower gate."),
        (None, 0.8, "", "wrong", "has no accuracy, so the gate stays closed"),
        (0.5, 0.0, "", "ok", "The gate is open: version 2 is deployed, whatever its accuracy is (0.500)."),
        (None, 0.0, "", "ok", "(unknown)"),
    ],
)
def test_the_gate_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, accuracy: float | None, minimum: float, served: str, state: str, says: str
) -> None:
    version = SimpleNamespace(model_version=2, checkpoint=None)
    monkeypatch.setattr(n03_training, "model_version", lambda session, commit: version)
    monkeypatch.setattr(n03_training, "served_commit", lambda session: served)
    monkeypatch.setattr(n01_pipelines, "gate", lambda session: Gate("accuracy", minimum))
    monkeypatch.setattr(mlde, "validation_metric", lambda version, name: accuracy if name == "accuracy" else None)
    session: Any = SimpleNamespace()
    note = n03_training.judge(session, "c1")
    assert (note.state, says in note.text) == (state, True), note
    assert bool(note.fix) == (state == "wrong")
    monkeypatch.setattr(n03_training, "model_version", lambda session, commit: None)
    with pytest.raises(TrainingError, match="No model version"):
        n03_training.judge(session, "c1")


@pytest.mark.parametrize(
    ("metrics", "metadata", "found"),
    [
        ({"avgMetrics": {"accuracy": 0.9, "loss": 0.1}}, {}, 0.9),
        ({"avg_metrics": {"accuracy": 0.9}}, {}, 0.9),
        ({}, {"metric": {"name": "accuracy", "value": 0.7}}, 0.7),
        ({"avgMetrics": {"loss": 0.1}}, {"metric": {"name": "loss", "value": 0.1}}, None),
        (None, None, None),
    ],
)
def test_the_accuracy_of_a_version_comes_from_its_checkpoint_or_the_registry(
    metrics: Any, metadata: Any, found: float | None
) -> None:
    checkpoint = SimpleNamespace(training=SimpleNamespace(validation_metrics=metrics))
    version: Any = SimpleNamespace(checkpoint=checkpoint, metadata=metadata)
    assert mlde.validation_metric(version, "accuracy") == found
    gone: Any = SimpleNamespace(checkpoint=None, metadata=metadata)
    assert mlde.validation_metric(gone, "accuracy") in (found, None)
