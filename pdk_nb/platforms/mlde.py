"""Determined (MLDE): workspaces, pools, experiments, metrics, logs and the model registry.

Thin functions over the official client. Where the client's own lookups are loose (names match by substring) or slow
(waiting polls every five seconds), these are exact and quick.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pdk_shared.errors import ServiceUnreachable, SettingsError, TrainingError

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion
    from determined.experimental import Checkpoint, Determined, Model
    from determined.experimental.client import Experiment, Project, Workspace

__all__ = [
    "TERMINAL",
    "MetricPoint",
    "Pool",
    "Progress",
    "best_checkpoint",
    "check_login",
    "check_project",
    "choose_pool",
    "connect",
    "download",
    "ensure_model",
    "ensure_project",
    "ensure_workspace",
    "experiment_for_job",
    "experiment_path",
    "experiment_times",
    "experiments_for_job",
    "find_model",
    "metrics",
    "moment",
    "pools",
    "progress",
    "register",
    "session",
    "tail_logs",
    "version_for_commit",
    "versions",
    "wait",
]

TERMINAL = frozenset({"COMPLETED", "CANCELED", "ERROR", "DELETED"})


@dataclass(frozen=True)
class Pool:
    """One resource pool.

    Attributes:
        name: Its name.
        slots: Slots of its agents at this moment; 0 in a pool that starts agents on demand.
        has_gpu: Whether its slots are GPUs.
        on_demand: Whether it starts agents when they are needed.
    """

    name: str
    slots: int
    has_gpu: bool
    on_demand: bool = False


@dataclass(frozen=True)
class MetricPoint:
    """One report of a trial: group ``training`` or ``validation``, batches done, values."""

    trial: int
    group: str
    batches: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """Where an experiment stands.

    Attributes:
        state: ``QUEUED``, ``STARTING``, ``RUNNING``, ``COMPLETED``, ``ERROR``, ...
        fraction: 0 to 1.
        trial: First trial's id; 0 before it exists.
        batches: Batches that it has processed.
        metric: Name and value of the latest validation's searcher metric, when there is one.
    """

    state: str
    fraction: float
    trial: int = 0
    batches: int = 0
    metric: tuple[str, float] | None = None

    @property
    def finished(self) -> bool:
        return self.state in TERMINAL


def connect(master: str, user: str, password: str) -> Determined:
    """Log in.

    Args:
        master: ``host:port`` or a URL.
        user: User name.
        password: Password.

    Raises:
        ServiceUnreachable: Nobody answers there, or the log-in is refused.
    """
    with warnings.catch_warnings():
        # The client warns of its own deprecated classes while it is imported.
        warnings.simplefilter("ignore", FutureWarning)
        from determined.common.api import errors
        from determined.experimental import Determined

    fix = "check mlde_host and mlde_port in pdk-config, and that this machine reaches them"
    if not master:
        raise ServiceUnreachable(
            "the address of Determined is not known", fix="set DET_MASTER, or mlde_host in pdk-config"
        )
    try:
        client = Determined(master=master, user=user, password=password)
        client.whoami()
        return client
    except (errors.UnauthenticatedException, errors.ForbiddenException) as error:
        raise ServiceUnreachable(
            f"Determined refuses the log-in of {user!r}",
            where=master,
            fix="check det_user and det_password in pipeline-secret",
        ) from error
    except (errors.MasterNotFoundException, errors.BadRequestException, OSError, ValueError) as error:
        raise ServiceUnreachable(f"Determined does not answer: {_first_line(error)}", where=master, fix=fix) from error


def check_login(master: str, user: str, password: str) -> None:
    """Log in anew: the client itself takes a token that it has kept, and then never looks at the password.

    Args:
        master: ``host:port`` or a URL.
        user: User name.
        password: Password.

    Raises:
        ServiceUnreachable: The log-in is refused, or nobody answers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        from determined.common.api import authentication, errors
    try:
        authentication.login(master, user, password)
    except (errors.UnauthenticatedException, errors.ForbiddenException, errors.APIException) as error:
        raise ServiceUnreachable(
            f"Determined refuses the log-in of {user!r}",
            where=master,
            fix="check det_user and det_password in pipeline-secret",
        ) from error
    except (errors.BadRequestException, errors.BadResponseException, OSError) as error:
        raise ServiceUnreachable(f"Determined does not answer: {_first_line(error)}", where=master) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def session(client: Determined) -> Any:
    """The client's HTTP session, for calls that have no method of their own."""
    return client._session


def pools(client: Determined) -> list[Pool]:
    """All resource pools."""
    reply = session(client).get("/api/v1/resource-pools").json()
    return [
        Pool(
            name=str(pool["name"]),
            slots=int(pool.get("slotsAvailable") or 0),
            has_gpu=str(pool.get("slotType", "")) in ("TYPE_CUDA", "TYPE_ROCM"),
            on_demand=int(pool.get("maxAgents") or 0) > 0,
        )
        for pool in reply.get("resourcePools") or []
    ]


def choose_pool(available: list[Pool], wanted: str = "") -> Pool:
    """The pool to train in: the wanted one, else one with GPUs, else the first.

    Raises:
        SettingsError: The wanted pool, or any pool, does not exist.
    """
    names = ", ".join(pool.name for pool in available) or "none"
    if wanted:
        found = next((pool for pool in available if pool.name == wanted), None)
        if found is None:
            raise SettingsError(
                f"Determined has no resource pool {wanted!r}", where="--resource-pool", fix=f"choose one of: {names}"
            )
        return found
    if not available:
        raise SettingsError("Determined has no resource pool", fix="start an agent, or ask the cluster's administrator")
    return next((pool for pool in available if pool.has_gpu and pool.slots), available[0])


def ensure_workspace(client: Determined, name: str) -> Workspace:
    """The workspace of that name, made if absent."""
    from determined.common.api.errors import NotFoundException

    try:
        return client.get_workspace(name)
    except NotFoundException:
        return client.create_workspace(name)


def ensure_project(client: Determined, workspace: str, project: str) -> Project:
    """The project in the workspace; both are made if absent."""
    from determined.common.api.errors import NotFoundException

    found = ensure_workspace(client, workspace)
    try:
        return found.get_project(project)
    except NotFoundException:
        return found.create_project(project)


def check_project(client: Determined, workspace: str, project: str) -> None:
    """Refuse a workspace or project that does not exist, naming those that do.

    Raises:
        SettingsError: One of them is missing, or only one of the two is given.
    """
    if bool(workspace) != bool(project):
        raise SettingsError(
            "an experiment needs both a workspace and a project, or neither",
            where=f"workspace: {workspace!r}, project: {project!r}",
            fix="complete the experiment's configuration, or pass --workspace and --experiment-project",
        )
    if not workspace:
        return
    workspaces = {found.name: found for found in client.list_workspaces()}
    if workspace not in workspaces:
        raise SettingsError(
            f"Determined has no workspace {workspace!r}",
            where=f"workspaces: {', '.join(sorted(map(str, workspaces)))}",
            fix=f"det workspace create {workspace!r}, or run notebook 01",
        )
    projects = sorted(str(found.name) for found in workspaces[workspace].list_projects())
    if project not in projects:
        raise SettingsError(
            f"the workspace {workspace!r} has no project {project!r}",
            where=f"projects: {', '.join(projects) or 'none'}",
            fix=f"det project create {workspace!r} {project!r}, or run notebook 01",
        )


def find_model(client: Determined, name: str) -> Model | None:
    """The registry model of exactly that name, or None. (The client's own list matches substrings.)"""
    from determined.common.api import bindings
    from determined.common.api.errors import NotFoundException
    from determined.experimental import Model

    # A number or an unusual name in the path would be looked up as an id: quote it, and compare what comes back.
    try:
        found = bindings.get_GetModel(session(client), modelName=name).model
        if found.name == name:
            return Model._from_bindings(found, session(client))
    except NotFoundException:
        pass
    return next((model for model in client.list_models(name=name) if model.name == name), None)


def ensure_model(client: Determined, name: str, *, labels: list[str], metadata: dict[str, Any]) -> Model:
    """The registry model of exactly that name, made if absent."""
    found = find_model(client, name)
    if found is not None:
        return found
    return client.create_model(name, labels=labels, metadata=metadata)


def versions(model: Model) -> list[ModelVersion]:
    """All versions, newest first."""
    return sorted(model.list_versions(), key=lambda version: version.model_version, reverse=True)


def version_for_commit(client: Determined, model: str | Model, commit_id: str) -> ModelVersion | None:
    """The version that is named after a commit: the newest, should several be."""
    found = find_model(client, model) if isinstance(model, str) else model
    if found is None:
        return None
    return next((version for version in versions(found) if version.name == commit_id), None)


def register(
    model: Model, checkpoint: Checkpoint, *, name: str, notes: str, metadata: dict[str, Any], comment: str = ""
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
    body = bindings.v1PatchModelVersion(name=name, notes=notes, metadata=metadata, comment=comment)
    bindings.patch_PatchModelVersion(
        version._session, body=body, modelName=model.name, modelVersionNum=version.model_version
    )
    version.reload()
    return version


def experiments_for_job(client: Determined, job_id: str, pipeline: str = "") -> list[Experiment]:
    """All experiments labelled with a job (and pipeline), newest first."""
    labels = [job_id, pipeline] if pipeline else [job_id]
    found = client.list_experiments(labels=labels)
    exact = [exp for exp in found if set(labels) <= set(exp.labels or ())]
    return sorted(exact, key=lambda exp: exp.id, reverse=True)


def experiment_for_job(client: Determined, job_id: str, pipeline: str = "") -> Experiment | None:
    """The experiment that a job started, by its labels; the newest one when there are several."""
    return next(iter(experiments_for_job(client, job_id, pipeline)), None)


def progress(client: Determined, experiment_id: int) -> Progress:
    """Where an experiment stands; two small requests.

    Args:
        experiment_id: The experiment.
    """
    http = session(client)
    reply = http.get(f"/api/v1/experiments/{experiment_id}").json()
    experiment, config = reply["experiment"], reply.get("config") or {}
    name = str((config.get("searcher") or {}).get("metric") or "")
    state = str(experiment["state"]).removeprefix("STATE_")
    trials = http.get(f"/api/v1/experiments/{experiment_id}/trials").json().get("trials") or []
    if not trials:
        return Progress(state, float(experiment.get("progress") or 0.0))
    trial = trials[0]
    values = (((trial.get("latestValidation") or {}).get("metrics") or {}).get("avgMetrics")) or {}
    metric = (name, float(values[name])) if name in values else None
    done = 1.0 if state == "COMPLETED" else float(experiment.get("progress") or 0.0)
    return Progress(state, done, int(trial["id"]), int(trial.get("totalBatchesProcessed") or 0), metric)


def experiment_times(client: Determined, experiment_id: int) -> tuple[float, float, str]:
    """When an experiment began and ended, in seconds since the epoch (0: not yet), and its state.

    Args:
        experiment_id: The experiment.
    """
    found = session(client).get(f"/api/v1/experiments/{experiment_id}").json()["experiment"]
    return moment(found.get("startTime")), moment(found.get("endTime")), str(found["state"]).removeprefix("STATE_")


def moment(time_of: str | datetime | None) -> float:
    """Seconds since the epoch of a time as the master writes it (RFC 3339); 0 for none."""
    from dateutil.parser import isoparse

    found = isoparse(time_of) if isinstance(time_of, str) and time_of else time_of
    return found.timestamp() if isinstance(found, datetime) else 0.0


def wait(
    client: Determined,
    experiment_id: int,
    *,
    timeout: float | None = None,
    interval: float = 0.4,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Wait until an experiment ends, whatever its end.

    Args:
        experiment_id: The experiment.
        timeout: Seconds; None waits for ever.
        interval: Seconds between two looks. A look that fails is repeated for a minute before it counts.
        on_progress: Called with every look that differs from the one before.

    Raises:
        TrainingError: It did not end in time.
        ServiceUnreachable: Determined did not answer for a minute.
    """
    started, last, failing = time.monotonic(), None, 0.0
    while True:
        try:
            now = progress(client, experiment_id)
            failing = 0.0
        except Exception as error:
            failing = failing or time.monotonic()
            if time.monotonic() - failing > 60:
                raise ServiceUnreachable(f"Determined stopped answering: {_first_line(error)}") from error
            time.sleep(interval)
            continue
        if now != last and on_progress is not None:
            on_progress(now)
        last = now
        if now.finished:
            return now
        if timeout is not None and time.monotonic() - started > timeout:
            raise TrainingError(
                f"experiment {experiment_id} did not end within {timeout:.0f} s; it is {now.state}",
                fix="look at the experiment's log; a QUEUED one waits for a free slot in its resource pool",
            )
        time.sleep(interval)


def metrics(
    client: Determined, trial_id: int, groups: tuple[str, ...] = ("training", "validation")
) -> list[MetricPoint]:
    """All reports of a trial so far, in order of batches.

    Args:
        trial_id: The trial.
        groups: Metric groups.
    """
    points = []
    for group in groups:
        for report in client.iter_trials_metrics([trial_id], group):
            points.append(MetricPoint(trial_id, group, report.steps_completed, dict(report.metrics or {})))
    return sorted(points, key=lambda point: (point.batches, point.group))


def tail_logs(client: Determined, trial_id: int, lines: int = 20) -> list[str]:
    """The last lines of a trial's log, oldest first."""
    reply = session(client).get(f"/api/v1/trials/{trial_id}/logs", params={"limit": lines, "orderBy": "ORDER_BY_DESC"})
    return [entry["result"]["message"].rstrip("\n") for entry in _json_lines(reply) if "result" in entry][::-1]


def _json_lines(reply: Any) -> Iterator[dict[str, Any]]:
    import json

    for line in reply.iter_lines():
        if line:
            yield json.loads(line)


def best_checkpoint(client: Determined, experiment_id: int) -> Checkpoint:
    """The experiment's best completed checkpoint by the searcher's metric.

    Raises:
        TrainingError: It has none.
    """
    found = client.get_experiment(experiment_id).list_checkpoints()
    if not found:
        raise TrainingError(
            f"experiment {experiment_id} has no checkpoint",
            fix="look at the experiment's log: a trial that refuses its data ends without one",
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


def experiment_path(client: Determined, experiment_id: int) -> str:
    """The experiment's page in the UI."""
    return f"{client._master}/det/experiments/{quote(str(experiment_id))}/overview"


def download(checkpoint: Checkpoint, folder: Path) -> Path:
    """Copy a checkpoint's files into a new folder.

    Raises:
        TrainingError: The files cannot be had.
    """
    try:
        return Path(checkpoint.download(path=str(folder)))
    except Exception as error:  # every storage backend has its own errors
        raise TrainingError(f"the checkpoint {checkpoint.uuid} cannot be downloaded: {_first_line(error)}") from error
