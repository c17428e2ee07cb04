"""The gate before a deployment: a version that isn't good enough stays in the registry and gets no requests."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from pdk_nb.platforms import mlde
from pdk_shared.errors import DeploymentError

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion

__all__ = ["METRIC", "check", "shown"]

log = logging.getLogger("pdk.deploy")

#: The validation metric that the gate judges, as the trial's ``evaluate_batch`` names it.
METRIC = "accuracy"


def shown(accuracy: float) -> str:
    """An accuracy with three digits, rounded down: 0.7996 isn't shown as the 0.8 that it misses."""
    return f"{math.floor(accuracy * 1000 + 1e-9) / 1000:.3f}"


def check(version: ModelVersion, minimum: float) -> None:
    """Refuse a version whose accuracy on the hold-out is too low. The running service keeps its version.

    Args:
        version: The registered version.
        minimum: Minimum accuracy, 0 to 1; 0 opens the gate.

    Raises:
        DeploymentError: The accuracy is lower, or unknown.
    """
    if minimum <= 0:
        return
    accuracy = mlde.validation_metric(version, METRIC)
    where = f"version {version.model_version} ({version.name})"
    if accuracy is None:
        raise DeploymentError(
            f"The gate requires an accuracy of {minimum}, and this version's checkpoint has none.",
            where=where,
            fix=f"Report '{METRIC}' in evaluate_batch (model_def.py), or open the gate: --min-accuracy 0.",
        )
    if accuracy < minimum:
        raise DeploymentError(
            f"Registered, not deployed: accuracy on the hold-out is {shown(accuracy)}; the gate requires {minimum}.",
            where=where,
            fix="Commit more pictures, train longer (const.yaml), or lower min_accuracy in notebook 01.",
        )
    log.info("accuracy on the hold-out is %s; the gate requires %s", shown(accuracy), minimum)
