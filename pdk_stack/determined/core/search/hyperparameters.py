"""Samples a hyperparameter space, or enumerates its grid.

Source of values and rounding: the master's ``master/pkg/searcher/hyperparameters.go`` and ``grid.go``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from pdk_stack.determined.core.search.randomness import RandomState

__all__ = ["grid", "grid_size", "sample"]

TYPES = ("const", "int", "double", "log", "categorical")


def _kind(node: Any) -> str | None:
    kind = node.get("type") if isinstance(node, dict) else None
    return kind if isinstance(kind, str) else None


def sample(space: dict[str, Any], source: RandomState) -> dict[str, Any]:
    """Sample one point of the space, in sorted order of names, so that a seed always gives the same point.

    The master draws nested ones in any order, so those agree only where the order has no effect.
    """
    return {name: _sample_one(space[name], source) for name in sorted(space)}


def _sample_one(node: Any, source: RandomState) -> Any:
    kind = _kind(node)
    if not isinstance(node, dict):
        return node
    if kind is None:
        return sample(node, source)
    if kind == "const":
        return node["val"]
    if kind == "int":
        return node["minval"] + source.below(node["maxval"] - node["minval"] + 1)
    if kind == "double":
        return source.uniform(node["minval"], node["maxval"])
    if kind == "log":
        return math.pow(node["base"], source.uniform(node["minval"], node["maxval"]))
    # The master stops at an empty list; here the trial gets nothing.
    return node["vals"][source.below(len(node["vals"]))] if node["vals"] else None


def grid(space: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all grid points of the space; each numeric axis has ``count`` points."""
    axes = list(_axes(space, ()))
    points = []
    for combination in itertools.product(*(values for _, values in axes)):
        point: dict[str, Any] = {}
        for (route, _), value in zip(axes, combination, strict=True):
            target = point
            for name in route[:-1]:
                target = target.setdefault(name, {})
            target[route[-1]] = value
        points.append(point)
    return points


def grid_size(space: dict[str, Any]) -> int:
    """Return the number of grid points of the space."""
    return math.prod(_axis_size(node) for node in space.values())


def _axis_size(node: Any) -> int:
    kind = _kind(node)
    if kind is None:
        return grid_size(node) if isinstance(node, dict) else 1
    if kind in ("const", "categorical"):
        return 1 if kind == "const" else len(node["vals"])
    count = int(node["count"])
    return min(count, node["maxval"] - node["minval"] + 1) if kind == "int" else count


def _axes(space: dict[str, Any], route: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    for name in sorted(space):
        node, here = space[name], (*route, name)
        kind = _kind(node)
        if not isinstance(node, dict):
            yield here, [node]
        elif kind is None:
            if node:
                yield from _axes(node, here)
            else:
                yield here, [{}]
        elif kind == "const":
            yield here, [node["val"]]
        elif kind == "categorical":
            yield here, list(node["vals"])
        else:
            yield here, _points(kind, node)


def _points(kind: str, node: dict[str, Any]) -> list[Any]:
    low, high, count = node["minval"], node["maxval"], node["count"]
    if kind == "int":
        count = min(count, high - low + 1)
    steps = [(low + high) / 2] if count == 1 else [low + i * (high - low) / (count - 1) for i in range(count)]
    if kind == "int":
        return [math.floor(step + 0.5) if step >= 0 else math.ceil(step - 0.5) for step in steps]
    return [node["base"] ** step for step in steps] if kind == "log" else steps
