"""The best checkpoint becomes a model version, and the job's output."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb.platforms import mlde
from pdk_nb.stages.model_info import FILE_NAME, ModelInfo
from pdk_nb.stages.resuming import WarmStart
from pdk_nb.stages.source import Source
from pdk_nb.tasks.stage_task import StageTask

if TYPE_CHECKING:
    from determined.common.experimental.checkpoint._checkpoint import Checkpoint
    from determined.common.experimental.determined import Determined
    from determined.common.experimental.model import Model

__all__ = ["Training", "publish", "register"]

log = logging.getLogger("pdk.train")


@dataclass(frozen=True)
class Training:
    """Where a model comes from.

    Attributes:
        job: The job's id, which names the version.
        pipeline: The pipeline.
        project: Pachyderm project of the data.
        repo: Repo of the data.
        commit: Commit of the data.
        code: The experiment's code.
        config: The experiment's complete configuration.
        classes: Class names, in the order of the model's outputs.
        task: The task.
        experiment: The experiment's id.
        warm: What it resumed from.
    """

    job: str
    pipeline: str
    project: str
    repo: str
    commit: str
    code: Source
    config: Mapping[str, Any]
    classes: tuple[str, ...]
    task: StageTask
    experiment: int
    warm: WarmStart | None


def register(client: Determined, model: Model, training: Training) -> tuple[Checkpoint, ModelInfo]:
    """Register the experiment's best checkpoint under the job's id.

    Args:
        client: A client.
        model: The registry model.
        training: Where the model comes from.

    Raises:
        TrainingError: The experiment has no checkpoint.
    """
    checkpoint = mlde.best_checkpoint(client, training.experiment)
    metric = _metric(training.config, checkpoint)
    trial = checkpoint.training.trial_id if checkpoint.training else 0
    resumed = training.warm.version if training.warm else ""
    code = training.code
    facts = training.task.facts(training.config)
    metadata: mlde.VersionMetadata = {
        "project": training.project,
        "repo": training.repo,
        "commit": training.commit,
        "pipeline": training.pipeline,
        "job": training.job,
        "experiment": training.experiment,
        "trial": trial,
        "code": {"url": code.url, "ref": code.ref, "sha": code.sha},
        "classes": list(training.classes),
        "metric": {"name": metric[0], "value": metric[1]} if metric else None,
        "net": training.task.architecture(training.config),
        "resumed_from": resumed,
    }
    version = mlde.register(
        model, checkpoint, name=training.job, notes=f"Job_id/commit_id = {training.job}", metadata=metadata
    )
    shown = f", {metric[0]} {metric[1]:.4f}" if metric else ""
    log.info("registered %s version %d, named %s%s", model.name, version.model_version, training.job, shown)
    return checkpoint, ModelInfo(
        name=model.name,
        version=training.job,
        pipeline=training.pipeline,
        repo=training.repo,
        number=version.model_version,
        project=training.project,
        checkpoint=checkpoint.uuid,
        experiment=training.experiment,
        trial=trial,
        classes=training.classes,
        metric=metric,
        code_sha=code.sha,
        git_url=code.url,
        resumed_from=resumed,
        task=training.task.name,
        extra=facts,
    )


def publish(checkpoint: Checkpoint, info: ModelInfo, out: Path) -> None:
    """Copy the checkpoint to the job's output, and write its description last.

    Raises:
        PdkError: The checkpoint cannot be downloaded.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE_NAME).unlink(missing_ok=True)
    if (out / "checkpoint").exists():
        shutil.rmtree(out / "checkpoint")
    mlde.download(checkpoint, out / "checkpoint")
    log.info("wrote %s", info.save(out))


def _metric(config: Mapping[str, Any], checkpoint: Checkpoint) -> tuple[str, float] | None:
    """Name and value of the metric that the checkpoint was chosen by."""
    name = str((config.get("searcher") or {}).get("metric") or "")
    values = (checkpoint.training.validation_metrics if checkpoint.training else {}) or {}
    value = (values.get("avgMetrics") or {}).get(name)
    return (name, float(value)) if value is not None else None
