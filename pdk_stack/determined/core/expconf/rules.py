"""Experiment configuration rules as data: names, types, ranges, and defaults of release 0.38.1.

A rule is a map of JSON Schema's keywords and of the master's own: ``union``, ``checks``, ``compareProperties``,
``disallowProperties``, ``eventually``, and ``eventuallyRequired`` (see ``checks``); ``optionalRef`` and ``$ref`` hold
the rule itself. A test compares these rules with the master's own schemas where those are at hand.
"""

from __future__ import annotations

from typing import Any

__all__ = ["EXPERIMENT", "HYPERPARAMETERS", "SEARCHER", "Rule", "forms_of"]

Rule = dict[str, Any]


def _one(*kinds: str, default: Any = None, rule: Rule | None = None, **more: Any) -> Rule:
    """Return a value that may be null."""
    made: Rule = {"type": [*kinds, "null"], "default": default, **more}
    return {**made, "optionalRef": rule} if rule is not None else made


def _string(default: str | None = None, **more: Any) -> Rule:
    return _one("string", default=default, **more)


def _integer(default: int | None = None, **more: Any) -> Rule:
    return _one("integer", default=default, **more)


def _boolean(default: bool | None = None) -> Rule:
    return _one("boolean", default=default)


def _strings(default: list[str] | None = None) -> Rule:
    return _one("array", default=default, items={"type": "string"})


def _section(rule: Rule, default: Any = None) -> Rule:
    return _one("object", default=default, rule=rule)


def _map(*required: str, eventually: tuple[str, ...] = (), more: Rule | None = None, **properties: Any) -> Rule:
    """Return a map that has no other names."""
    made: Rule = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        made["required"] = list(required)
    if eventually:
        made["eventuallyRequired"] = list(eventually)
    return {**made, **(more or {})}


def _union(*items: tuple[str, Rule], message: str = "") -> Rule:
    """Return a value that fits exactly one rule; the key says whose errors to show."""
    made: Rule = {"items": [{"unionKey": key, **rule} for key, rule in items]}
    return {"union": {"defaultMessage": message, **made} if message else made}


def _named(message: str, key: str, **rules: Rule) -> Rule:
    return {
        "if": {"required": [key]},
        "then": _union(*((f"const:{key}={name}", {"$ref": rule}) for name, rule in rules.items()), message=message),
        "additionalProperties": False,
    }


def forms_of(rule: Rule) -> dict[str, Rule]:
    """Return the forms of a union that a name or a type selects."""
    items = rule["then"]["union"]["items"]
    return {each["unionKey"].partition("=")[2]: each["$ref"] for each in items}


_TEXT: Rule = {"type": "string"}
_WHOLE: Rule = {"type": "integer"}
_NUMBER: Rule = {"type": "number"}

# -- lengths -----------------------------------------------------------------------------------------------------------


def _unit(name: str) -> tuple[str, Rule]:
    properties: Any = {name: {"type": "integer", "minimum": 0}}
    return f"singleproperty:{name}", _map(name, **properties)


LENGTH = _union(
    *map(_unit, ("batches", "records", "epochs")),
    message='a length object must have one attribute named "batches", "records", or "epochs"',
)
_POSITIVE_LENGTH: Rule = {"allOf": [{"$ref": LENGTH}, {"additionalProperties": {"type": "integer", "minimum": 1}}]}
_SEARCHER_LENGTH = _union(
    ("not:type:object", {"type": "integer", "minimum": 0}), ("always", {"$ref": _POSITIVE_LENGTH})
)

# -- storage -----------------------------------------------------------------------------------------------------------

_SAVE: Rule = {
    "save_experiment_best": _integer(0, minimum=0),
    "save_trial_best": _integer(1, minimum=0),
    "save_trial_latest": _integer(1, minimum=0),
}
_UPWARDS = {"anyOf": [{"type": "string", "pattern": each} for each in (r"/\.\./", r"^\.\./", r"/\.\.$", r"^\.\.$")]}
_PREFIX = _string(checks={"prefix cannot contain /../": {"not": _UPWARDS}})


def _storage(name: str, needs: str, more: Rule | None = None, **properties: Rule) -> Rule:
    return _map("type", eventually=(needs,), more=more, type={"const": name}, **properties, **_SAVE)


_SHARED_FS = _storage(
    "shared_fs",
    "host_path",
    {
        "checks": {
            "storage_path must either be a relative directory or a subdirectory of host_path": {
                "compareProperties": {"type": "a_is_subdir_of_b", "a": "storage_path", "b": "host_path"}
            }
        }
    },
    host_path=_string(),
    storage_path=_string(),
    propagation=_string("rprivate"),
    container_path=_string(),
    checkpoint_path=_string(),
    tensorboard_path=_string(),
)
_S3 = _storage(
    "s3",
    "bucket",
    access_key=_string(),
    bucket=_string(),
    secret_key=_string(),
    endpoint_url=_string(),
    prefix=_PREFIX,
)
_GCS = _storage("gcs", "bucket", bucket=_string(), prefix=_PREFIX)
_AZURE = _storage(
    "azure",
    "container",
    {
        "eventually": {
            "checks": {
                "Exactly one of connection_string or account_url must be set": {
                    "oneOf": [{"eventuallyRequired": ["connection_string"]}, {"eventuallyRequired": ["account_url"]}]
                }
            }
        },
        "checks": {
            "credential and connection_string must not both be set": {
                "not": {
                    "required": ["connection_string", "credential"],
                    "properties": {"connection_string": _TEXT, "credential": _TEXT},
                }
            }
        },
    },
    container=_string(),
    connection_string=_string(),
    account_url=_string(),
    credential=_string(),
)
_DIRECTORY = _storage("directory", "container_path", container_path=_string())
_STORAGE_NAMES = (
    *("access_key", "account_url", "bucket", "checkpoint_path", "connection_string", "container", "container_path"),
    *("credential", "endpoint_url", "prefix", "host_path", "propagation", "secret_key", "storage_path"),
    *("tensorboard_path", "type", "user"),
)
CHECKPOINT_STORAGE: Rule = {
    **_named(
        "is not an object where object[\"type\"] is one of 'shared_fs', 'directory', 's3', 'gcs', or 'azure'",
        "type",
        shared_fs=_SHARED_FS,
        directory=_DIRECTORY,
        s3=_S3,
        gcs=_GCS,
        azure=_AZURE,
    ),
    "eventuallyRequired": ["type"],
    "properties": {**dict.fromkeys(_STORAGE_NAMES, True), **_SAVE},
}
_IGNORED = "this field is deprecated and will be ignored"
_TENSORBOARD_STORAGE: Rule = {
    **_union(*(("never", {"$ref": each}) for each in (_SHARED_FS, _S3, _GCS)), message=_IGNORED),
    "disallowProperties": dict.fromkeys(_SAVE, _IGNORED),
}

# -- searchers ---------------------------------------------------------------------------------------------------------

_GOAL: Rule = {"metric": _string(), "smaller_is_better": _boolean(True)}
_SOURCE: Rule = {"source_trial_id": _integer(), "source_checkpoint_uuid": _string()}
_MAX_LENGTH = _one("object", "integer", rule=_SEARCHER_LENGTH)
_OLD_MAX_LENGTH = _section(_POSITIVE_LENGTH)
_CONCURRENT = _integer(16, minimum=0)
_MAX_TRIALS = _integer(minimum=1)
_DIVISOR = _one("number", default=4, exclusiveMinimum=1)
_MODE: Rule = {"enum": [None, "aggressive", "standard", "conservative"], "default": "standard"}
_RUNGS = _one("array", default=[], items=_WHOLE)


def _searcher(name: str, *needs: str, **properties: Rule) -> Rule:
    return _map("name", eventually=(*needs, "metric"), name={"const": name}, **properties, **_GOAL, **_SOURCE)


_SEARCHERS: dict[str, Rule] = {
    "single": _searcher("single", max_length=_MAX_LENGTH),
    "random": _searcher(
        "random", "max_trials", max_concurrent_trials=_CONCURRENT, max_trials=_MAX_TRIALS, max_length=_MAX_LENGTH
    ),
    "grid": _searcher("grid", max_concurrent_trials=_CONCURRENT, max_length=_MAX_LENGTH),
    "adaptive_asha": _searcher(
        "adaptive_asha",
        "max_trials",
        bracket_rungs=_RUNGS,
        max_trials=_MAX_TRIALS,
        time_metric=_string(),
        max_time=_integer(),
        mode=_MODE,
        divisor=_DIVISOR,
        max_rungs=_integer(5, minimum=1),
        max_concurrent_trials=_CONCURRENT,
        max_length=_MAX_LENGTH,
        stop_once=_boolean(),
    ),
    "async_halving": _searcher(
        "async_halving",
        "num_rungs",
        "max_trials",
        num_rungs=_integer(minimum=1),
        max_length=_OLD_MAX_LENGTH,
        max_trials=_MAX_TRIALS,
        divisor=_DIVISOR,
        max_concurrent_trials=_CONCURRENT,
        stop_once=_boolean(),
        time_metric=_string(),
        max_time=_integer(),
    ),
    # These are of older releases; they are read, but not used in new experiments.
    "custom": {
        "type": "object",
        "additionalProperties": True,
        "required": ["name"],
        "eventuallyRequired": ["metric"],
        "properties": {
            "name": {"const": "custom"},
            **_GOAL,
            "unit": {"enum": ["batches", "records", "epochs", None], "default": None},
        },
    },
    "adaptive": _searcher(
        "adaptive",
        "budget",
        budget=_section(LENGTH),
        bracket_rungs=_RUNGS,
        mode=_MODE,
        divisor=_DIVISOR,
        max_rungs=_integer(5, minimum=1),
        max_length=_OLD_MAX_LENGTH,
        train_stragglers=_boolean(True),
    ),
    "adaptive_simple": _searcher(
        "adaptive_simple",
        "max_trials",
        max_trials=_integer(minimum=1, maximum=2000),
        mode=_MODE,
        divisor=_DIVISOR,
        max_rungs=_integer(5, minimum=1),
        max_length=_OLD_MAX_LENGTH,
    ),
    "sync_halving": _searcher(
        "sync_halving",
        "num_rungs",
        "budget",
        budget=_OLD_MAX_LENGTH,
        num_rungs=_integer(minimum=1),
        max_length=_OLD_MAX_LENGTH,
        divisor=_DIVISOR,
        train_stragglers=_boolean(True),
    ),
}
_SEARCHER_NAMES = (
    *("bracket_rungs", "divisor", "max_concurrent_trials", "max_length", "max_rungs", "max_time", "time_metric"),
    *("max_trials", "mode", "name", "num_rungs", "stop_once", "budget", "train_stragglers", "unit"),
)
SEARCHER: Rule = {
    **_named(
        "is not an object where object[\"name\"] is one of 'single', 'random', 'grid', 'custom', or 'adaptive_asha'",
        "name",
        **_SEARCHERS,
    ),
    "eventuallyRequired": ["name", "metric"],
    "properties": {**dict.fromkeys(_SEARCHER_NAMES, True), **_GOAL, **_SOURCE},
}

# -- hyperparameters ---------------------------------------------------------------------------------------------------

_COUNT = _integer(minimum=1)
_BOUNDS: Rule = {"compareProperties": {"type": "a<b", "a": "minval", "b": "maxval"}}
_INT = _map("type", "minval", "maxval", more=_BOUNDS, type={"const": "int"}, minval=_WHOLE, maxval=_WHOLE, count=_COUNT)
_DOUBLE = _map(
    "type", "minval", "maxval", more=_BOUNDS, type={"const": "double"}, minval=_NUMBER, maxval=_NUMBER, count=_COUNT
)
_LOG = _map(
    *("type", "minval", "maxval", "base"),
    more=_BOUNDS,
    type={"const": "log"},
    minval=_NUMBER,
    maxval=_NUMBER,
    base={"type": "number", "exclusiveMinimum": 0},
    count=_COUNT,
)
_CONST = _map("type", "val", type={"const": "const"}, val=True)
# A length is a property of strings: the master takes an empty list.
_CATEGORICAL = _map("type", "vals", type={"const": "categorical"}, vals={"type": "array", "minLength": 1})
_NESTED: Rule = {
    "type": "object",
    "checks": {
        'if a hyperparameter object\'s ["type"] is set, it must be one of "int", "double", "log", const", or '
        '"categorical"': {"properties": {"type": False}}
    },
}
HYPERPARAMETER = _union(
    ("const:type=int", {"$ref": _INT}),
    ("const:type=double", {"$ref": _DOUBLE}),
    ("const:type=log", {"$ref": _LOG}),
    ("const:type=const", {"$ref": _CONST}),
    ("const:type=categorical", {"$ref": _CATEGORICAL}),
    ("always", _NESTED),
    ("never", {"not": {"type": "object"}}),
)
HYPERPARAMETER["union"]["items"][5]["additionalProperties"] = {"$ref": HYPERPARAMETER}
HYPERPARAMETERS: Rule = {"type": "object", "additionalProperties": {"$ref": HYPERPARAMETER}}
_GRID_COUNT: Rule = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": _TEXT},
    "checks": {
        "grid search is in use but count was not provided": {
            "if": {"properties": {"type": {"enum": ["double", "log", "int"]}}},
            "then": {"not": {"properties": {"count": {"type": "null"}}}},
        }
    },
}
GRID_HYPERPARAMETER = _union(
    ("type:array", {"type": "array"}),
    ("not:hasattr:type", {"type": "object", "properties": {"type": False}}),
    ("never", {"not": {"type": ["object", "array"]}}),
    ("hasattr:type", _GRID_COUNT),
)
GRID_HYPERPARAMETER["union"]["items"][0]["items"] = {"$ref": GRID_HYPERPARAMETER}
GRID_HYPERPARAMETER["union"]["items"][1]["additionalProperties"] = {"$ref": GRID_HYPERPARAMETER}

# -- environment and resources -----------------------------------------------------------------------------------------

_DEVICES = ("cpu", "cuda", "rocm", "gpu")
_IMAGE_MAP = _map(eventually=_DEVICES[:3], **{name: _string() for name in _DEVICES})
_IMAGE = _union(
    ("never", {"$ref": _IMAGE_MAP}),
    ("never", _TEXT),
    message="is neither a string nor a map of cpu, cuda, or rocm to strings",
)
_DEVICE_LISTS: Any = {name: _strings([]) for name in _DEVICES}
_VARIABLES_MAP = _map(**_DEVICE_LISTS)
_VARIABLES = _union(
    ("never", {"$ref": _VARIABLES_MAP}),
    ("never", {"type": "array", "items": _TEXT}),
    message="is neither a list of strings nor a map of cpu, cuda, or rocm to lists of strings",
)
_PROXY_PORT = _map(
    "proxy_port",
    proxy_port=_NUMBER,
    proxy_tcp=_boolean(False),
    unauthenticated=_boolean(False),
    default_service_id=_boolean(False),
)
_REGISTRY_AUTH = _map(
    username=_string(),
    password=_string(),
    auth=_string(),
    email=_string(),
    serveraddress=_string(),
    identitytoken=_string(),
    registrytoken=_string(),
)
_OURS = "container {} is not configurable"
_IN_CONFIG = f"{_OURS}, set it in the experiment config"
#: What a pod's own container may not set.
_CONTAINER: Rule = {
    "image": _IN_CONFIG.format("Image"),
    "command": _OURS.format("Command"),
    "args": "container Args are not configurable",
    "working_dir": _OURS.format("WorkingDir"),
    "ports": "container Ports are not configurable",
    "liveness_probe": _OURS.format("LivenessProbe"),
    "readiness_probe": _OURS.format("ReadinessProbe"),
    "startup_probe": _OURS.format("StartupProbe"),
    "lifecycle": _OURS.format("Lifecycle"),
    "termination_message_path": _OURS.format("TerminationMessagePath"),
    "termination_message_policy": _OURS.format("TerminationMessagePolicy"),
    "image_pull_policy": _IN_CONFIG.format("ImagePullPolicy"),
    "security_context": _IN_CONFIG.format("SecurityContext"),
}
_POD_SPEC = _one(
    "object",
    disallowProperties={
        "name": "pod Name is not a configurable option",
        "name_space": "pod NameSpace is not a configurable option",
    },
    properties={
        "spec": _one(
            "object",
            properties={
                "containers": _one(
                    "array",
                    items={
                        "if": {"properties": {"name": {"const": "determined-container"}}},
                        "then": {"type": "object", "disallowProperties": _CONTAINER},
                    },
                )
            },
        )
    },
)
ENVIRONMENT = _map(
    eventually=("image",),
    image=_one("object", "string", default={}, rule=_IMAGE),
    environment_variables=_one("object", "array", default=[], rule=_VARIABLES),
    proxy_ports=_one("array", default=[], rule={"type": "array", "items": {"$ref": _PROXY_PORT}}),
    ports=_one("object", default={}, additionalProperties=_WHOLE),
    force_pull_image=_boolean(False),
    registry_auth=_section(_REGISTRY_AUTH),
    add_capabilities=_strings([]),
    drop_capabilities=_strings([]),
    pod_spec=_POD_SPEC,
)
_DEVICE = _map("host_path", "container_path", host_path=_TEXT, container_path=_TEXT, mode=_string("mrw"))
_ANY_DEVICE = _union(
    ("never", {"$ref": _DEVICE}),
    ("never", {"type": "string", "pattern": "^/[^:]*:/[^:]*(:[rwm]*)?"}),
    message="is neither a list of --device strings nor a map containing host_path, container_path, and mode",
)
_MEMORY_SIZE = "^([0-9]*[.])?[0-9]+ ?(([kmgtpKMGTP]([iI]?[bB])?)|[bB])?$"
RESOURCES = _map(
    agent_label=_string(),
    devices=_one("array", default=[], rule={"type": "array", "items": _ANY_DEVICE}),
    is_single_node=_boolean(),
    max_slots=_integer(),
    native_parallel=_boolean(False),
    priority=_integer(minimum=1, maximum=99),
    resource_pool=_string(""),
    shm_size=_one("integer", "string", checks={"must be a valid memory size": {"pattern": _MEMORY_SIZE}}),
    slots=_integer(),
    slots_per_trial=_integer(1, minimum=0),
    weight=_one("number", default=1),
)
_BIND_MOUNT = _map(
    *("host_path", "container_path"),
    host_path={"type": "string", "checks": {"host_path must be an absolute path": {"pattern": "^/"}}},
    container_path={"type": "string", "checks": {'container_path must not be "."': {"not": {"const": "."}}}},
    read_only=_boolean(False),
    propagation=_string("rprivate"),
)

# -- the rest ----------------------------------------------------------------------------------------------------------

_LOG_ACTIONS = ("cancel_retries", "exclude_node")
_LOG_ACTION = _union(
    *(("never", {"const": name}) for name in _LOG_ACTIONS),
    *((f"const:type={name}", {"$ref": _map("type", type={"const": name})}) for name in _LOG_ACTIONS),
    message='must be one of "cancel_retries" or "exclude_node"',
)
_LOG_POLICY = _map(
    more={
        "checks": {
            '"name" must be set, and "pattern" is also required unless you intend to disable an existing policy': {
                "anyOf": [{"required": ["name"]}, {"required": ["pattern", "action"]}]
            }
        }
    },
    name=_string(),
    pattern=_string(),
    action=_one("string", "object", rule=_LOG_ACTION),
)
_OPTIMIZATIONS = _map(
    aggregation_frequency=_integer(1, minimum=1),
    auto_tune_tensor_fusion=_boolean(False),
    average_aggregated_gradients=_boolean(True),
    average_training_metrics=_boolean(True),
    gradient_compression=_boolean(False),
    grad_updates_size_file=_string(),
    mixed_precision={
        "enum": [None, "O0", "O1", "O2", "O3"],
        "default": "O0",
        "checks": {"mixed_precision should be a string starting with an uppercase letter 'O'": {"pattern": "^O"}},
    },
    tensor_fusion_cycle_time=_integer(1, minimum=0),
    tensor_fusion_threshold=_integer(64, minimum=0),
)
_PROFILING = _map(
    more={"compareProperties": {"type": "a<=b", "a": "begin_on_batch", "b": "end_after_batch"}},
    enabled=_boolean(False),
    begin_on_batch=_integer(0, minimum=0),
    end_after_batch=_integer(minimum=0),
    sync_timings=_boolean(True),
)
_T: Rule = {"type": ["string"]}
_I: Rule = {"type": ["integer"]}
_PACHYDERM_NAMES = ("project", "repo", "commit", "branch", "token")
_DATASET: Any = dict.fromkeys(_PACHYDERM_NAMES, _T)
_PACHYDERM = _map(
    *("pachd", "proxy", "dataset"),
    pachd={"$ref": _map("host", "port", host=_T, port=_I)},
    proxy={"$ref": _map("scheme", "host", "port", scheme=_T, host=_T, port=_I)},
    dataset={"$ref": _map(*_PACHYDERM_NAMES, **_DATASET)},
)
_WEBHOOKS = _map(webhook_id=_one("array", items=_WHOLE), webhook_name=_strings(), exclude=_boolean(False))
_SLOTS_PER_NODE = _integer(minimum=1)
EXPERIMENT: Rule = _map(
    eventually=("checkpoint_storage", "name", "hyperparameters", "reproducibility", "searcher"),
    more={
        "allOf": [
            {
                "if": {"properties": {"searcher": {"properties": {"name": {"const": "grid"}}}}},
                "then": {"properties": {"hyperparameters": {"additionalProperties": {"$ref": GRID_HYPERPARAMETER}}}},
            }
        ]
    },
    bind_mounts=_one("array", default=[], rule={"type": "array", "items": {"$ref": _BIND_MOUNT}}),
    checkpoint_policy={"enum": [None, "best", "all", "none"], "default": "best"},
    checkpoint_storage=_section(CHECKPOINT_STORAGE),
    data=_one("object", default={}),
    integrations=_section(_map(pachyderm=_section(_PACHYDERM), webhooks=_section(_WEBHOOKS))),
    data_layer=_one("object"),
    debug=_boolean(False),
    description=_string(),
    entrypoint=_one("string", "array", items=_TEXT),
    environment=_section(ENVIRONMENT, {}),
    hyperparameters=_section(HYPERPARAMETERS, {}),
    internal={"type": "null", "default": None},
    labels=_strings([]),
    log_policies=_one("array", default=[], rule={"type": "array", "items": {"$ref": _LOG_POLICY}}),
    retention_policy=_section(
        _map(
            eventually=("log_retention_days",),
            log_retention_days=_integer(minimum=-1, maximum=32767),
        )
    ),
    max_restarts=_integer(5, minimum=0),
    min_checkpoint_period=_section(LENGTH, {"batches": 0}),
    min_validation_period=_section(LENGTH, {"batches": 0}),
    name=_string(),
    optimizations=_section(_OPTIMIZATIONS, {}),
    pbs=_section(_map(slots_per_node=_SLOTS_PER_NODE, pbsbatch_args=_strings()), {}),
    perform_initial_validation=_boolean(False),
    preemption_timeout=_integer(),
    profiling=_section(_PROFILING, {}),
    project=_string(""),
    records_per_epoch=_integer(0),
    reproducibility=_section(_map(eventually=("experiment_seed",), experiment_seed=_integer(minimum=0)), {}),
    resources=_section(RESOURCES, {}),
    scheduling_unit=_integer(100, minimum=1),
    searcher=_section(SEARCHER),
    security=_section(_map(kerberos=_section(_map("config_file", config_file=_TEXT)))),
    slurm=_section(_map(slots_per_node=_SLOTS_PER_NODE, gpu_type=_string(), sbatch_args=_strings()), {}),
    tensorboard_storage=_section(_TENSORBOARD_STORAGE),
    workspace=_string(""),
)
