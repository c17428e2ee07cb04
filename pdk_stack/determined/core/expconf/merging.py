"""Merges configurations as the master does.

Source: ``master/pkg/schemas/merge.go`` and the ``Merge`` methods of ``master/pkg/schemas/expconf``.
"""

from __future__ import annotations

import copy
from typing import Any, TypeGuard

from pdk_stack.determined.core.expconf.forms import log_action, variables_of

__all__ = ["joined", "merged"]

#: Lists that are joined; in all others the first one counts.
_JOINED = {"bind_mounts", "devices", "proxy_ports", "log_policies"}
#: Maps that name their form: two of different forms are not mixed.
_FORMS = {"checkpoint_storage": "type", "tensorboard_storage": "type", "searcher": "name"}
#: Maps without forms below them.
_LENGTHS = {"min_validation_period", "min_checkpoint_period", "max_length"}


def merged(config: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """Fill in missing values from ``layer``; merge maps and join lists as the master does."""
    result = dict(config)
    for key, value in layer.items():
        own = result.get(key)
        if own is None:
            result[key] = copy.deepcopy(value)
        elif value is None or key in _LENGTHS:
            continue
        elif key == "labels":
            result[key] = list(dict.fromkeys([*own, *value]))
        elif key == "environment_variables":
            result[key] = __joined_variables(own, value)
        elif key == "hyperparameters":
            result[key] = _merged_hyperparameters(own, value)
        elif isinstance(own, dict) and isinstance(value, dict):
            form = _FORMS.get(key)
            differs = form and own.get(form) is not None and value.get(form) is not None and own[form] != value[form]
            result[key] = own if differs else merged(own, value)
        elif isinstance(own, list) and isinstance(value, list) and key in _JOINED:
            result[key] = joined(key, own, value)
    return result


def joined(key: str, own: list[Any], more: list[Any]) -> list[Any]:
    """Join two lists of a configuration's entry; what has the same identity is taken from the first."""
    if key == "log_policies":
        known = {_identity(each) for each in own}
        return own + [each for each in more if _identity(each) not in known]
    place = {"proxy_ports": "proxy_port"}.get(key, "container_path")
    taken = {each.get(place) for each in own if isinstance(each, dict)}
    return own + [each for each in more if not isinstance(each, dict) or each.get(place) not in taken]


def _identity(policy: dict[str, Any]) -> tuple[Any, ...]:
    if policy.get("name") is not None:
        return (policy["name"],)
    return (log_action(policy.get("action")), policy.get("pattern"))


def __joined_variables(own: Any, more: Any) -> dict[str, list[str]]:
    first, last = variables_of(more), variables_of(own)
    # A later variable overrides an earlier one.
    return {device: first[device] + last[device] for device in last}


def _merged_hyperparameters(own: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Merge two spaces; only nested ones are merged below."""
    result = dict(own)
    for name, node in more.items():
        mine = result.get(name)
        if name not in result:
            result[name] = copy.deepcopy(node)
        elif _is_nested(mine) and _is_nested(node):
            result[name] = _merged_hyperparameters(mine, node)
    return result


def _is_nested(node: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(node, dict) and "type" not in node
