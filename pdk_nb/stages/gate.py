"""The gate before a deployment: a version that isn't good enough stays in the registry and gets no requests."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from pdk_nb.platforms import mlde
from pdk_shared.errors import DeploymentError

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion

__all__ = ["ACCURACY", "check", "shown"]

log = logging.getLogger("pdk.deploy")

#: The metric of ``--min-accuracy``, as the trial's ``evaluate_batch`` names it.
ACCURACY = "accuracy"


def shown(value: float) -> str:
    """A metric with three digits, rounded down: 0.7996 isn't shown as the 0.8 that it misses."""
    return f"{math.floor(value * 1000 + 1e-9) / 1000:.3f}"


def check(version: ModelVersion, metric: str, minimum: float) -> None:
    """Refuse a version whose metric on the hold-out is too low. The running service keeps its version.

    Args:
        version: The registered version.
        metric: Name of a validation metric.
        minimum: Its minimum, 0 to 1; 0 opens the gate.

    Raises:
        DeploymentError: The metric is lower, or unknown.
    """
    if minimum <= 0:
        return
    value = mlde.validation_metric(version, metric)
    where = f"version {version.model_version} ({version.name})"
    if value is None:
        raise DeploymentError(
            f"The gate requires an {metric} of {minimum}, and this version's checkpoint has none.",
            where=where,
            fix=f"Report '{metric}' in evaluate_batch (model_def.py), or open the gate: a minimum of 0.",
        )
    if value < minimum:
        raise DeploymentError(
            f"Registered, not deployed: {metric} on the hold-out is {shown(value)}; the gate requires {minimum}.",
            where=where,
            fix="Commit more data, train longer (const.yaml), or lower the gate's minimum in notebook 01.",
        )
    log.info("%s on the hold-out is %s; the gate requires %s", metric, shown(value), minimum)
