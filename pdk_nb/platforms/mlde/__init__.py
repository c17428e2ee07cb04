"""Determined (MLDE): workspaces, pools, experiments, metrics, logs, checkpoints and the model registry.

Thin functions over the official client. Where the client's own lookups are loose (names match by substring) or slow
(waiting polls every five seconds), these are exact and quick. The calling convention of :mod:`pdk_nb.platforms` holds.
"""

from pdk_nb.platforms.mlde._checkpoints import best_checkpoint, download
from pdk_nb.platforms.mlde._connection import check_login, connect, session
from pdk_nb.platforms.mlde._errors import api_errors
from pdk_nb.platforms.mlde._experiments import (
    TERMINAL,
    Progress,
    create_experiment,
    experiment_for_job,
    experiment_path,
    experiments_for_job,
    moment,
    progress,
)
from pdk_nb.platforms.mlde._listing import (
    CheckpointEntry,
    ExperimentEntry,
    checkpoints,
    inspect_experiment,
    list_experiments,
    list_models,
    need_model,
)
from pdk_nb.platforms.mlde._pools import Pool, choose_pool, pools, slot_cpu
from pdk_nb.platforms.mlde._projects import check_project, ensure_project, ensure_workspace
from pdk_nb.platforms.mlde._registry import (
    SearchMetadata,
    VersionMetadata,
    ensure_model,
    find_model,
    register,
    validation_metric,
    version_for_commit,
    versions,
)
from pdk_nb.platforms.mlde._reports import MetricPoint, metrics, tail_logs
from pdk_nb.platforms.mlde._trials import Trial, ranked, trials
from pdk_nb.platforms.mlde._waiting import wait_experiment

__all__ = [
    "TERMINAL",
    "CheckpointEntry",
    "ExperimentEntry",
    "MetricPoint",
    "Pool",
    "Progress",
    "SearchMetadata",
    "Trial",
    "VersionMetadata",
    "api_errors",
    "best_checkpoint",
    "check_login",
    "check_project",
    "checkpoints",
    "choose_pool",
    "connect",
    "create_experiment",
    "download",
    "ensure_model",
    "ensure_project",
    "ensure_workspace",
    "experiment_for_job",
    "experiment_path",
    "experiments_for_job",
    "find_model",
    "inspect_experiment",
    "list_experiments",
    "list_models",
    "metrics",
    "moment",
    "need_model",
    "pools",
    "progress",
    "ranked",
    "register",
    "session",
    "slot_cpu",
    "tail_logs",
    "trials",
    "validation_metric",
    "version_for_commit",
    "versions",
    "wait_experiment",
]
