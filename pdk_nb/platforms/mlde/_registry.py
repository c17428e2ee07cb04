"""Determined's model registry."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypedDict

from pdk_nb.platforms.creating import create_or_accept
from pdk_nb.platforms.mlde._connection import session
from pdk_nb.platforms.mlde._errors import api_errors
from pdk_shared.errors import NotFound

if TYPE_CHECKING:
    from determined.common.experimental.checkpoint._checkpoint import Checkpoint
    from determined.common.experimental.determined import Determined
    from determined.common.experimental.model import Model, ModelVersion


class CodeReference(TypedDict):
    """The experiment's code: where it came from, the ref that was asked for, and its SHA."""

    url: str
    ref: str
    sha: str


class MetricValue(TypedDict):
    """A metric's name and value."""

    name: str
    value: float


class VersionMetadata(TypedDict):
    """What the train stage writes into a model version's metadata.

    Attributes:
        project: Pachyderm project of the data.
        repo: Repo of the data.
        commit: Commit of the data.
        pipeline: The train pipeline.
        job: Its job.
        experiment: The experiment.
        trial: The trial that wrote the checkpoint.
        code: The experiment's code.
        classes: Class names, in the order of the model's outputs.
        metric: The metric that the checkpoint was chosen by.
        net: The hyperparameters that the net's shape depends on.
        resumed_from: Version that training resumed from; empty after training from scratch.
    """

    project: str
    repo: str
    commit: str
    pipeline: str
    job: str
    experiment: int
    trial: int
    code: CodeReference
    classes: list[str]
    metric: MetricValue | None
    net: dict[str, Any]
    resumed_from: str


class SearchMetadata(VersionMetadata):
    """What the lab writes into the metadata of a version that a search found.

    Attributes:
        search: The searcher's name, the number of trials, and the value of the hyperparameter that was varied.
    """

    search: dict[str, Any]


def find_model(client: Determined, name: str) -> Model | None:
    """The registry model of exactly that name, or None. (The client's own list matches substrings.)"""
    from determined.common.api import bindings
    from determined.common.experimental.model import Model

    where = f"model {name}"
    # A number or an unusual name in the path would be looked up as an id: quote it, and compare what comes back.
    with contextlib.suppress(NotFound), api_errors(where):
        found = bindings.get_GetModel(session(client), modelName=name).model
        if found.name == name:
            return Model._from_bindings(found, session(client))
    with api_errors(where):
        return next((model for model in client.list_models(name=name) if model.name == name), None)


def ensure_model(client: Determined, name: str, *, labels: list[str], metadata: dict[str, Any]) -> Model:
    """The registry model of exactly that name, created if absent."""
    create = api_errors(f"model {name}")(lambda: client.create_model(name, labels=labels, metadata=metadata))
    return create_or_accept(lambda: find_model(client, name), create)[0]


@api_errors()
def versions(model: Model) -> list[ModelVersion]:
    """All versions, newest first."""
    return sorted(model.list_versions(), key=lambda version: version.model_version, reverse=True)


def version_for_commit(client: Determined, model: str | Model, commit_id: str) -> ModelVersion | None:
    """The version that is named after a commit: the newest, should several be."""
    found = find_model(client, model) if isinstance(model, str) else model
    if found is None:
        return None
    return next((version for version in versions(found) if version.name == commit_id), None)


def validation_metric(version: ModelVersion, name: str) -> float | None:
    """A validation metric of a registered version's checkpoint; None when it has none of that name.

    Args:
        version: A registered version.
        name: The metric's name, e.g. ``accuracy``.
    """
    training = getattr(version.checkpoint, "training", None) if version.checkpoint else None
    metrics = getattr(training, "validation_metrics", None) or {}
    values = metrics.get("avgMetrics") or metrics.get("avg_metrics") or metrics
    value = values.get(name) if isinstance(values, dict) else None
    if value is None:
        # Of a checkpoint that was deleted or registered by hand, the registry may still know the searcher's metric.
        metric = (getattr(version, "metadata", None) or {}).get("metric") or {}
        value = metric.get("value") if metric.get("name") == name else None
    return float(value) if value is not None else None


@api_errors()
def register(
    model: Model, checkpoint: Checkpoint, *, name: str, notes: str, metadata: VersionMetadata, comment: str = ""
) -> ModelVersion:
    """Register a checkpoint under a name, with metadata. A version with that name and checkpoint is only completed."""
    from determined.common.api import bindings

    version = next(
        (
            v
            for v in versions(model)
            if v.checkpoint and v.checkpoint.uuid == checkpoint.uuid and v.name in (name, "", None)
        ),
        None,
    )
    if version is None:
        version = model.register_version(checkpoint.uuid)
    body = bindings.v1PatchModelVersion(name=name, notes=notes, metadata=dict(metadata), comment=comment)
    bindings.patch_PatchModelVersion(
        version._session, body=body, modelName=model.name, modelVersionNum=version.model_version
    )
    version.reload()
    return version
