"""The classes of a model, and whether a commit has pictures of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdk_nb.labels import LabelRule, parse_classes
from pdk_nb.stages import experiment
from pdk_shared.errors import DataError

__all__ = ["check_file_names", "classes_of", "with_classes"]


def with_classes(config: Mapping[str, Any], named: str) -> dict[str, Any]:
    """The configuration with other classes.

    Args:
        config: The experiment's configuration.
        named: Class names, separated by commas; the configuration's own when empty.
    """
    own = {"data": {"classes": list(LabelRule(parse_classes(named)).classes)}} if named else {}
    return experiment.merge(config, own)


def classes_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names in a configuration, in the order of the model's outputs."""
    return tuple(str(name) for name in (config.get("data") or {}).get("classes") or ())


def check_file_names(folder: Path, classes: tuple[str, ...]) -> None:
    """Refuse a commit by its file names alone: the worker sees them, and no experiment needs to start."""
    if len(classes) < 2 or not folder.is_dir():
        return
    rule = LabelRule(classes)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    found = {rule.label(name) for name in names} - {None}
    if len(found) == len(classes):
        return
    missing = ", ".join(name for index, name in enumerate(classes) if index not in found)
    raise DataError(
        f"The commit has no picture of class {missing} ({len(names)} files by name).",
        where=str(folder),
        fix="name files like cat.1.jpg, or put them in folders named after their class, and commit them",
    )
