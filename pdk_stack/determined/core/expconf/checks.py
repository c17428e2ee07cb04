"""Checks an experiment configuration against ``rules`` and locates each error."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.core.expconf.rules import BY_KEY, EXPERIMENT, HYPERPARAMETER_KINDS, STORAGE_KEYS, Field

__all__ = ["errors_in"]


def errors_in(config: dict[str, Any]) -> list[str]:
    """Return a configuration's errors as ``<config>.path: reason`` lines; empty when it is valid."""
    found: list[str] = []
    _check_map(config, EXPERIMENT, "<config>", found)
    _check_hyperparameters(config.get("hyperparameters"), "<config>.hyperparameters", found)
    _check_searcher(config, found)
    return found


def _check_map(node: dict[str, Any], fields: dict[str, Field], where: str, found: list[str]) -> None:
    for key in node:
        if key not in fields:
            found.append(f"{where}.{key}: unknown field")
    for key, field in fields.items():
        if key in node:
            _check_field(node[key], field, f"{where}.{key}", found)


_TYPE_NAMES = {"object": dict, "array": list, "string": str, "boolean": bool}


def _has_type(value: Any, name: str) -> bool:
    if name == "null":
        return value is None
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, _TYPE_NAMES[name])


def _check_field(value: Any, field: Field, where: str, found: list[str]) -> None:
    if value is None and field.nullable:
        return
    if field.types and not any(_has_type(value, name) for name in field.types):
        found.append(f"{where}: must be of type {' or '.join(field.types)}, got {value!r}")
        return
    if field.choices and value not in field.choices:
        found.append(f"{where}: must be one of {', '.join(map(repr, field.choices))}, got {value!r}")
    if field.minimum is not None and isinstance(value, (int, float)) and value < field.minimum:
        found.append(f"{where}: must be at least {field.minimum}, got {value!r}")
    if field.above is not None and isinstance(value, (int, float)) and value <= field.above:
        found.append(f"{where}: must be greater than {field.above}, got {value!r}")
    if field.maximum is not None and isinstance(value, (int, float)) and value > field.maximum:
        found.append(f"{where}: must be at most {field.maximum}, got {value!r}")
    if field.items and isinstance(value, list):
        for index, each in enumerate(value):
            _check_field(each, field.items, f"{where}[{index}]", found)
    if isinstance(value, dict):
        if field.union:
            _check_union(value, field.union, where, found)
        elif field.length:
            _check_length(value, where, found)
        elif field.fields is not None:
            _check_map(value, field.fields, where, found)


def _check_union(value: dict[str, Any], key: str, where: str, found: list[str]) -> None:
    known = BY_KEY[key]
    chosen = value.get(key)
    if chosen is None and key == "type":
        # Storage settings without a type extend the cluster's own.
        for each in value:
            if each not in STORAGE_KEYS:
                found.append(f"{where}.{each}: unknown field")
        return
    if not isinstance(chosen, str) or chosen not in known:
        names = ", ".join(f"'{name}'" for name in known)
        found.append(f'{where}: is not an object where object["{key}"] is one of {names}')
        return
    _check_map(value, known[chosen], where, found)


def _check_length(value: dict[str, Any], where: str, found: list[str]) -> None:
    if len(value) != 1 or next(iter(value)) not in ("batches", "records", "epochs"):
        found.append(f'{where}: a length object must have one attribute named "batches", "records", or "epochs"')
        return
    unit, number = next(iter(value.items()))
    if not _has_type(number, "integer") or number < 0:
        found.append(f"{where}.{unit}: must be an integer of at least 0, got {number!r}")


def _check_hyperparameters(space: Any, where: str, found: list[str]) -> None:
    if not isinstance(space, dict):
        return
    for name, node in space.items():
        here = f"{where}.{name}"
        if not isinstance(node, dict):
            continue
        kind = node.get("type")
        if kind is None or isinstance(kind, dict):
            _check_hyperparameters(node, here, found)
        elif kind not in HYPERPARAMETER_KINDS:
            found.append(
                f'{here}: if a hyperparameter object\'s ["type"] is set, it must be one of "int", "double", "log", '
                f'"const", or "categorical", got {kind!r}'
            )
        else:
            fields = HYPERPARAMETER_KINDS[kind]
            _check_map(node, fields, here, found)
            missing = [key for key, field in fields.items() if field.required and key not in node]
            found += [f"{here}: {key} is a required property" for key in missing]
            low, high = node.get("minval"), node.get("maxval")
            if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low >= high:
                found.append(f"{here}: minval must be less than maxval")
            if kind == "categorical" and node.get("vals") == []:
                found.append(f"{here}.vals: must not be empty")


def _check_searcher(config: dict[str, Any], found: list[str]) -> None:
    searcher = config.get("searcher")
    if not isinstance(searcher, dict):
        return
    if searcher.get("name") == "grid":
        _check_grid(config.get("hyperparameters") or {}, "<config>.hyperparameters", found)


def _check_grid(space: dict[str, Any], where: str, found: list[str]) -> None:
    for name, node in space.items():
        if not isinstance(node, dict):
            continue
        kind = node.get("type")
        if not isinstance(kind, str):
            _check_grid(node, f"{where}.{name}", found)
        elif kind in ("int", "double", "log") and node.get("count") is None:
            found.append(f"{where}.{name}: grid search is in use but count was not provided")
