"""Determined's checkpoints."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pdk_nb.platforms.mlde._errors import api_errors
from pdk_shared.errors import PdkError, TrainingError

if TYPE_CHECKING:
    from determined.common.experimental.checkpoint._checkpoint import Checkpoint
    from determined.common.experimental.determined import Determined


@api_errors()
def best_checkpoint(client: Determined, experiment_id: int) -> Checkpoint:
    """The experiment's best completed checkpoint by the searcher's metric.

    Raises:
        TrainingError: It has none.
    """
    found: list[Checkpoint] = client.get_experiment(experiment_id).list_checkpoints()
    if not found:
        raise TrainingError(
            f"Experiment {experiment_id} has no checkpoint.",
            fix="check the experiment's log: a trial that refuses its data ends without a checkpoint",
        )
    # The server puts the best first; of equally good ones the longest trained is taken.
    best = _searcher_metric(found[0])
    return max((c for c in found if _searcher_metric(c) == best), key=lambda c: _batches(c), default=found[0])


def _searcher_metric(checkpoint: Checkpoint) -> float | None:
    training = checkpoint.training
    if training is None:
        return None
    name = (training.experiment_config.get("searcher") or {}).get("metric")
    value = ((training.validation_metrics or {}).get("avgMetrics") or {}).get(name)
    return None if value is None else float(value)


def _batches(checkpoint: Checkpoint) -> int:
    return int((checkpoint.metadata or {}).get("steps_completed") or 0)


def download(checkpoint: Checkpoint, folder: Path) -> Path:
    """Copy a checkpoint's files into a new folder: from its storage, or else through the master.

    Determined's client asks the master only where the storage says "access denied". A key that the storage does not
    know, or an address that holds for trials and not for this pod, are as good a reason.

    Raises:
        PdkError: Neither way works.
    """
    try:
        return Path(checkpoint.download(str(folder)))
    except Exception as error:  # each storage backend raises its own kinds
        direct = error
    with warnings.catch_warnings():
        # The client warns about its own names when it is imported.
        warnings.simplefilter("ignore")
        from determined.common.experimental.checkpoint._checkpoint import DownloadMode
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return Path(checkpoint.download(str(folder), mode=DownloadMode.MASTER))
    except Exception as error:
        raise PdkError(
            f"The checkpoint can't be downloaded: {type(direct).__name__}: {direct}; nor through the master: {error}",
            where=f"checkpoint {checkpoint.uuid}",
            fix="Give the job access to the checkpoint storage: its bucket, or (on-prem) its folder by pod_patch.",
        ) from error
