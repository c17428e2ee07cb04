"""Completes experiment configurations.

The order is that of ``parseCreateExperiment`` in ``master/internal/core_experiment.go``: what the user wrote must be
sane (see ``reader``), then a template and the cluster fill it in, and then it must be complete.
"""

from __future__ import annotations

import copy
import secrets
from typing import Any

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.core.expconf.checks import errors_in
from pdk_stack.determined.core.expconf.forms import (
    device_of,
    image_of,
    log_policy,
    new_name,
    typed,
    variables_of,
)
from pdk_stack.determined.core.expconf.merging import joined, merged
from pdk_stack.determined.core.expconf.reader import INVALID, parse
from pdk_stack.determined.core.expconf.rules import CHECKPOINT_STORAGE, EXPERIMENT, SEARCHER, Rule, forms_of
from pdk_stack.determined.errors import invalid, plain

__all__ = ["complete", "overridden", "search_of"]

PREEMPTION_TIMEOUT_S = 3600
PRIORITY = 42


def complete(submitted: dict[str, Any], *, storage: dict[str, Any], pool: str) -> dict[str, Any]:
    """Complete a sane configuration with every value that a trial needs.

    Args:
        submitted: The user's configuration, and what a template adds.
        storage: The cluster's checkpoint storage.
        pool: The resource pool when the user names none.

    Raises:
        Refusal: The configuration is incomplete; the message lists every error.
    """
    config = copy.deepcopy(submitted)
    own = config.get("checkpoint_storage") or {}
    if own.get("type") in (None, storage["type"]):
        config["checkpoint_storage"] = {**storage, **{k: v for k, v in own.items() if v is not None}}
    config = _normal(_filled(config, EXPERIMENT), pool)
    problems = errors_in(config, complete=True)
    if problems:
        raise plain(f"{INVALID}config is invalid or incomplete: " + "\n".join(problems))
    _refuse_old(config["searcher"], INVALID)
    return config


def search_of(config: dict[str, Any]) -> dict[str, Any]:
    """Complete the parts of a sane configuration that a search needs.

    Returns:
        ``searcher``, ``hyperparameters``, and ``reproducibility``.

    Raises:
        Refusal: A part is incomplete.
    """
    searcher = _without_nulls(_filled_form(config["searcher"], SEARCHER), ("max_length", "stop_once"))
    problems = errors_in(searcher, SEARCHER, complete=True)
    if problems:
        raise plain("invalid searcher configuration: config is invalid or incomplete: " + "\n".join(problems))
    _refuse_old(searcher, INVALID)
    return {
        "searcher": searcher,
        "hyperparameters": typed(config.get("hyperparameters") or {}),
        "reproducibility": {"experiment_seed": 0},
    }


def overridden(config: dict[str, Any], override: str) -> dict[str, Any]:
    """Return a complete configuration with the values that continuing an experiment changes.

    Args:
        config: The experiment's configuration.
        override: Configuration text; empty changes nothing.

    Raises:
        Refusal: The override is invalid, or the search would change.
    """
    searcher = config["searcher"]["name"]
    if searcher not in ("single", "grid", "random"):
        raise invalid(f"Unsupported searcher type provided: '{searcher}'")
    if searcher != "single" and (override.strip() or "{}") != "{}":
        raise invalid(f"override config is provided and experiment is not single searcher, got '{searcher}' instead")
    try:
        changes = parse(override or "{}", "parsing override config: ")
    except Refusal as error:
        raise invalid(error.message) from error
    for key in ("project", "workspace"):
        if changes.get(key) is not None:
            raise invalid(
                f"'{key}' in override config cannot be specified, use `det experiment move` first if you want to "
                f"change the {key}"
            )
    name = (changes.get("searcher") or {}).get("name", searcher)
    if searcher == "single" and name != "single":
        raise invalid(f"override config must have single searcher type got '{name}' instead")
    result = _normal(_filled(merged(changes, config), EXPERIMENT), config["resources"]["resource_pool"])
    problems = errors_in(result, complete=True)
    if problems:
        raise plain(
            f"parsing continue experiment request: {INVALID}config is invalid or incomplete: " + "\n".join(problems)
        )
    return result


def _filled(node: dict[str, Any], rule: Rule) -> dict[str, Any]:
    """Fill in the defaults of a map, and of the maps below it."""
    result = dict(node)
    for key, field in rule["properties"].items():
        if field is True:
            continue
        if result.get(key) is None:
            result[key] = copy.deepcopy(field.get("default"))
        below = field.get("optionalRef")
        if isinstance(result[key], dict) and below is not None:
            result[key] = _filled_form(result[key], below)
        elif isinstance(result[key], list) and below is not None:
            item = below.get("items", {}).get("$ref", {})
            result[key] = [
                _filled(each, item) if isinstance(each, dict) and "properties" in item else each for each in result[key]
            ]
    return result


def _filled_form(node: dict[str, Any], rule: Rule) -> dict[str, Any]:
    for named, key in ((CHECKPOINT_STORAGE, "type"), (SEARCHER, "name")):
        if rule is named:
            form = forms_of(rule).get(str(node.get(key)))
            return _filled(node, form if form is not None else rule)
    return _filled(node, rule) if "properties" in rule else node


#: Entries that are read but not kept.
_DROPPED = ("data_layer", "internal")
#: Entries that are absent instead of null, by the map that they are in.
_OMITTED = {
    "": ("retention_policy", "security", "tensorboard_storage"),
    "resources": ("slots", "native_parallel"),
    "searcher": ("max_length", "stop_once"),
    "checkpoint_storage": (
        *("container_path", "checkpoint_path", "tensorboard_path", "connection_string", "account_url", "credential"),
    ),
    "slurm": ("slots_per_node", "gpu_type", "sbatch_args"),
    "pbs": ("slots_per_node", "pbsbatch_args"),
}
_LOG_POLICIES = (
    {"name": "CUDA OOM", "pattern": ".*CUDA out of memory.*"},
    {"name": "ECC Error", "pattern": ".*uncorrectable ECC error encountered.*"},
)


def _without_nulls(node: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if value is not None or key not in names}


def _normal(config: dict[str, Any], pool: str) -> dict[str, Any]:
    """Return a configuration with all defaults in the form that the master stores and shows."""
    config = {key: value for key, value in config.items() if key not in _DROPPED}
    for name, absent in _OMITTED.items():
        if not name:
            config = _without_nulls(config, absent)
        elif isinstance(config.get(name), dict):
            config[name] = _without_nulls(config[name], absent)
    if not config["name"]:
        config["name"] = f"Experiment ({new_name()})"
    if config["reproducibility"]["experiment_seed"] is None:
        config["reproducibility"]["experiment_seed"] = secrets.randbelow(2**31)
    if config["preemption_timeout"] is None:
        config["preemption_timeout"] = PREEMPTION_TIMEOUT_S
    resources = {key: value for key, value in config["resources"].items() if key != "agent_label"}
    resources["resource_pool"] = resources["resource_pool"] or pool
    resources["priority"] = PRIORITY if resources["priority"] is None else resources["priority"]
    resources["devices"] = [device_of(each) for each in resources["devices"]]
    environment = dict(config["environment"])
    environment["image"] = image_of(environment["image"])
    environment["environment_variables"] = variables_of(environment["environment_variables"])
    return {
        **config,
        "resources": resources,
        "environment": environment,
        "hyperparameters": typed(config["hyperparameters"]),
        "labels": sorted(set(config["labels"])),
        "log_policies": joined("log_policies", list(map(log_policy, config["log_policies"])), list(_LOG_POLICIES)),
    }


#: Searchers of older releases: their fields are recognized, but using them is refused.
_REMOVED = ("sync_halving", "adaptive", "adaptive_simple", "custom")


def _refuse_old(searcher: dict[str, Any], what: str) -> None:
    name = searcher["name"]
    if name in _REMOVED:
        raise plain(f"{what}the '{name}' searcher has been removed and is not valid for new experiments")
    timed = searcher.get("max_time") is not None and searcher.get("time_metric") is not None
    if name in ("adaptive_asha", "async_halving") and not timed:
        raise plain(f"{what}the `{name}` searcher requires `max_time` and `time_metric` to be set")
