"""Experiment configuration rules as data: names, types, ranges, and defaults of release 0.38.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["BY_KEY", "DROPPED_SEARCHERS", "EXPERIMENT", "HYPERPARAMETER_KINDS", "STORAGE_KEYS", "Field"]


@dataclass(frozen=True)
class Field:
    """One entry of a map.

    Attributes:
        types: Allowed JSON types; empty allows all.
        default: The value when the user gives none.
        nullable: Whether null counts as no value.
        optional: Whether the entry stays absent when not given.
        required: Whether the entry must be present.
        fields: The entries of a map; None allows any content.
        items: The rule for each element of a list.
        union: The key that selects the map's form.
        length: Whether the entry is a length in batches, records, or epochs.
    """

    types: tuple[str, ...] = ()
    default: Any = None
    nullable: bool = True
    optional: bool = False
    required: bool = False
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    fields: dict[str, Field] | None = None
    items: Field | None = None
    union: str = ""
    length: bool = False


def _string(default: str | None = None, **more: Any) -> Field:
    return Field(("string",), default, **more)


def _integer(default: int | None = None, minimum: float | None = None, **more: Any) -> Field:
    return Field(("integer",), default, minimum=minimum, **more)


def _boolean(default: bool | None = None) -> Field:
    return Field(("boolean",), default)


def _strings(default: list[str] | None = None) -> Field:
    return Field(("array",), [] if default is None else default, items=_string(nullable=False))


def _length() -> Field:
    return Field(("object",), {"batches": 0}, length=True)


ANY = Field()
_SAVE = {
    "save_experiment_best": _integer(0, 0),
    "save_trial_best": _integer(1, 0),
    "save_trial_latest": _integer(1, 0),
}
_STORAGE = {
    "shared_fs": {
        "type": _string(),
        "host_path": _string(),
        "storage_path": _string(),
        "propagation": _string("rprivate"),
        "container_path": _string(),
        "checkpoint_path": _string(),
        "tensorboard_path": _string(),
        **_SAVE,
    },
    "directory": {"type": _string(), "container_path": _string(), **_SAVE},
    "s3": {
        "type": _string(),
        "bucket": _string(),
        "access_key": _string(),
        "secret_key": _string(),
        "endpoint_url": _string(),
        "prefix": _string(),
        **_SAVE,
    },
    "gcs": {"type": _string(), "bucket": _string(), "prefix": _string(), **_SAVE},
    "azure": {
        "type": _string(),
        "container": _string(),
        "connection_string": _string(),
        "account_url": _string(),
        "credential": _string(),
        **_SAVE,
    },
}
STORAGE_KEYS = frozenset(key for fields in _STORAGE.values() for key in fields) | {"user"}

_SEARCH_COMMON = {
    "name": _string(),
    "metric": _string(),
    "smaller_is_better": _boolean(True),
    "source_trial_id": _integer(),
    "source_checkpoint_uuid": _string(),
}
_MAX_LENGTH = {"max_length": Field(("object", "integer"), length=True, optional=True)}
_MANY = {"max_concurrent_trials": _integer(16, 0)}
_HALVING = {
    "max_trials": _integer(None, 1),
    "time_metric": _string(),
    "max_time": _integer(),
    "divisor": Field(("number",), 4, above=1),
    "stop_once": Field(("boolean",), optional=True),
}
_ANYTHING = {
    name: ANY
    for name in (
        *("max_length", "max_trials", "max_concurrent_trials", "mode", "divisor", "max_rungs", "num_rungs"),
        *("bracket_rungs", "budget", "train_stragglers", "unit", "stop_once", "time_metric", "max_time"),
    )
}
#: Searchers of older releases: their fields are recognized, but using them is refused.
DROPPED_SEARCHERS = ("custom", "adaptive", "adaptive_simple", "sync_halving")
_SEARCHERS = {
    "single": {**_SEARCH_COMMON, **_MAX_LENGTH},
    "random": {**_SEARCH_COMMON, **_MAX_LENGTH, **_MANY, "max_trials": _integer(None, 1)},
    "grid": {**_SEARCH_COMMON, **_MAX_LENGTH, **_MANY},
    "adaptive_asha": {
        **_SEARCH_COMMON,
        **_MAX_LENGTH,
        **_MANY,
        **_HALVING,
        "mode": _string("standard", choices=("aggressive", "standard", "conservative")),
        "max_rungs": _integer(5, 1),
        "bracket_rungs": Field(("array",), [], items=_integer(nullable=False)),
    },
    "async_halving": {
        **_SEARCH_COMMON,
        "max_length": Field(("object",), length=True, optional=True),
        **_MANY,
        **_HALVING,
        "num_rungs": _integer(None, 1),
    },
    **{name: {**_SEARCH_COMMON, **_ANYTHING} for name in DROPPED_SEARCHERS},
}
#: The forms of a map, by the key that selects them.
BY_KEY: dict[str, dict[str, dict[str, Field]]] = {"type": _STORAGE, "name": _SEARCHERS}

_NUMERIC = {"count": _integer(None, 1)}
HYPERPARAMETER_KINDS: dict[str, dict[str, Field]] = {
    "const": {"type": _string(), "val": Field(required=True)},
    "int": {
        "type": _string(),
        "minval": _integer(nullable=False, required=True),
        "maxval": _integer(nullable=False, required=True),
        **_NUMERIC,
    },
    "double": {
        "type": _string(),
        "minval": Field(("number",), nullable=False, required=True),
        "maxval": Field(("number",), nullable=False, required=True),
        **_NUMERIC,
    },
    "log": {
        "type": _string(),
        "minval": Field(("number",), nullable=False, required=True),
        "maxval": Field(("number",), nullable=False, required=True),
        "base": Field(("number",), nullable=False, required=True, above=0),
        **_NUMERIC,
    },
    "categorical": {"type": _string(), "vals": Field(("array",), nullable=False, required=True)},
}

_ENVIRONMENT = {
    "image": Field(("object", "string"), {}),
    "environment_variables": Field(("object", "array"), []),
    "proxy_ports": Field(("array",), []),
    "ports": Field(("object",), {}),
    "force_pull_image": _boolean(False),
    "registry_auth": Field(("object",)),
    "add_capabilities": _strings(),
    "drop_capabilities": _strings(),
    "pod_spec": Field(("object",)),
}
_OPTIMIZATIONS = {
    "aggregation_frequency": _integer(1, 1),
    "auto_tune_tensor_fusion": _boolean(False),
    "average_aggregated_gradients": _boolean(True),
    "average_training_metrics": _boolean(True),
    "gradient_compression": _boolean(False),
    "grad_updates_size_file": _string(),
    "mixed_precision": _string("O0", choices=("O0", "O1", "O2", "O3")),
    "tensor_fusion_cycle_time": _integer(1, 0),
    "tensor_fusion_threshold": _integer(64, 0),
}
_PROFILING = {
    "enabled": _boolean(False),
    "begin_on_batch": _integer(0, 0),
    "end_after_batch": _integer(None, 0),
    "sync_timings": _boolean(True),
}
_RESOURCES = {
    "agent_label": _string(),
    "devices": Field(("array",), []),
    "is_single_node": _boolean(),
    "max_slots": _integer(),
    "native_parallel": _boolean(False),
    "priority": _integer(None, 1, maximum=99),
    "resource_pool": _string(""),
    "shm_size": Field(("integer", "string")),
    "slots": _integer(),
    "slots_per_trial": _integer(1, 0),
    "weight": Field(("number",), 1),
}
EXPERIMENT: dict[str, Field] = {
    "bind_mounts": Field(("array",), [], items=Field(("object",))),
    "checkpoint_policy": _string("best", choices=("best", "all", "none")),
    "checkpoint_storage": Field(("object",), union="type"),
    "data": Field(("object",), {}),
    "data_layer": Field(("object",)),
    "debug": _boolean(False),
    "description": _string(),
    "entrypoint": Field(("string", "array"), items=_string(nullable=False)),
    "environment": Field(("object",), {}, fields=_ENVIRONMENT),
    "hyperparameters": Field(("object",), {}),
    "integrations": Field(("object",), fields={"pachyderm": Field(("object",)), "webhooks": Field(("object",))}),
    "internal": ANY,
    "labels": _strings(),
    "log_policies": Field(("array",), []),
    "max_restarts": _integer(5, 0),
    "min_checkpoint_period": _length(),
    "min_validation_period": _length(),
    "name": _string(),
    "optimizations": Field(("object",), {}, fields=_OPTIMIZATIONS),
    "pbs": Field(("object",), {}),
    "perform_initial_validation": _boolean(False),
    "preemption_timeout": _integer(),
    "profiling": Field(("object",), {}, fields=_PROFILING),
    "project": _string(""),
    "records_per_epoch": _integer(0),
    "reproducibility": Field(("object",), {}, fields={"experiment_seed": _integer(None, 0)}),
    "resources": Field(("object",), {}, fields=_RESOURCES),
    "retention_policy": Field(("object",), fields={"log_retention_days": _integer(None, -1, maximum=32767)}),
    "scheduling_unit": _integer(100, 1),
    "searcher": Field(("object",), {}, union="name"),
    "security": Field(("object",)),
    "slurm": Field(("object",), {}),
    "tensorboard_storage": Field(("object",)),
    "workspace": _string(""),
}
