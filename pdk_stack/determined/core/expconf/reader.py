"""Reads experiment configurations: YAML, checked (see ``checks``) before anything is filled in.

Source: ``ParseAnyExperimentConfigYAML`` in ``master/pkg/schemas/expconf/parse.go``.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from pdk_stack.determined.core.expconf.checks import errors_in
from pdk_stack.determined.errors import plain

__all__ = ["INVALID", "load", "parse", "sane"]

#: How the refusal of an experiment's configuration begins.
INVALID = "invalid experiment configuration: "


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


def load(text: str) -> Any:
    """Load YAML as JSON.

    Raises:
        YAMLError: The text is not YAML.
        ValueError: JSON has no such value.
    """
    # The master reads the first document and leaves the others.
    return _plain(next(iter(yaml.load_all(text, Loader=_Loader)), None))


def parse(text: str, what: str = INVALID) -> dict[str, Any]:
    """Parse a submitted configuration and check it.

    Args:
        what: How the refusal begins.

    Raises:
        Refusal: The text is not YAML, or not a sane configuration.
    """
    try:
        loaded = load(text)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        words = f"not valid yaml: error converting YAML to JSON: yaml: {_in_yaml_words(text, error)}"
        raise plain(f"{what}unable to convert yaml to json: {words}") from error
    if loaded is not None and not isinstance(loaded, dict):
        kind = {str: "string", list: "array", bool: "bool"}.get(type(loaded), "number")
        wanted = 'struct { Version int "json:\\"version\\"" }'
        raise plain(
            f"{what}unable to unmarshal json-formatted experiment config: "
            f"json: cannot unmarshal {kind} into Go value of type {wanted}"
        )
    return sane(loaded, what)


def sane(loaded: Any, what: str = INVALID) -> dict[str, Any]:
    """Check what may be absent, but not wrong, before anything is filled in.

    Args:
        loaded: The configuration as JSON.
        what: How the refusal begins.

    Raises:
        Refusal: It is not a sane configuration.
    """
    problems = errors_in(loaded)
    if problems:
        raise plain(f"{what}version 0 experiment config is invalid: config is invalid: " + "\n".join(problems))
    config: dict[str, Any] = loaded
    if problem := _undecodable(config):
        raise plain(f"{what}unable to unmarshal experiment config as version 0: {problem}")
    return config


def _undecodable(config: dict[str, Any]) -> str:
    """Return what the master can't decode though its schemas allow it, in its words; empty if nothing."""
    size = (config.get("resources") or {}).get("shm_size")
    if isinstance(size, str):
        return "json: cannot unmarshal string into Go struct field ExperimentConfigV0.resources.shm_size of type int"
    seed = (config.get("reproducibility") or {}).get("experiment_seed") or 0
    if seed >= 2**32:
        place = "ExperimentConfigV0.reproducibility.experiment_seed"
        return f"json: cannot unmarshal number {seed} into Go struct field {place} of type uint32"
    seen: set[str] = set()
    for policy in config.get("log_policies") or []:
        name = policy.get("name")
        if name in seen:
            return f'log_policies have duplicated names "{name}"'
        seen |= {name} if name is not None else set()
    return ""


def _in_yaml_words(text: str, error: Exception) -> str:
    """Return an error in the words and with the line of libyaml, from which the master's parser is made."""
    try:
        list(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.MarkedYAMLError as found:
        error = found
    except yaml.YAMLError:
        pass
    if not isinstance(error, yaml.MarkedYAMLError) or not error.problem:
        return " ".join(str(error).split())
    line = 0
    if error.problem_mark is not None and error.problem_mark.line:
        # The scanner has not counted the line that it stops in.
        line = error.problem_mark.line + (error.__class__.__name__ == "ScannerError")
    elif error.context_mark is not None:
        line = error.context_mark.line
    return f"line {line}: {error.problem}" if line else str(error.problem)


def _plain(node: Any) -> Any:
    """Convert what JSON doesn't have: dates, keys that aren't strings, and whole numbers with a fraction."""
    if isinstance(node, dict):
        return {_key(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, float):
        if node != node or node in (float("inf"), float("-inf")):
            raise ValueError("yaml is not convertible to json: json: unsupported value")
        return int(node) if node.is_integer() and abs(node) < 1e21 else node
    return node if node is None or isinstance(node, (bool, int, str)) else str(node)


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
