"""Reads, checks (see ``checks``), and completes experiment configurations.

The rules are those of ``schemas/expconf/v0`` of release 0.38.1; ``rules`` states them as data.
"""

from __future__ import annotations

import copy
import random
import re
import secrets as _secrets
from typing import Any

import yaml

from pdk_stack.determined.core.expconf.checks import errors_in
from pdk_stack.determined.core.expconf.rules import BY_KEY, DROPPED_SEARCHERS, EXPERIMENT, Field
from pdk_stack.determined.errors import invalid

__all__ = ["complete", "overridden", "parse"]


class _Loader(yaml.SafeLoader):
    """Loads YAML as the master does: ``No`` is a string and ``1e-4`` a number."""


_RESOLVERS = yaml.SafeLoader.yaml_implicit_resolvers
_Loader.yaml_implicit_resolvers = {
    first: [entry for entry in entries if entry[0] not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float")]
    for first, entries in _RESOLVERS.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def parse(text: str) -> dict[str, Any]:
    """Parse a submitted configuration.

    Raises:
        Refusal: The text is not YAML, or not a map.
    """
    try:
        loaded = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise invalid(f"invalid experiment configuration: yaml: {_one_line(error)}") from error
    if not isinstance(loaded, dict):
        raise invalid("invalid experiment configuration: the configuration is not a map")
    plain: dict[str, Any] = _plain(loaded)
    return plain


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _plain(node: Any) -> Any:
    """Convert dates and non-string keys, which JSON doesn't have, to strings."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node if node is None or isinstance(node, (bool, int, float, str)) else str(node)


# -- completing ------------------------------------------------------------------------------------------------------


def complete(
    submitted: dict[str, Any], *, storage: dict[str, Any], pool: str, merge: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    """Complete a configuration with every value that a trial needs.

    Args:
        submitted: The user's configuration.
        storage: The cluster's checkpoint storage.
        pool: The resource pool when the user names none.
        merge: Configurations, such as templates, that fill in missing values; earlier ones take precedence.

    Raises:
        Refusal: The configuration is invalid or incomplete; the message lists every error.
    """
    config = copy.deepcopy(submitted)
    for layer in merge:
        config = merged(config, layer)
    problems = errors_in(config)
    if problems:
        raise invalid(
            "invalid experiment configuration: version 0 experiment config is invalid: config is invalid: "
            + "; ".join(problems)
        )
    own = config.get("checkpoint_storage") or {}
    if own.get("type") in (None, storage["type"]):
        config["checkpoint_storage"] = {**storage, **{k: v for k, v in own.items() if v is not None}}
    config = _filled(config, EXPERIMENT)
    _normalise(config, pool)
    problems = _missing(config)
    if problems:
        raise invalid("invalid experiment configuration: config is incomplete: " + "; ".join(problems))
    _refuse_old(config["searcher"])
    return config


def merged(config: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """Fill in missing values from ``layer``; merge maps and join lists as the master does."""
    result = dict(config)
    for key, value in layer.items():
        own = result.get(key)
        if own is None:
            result[key] = copy.deepcopy(value)
        elif isinstance(own, dict) and isinstance(value, dict):
            differs = any(own.get(k) != value.get(k) for k in ("type", "name") if k in own and k in value)
            result[key] = own if differs and key in ("checkpoint_storage", "searcher") else merged(own, value)
        elif isinstance(own, list) and isinstance(value, list) and key in ("bind_mounts", "labels"):
            result[key] = own + [each for each in value if each not in own]
    return result


def overridden(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a complete configuration with some entries replaced.

    Raises:
        Refusal: The result is invalid, or the search would change.
    """
    new_name = (changes.get("searcher") or {}).get("name", config["searcher"]["name"])
    if new_name != config["searcher"]["name"]:
        raise invalid("override config must have single searcher type")
    for key in ("workspace", "project"):
        if key in changes:
            raise invalid(f"'{key}' in override config cannot be specified")
    result = merged(changes, config)
    problems = errors_in(result)
    if problems:
        raise invalid("invalid experiment configuration: " + "; ".join(problems))
    _normalise(result, config["resources"]["resource_pool"])
    return result


def _filled(node: dict[str, Any], fields: dict[str, Field]) -> dict[str, Any]:
    result = dict(node)
    for key, field in fields.items():
        if result.get(key) is None:
            if field.optional:
                continue
            result[key] = copy.deepcopy(field.default)
        value = result[key]
        if not isinstance(value, dict):
            continue
        if field.union:
            chosen = BY_KEY[field.union].get(str(value.get(field.union)))
            if chosen:
                result[key] = _filled(value, chosen)
        elif field.fields is not None and not field.length:
            result[key] = _filled(value, field.fields)
    return result


def _normalise(config: dict[str, Any], pool: str) -> None:
    if not config["name"]:
        config["name"] = f"Experiment ({_petname()})"
    seed = config["reproducibility"]["experiment_seed"]
    if seed is None:
        config["reproducibility"]["experiment_seed"] = _secrets.randbelow(2**31)
    config["resources"]["resource_pool"] = config["resources"]["resource_pool"] or pool
    if config["resources"]["priority"] is None:
        config["resources"]["priority"] = 42
    environment = config["environment"]
    image = environment["image"]
    if isinstance(image, str):
        environment["image"] = {"cpu": image, "cuda": image, "rocm": image}
    else:
        environment["image"] = {"cpu": "embedded", "cuda": "embedded", "rocm": "embedded", **(image or {})}
    variables = environment["environment_variables"]
    if isinstance(variables, list):
        variables = {"cpu": list(variables), "cuda": list(variables), "rocm": list(variables)}
    environment["environment_variables"] = {"cpu": [], "cuda": [], "rocm": [], **(variables or {})}
    config["hyperparameters"] = _typed(config["hyperparameters"] or {})


def _typed(space: dict[str, Any]) -> dict[str, Any]:
    """Convert plain values to constants, as the master shows them."""
    result = {}
    for name, node in space.items():
        if not isinstance(node, dict):
            result[name] = {"type": "const", "val": node}
        elif isinstance(node.get("type"), str):
            result[name] = {"count": None, **node} if node["type"] in ("int", "double", "log") else node
        else:
            result[name] = _typed(node)
    return result


_NAME_WORDS = (
    ("brisk", "calm", "daring", "eager", "fair", "gentle", "happy", "keen", "lively", "mellow", "noble", "quiet"),
    ("badger", "crane", "dolphin", "egret", "finch", "gecko", "heron", "ibis", "lynx", "marten", "otter", "puffin"),
)


def _petname() -> str:
    return "-".join(random.choice(words) for words in (_NAME_WORDS[0], *_NAME_WORDS))


def _missing(config: dict[str, Any]) -> list[str]:
    found = []
    searcher = config["searcher"]
    if not searcher.get("name"):
        found.append("<config>.searcher.name is a required property")
    needed = ["metric"]
    name = searcher.get("name")
    if name in ("random", "adaptive_asha", "async_halving"):
        needed.append("max_trials")
    if name == "async_halving":
        needed.append("num_rungs")
    found += [f"<config>.searcher.{key} is a required property" for key in needed if searcher.get(key) is None]
    storage = config["checkpoint_storage"] or {}
    place = {"shared_fs": "host_path", "directory": "container_path", "s3": "bucket", "gcs": "bucket"}
    key = place.get(str(storage.get("type")))
    if key and not storage.get(key):
        found.append(f"<config>.checkpoint_storage.{key} is a required property")
    return found


def _refuse_old(searcher: dict[str, Any]) -> None:
    name = searcher["name"]
    if name in DROPPED_SEARCHERS:
        raise invalid(
            f"invalid experiment configuration: the '{name}' searcher is no longer supported, "
            "use one of: single, random, grid, adaptive_asha"
        )
    if name in ("adaptive_asha", "async_halving") and not (searcher.get("max_time") and searcher.get("time_metric")):
        raise invalid(
            f"invalid experiment configuration: the `{name}` searcher requires `max_time` and `time_metric` to be set"
        )
