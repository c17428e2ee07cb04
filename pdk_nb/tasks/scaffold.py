"""A new example: a copy of the task's own, under another name, that works before anything in it is changed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pdk_nb.example import CONTRACT, Example, find, known
from pdk_nb.tasks.notebooks import CHANGES
from pdk_shared.errors import UsageError

__all__ = ["TEMPLATES", "create"]

#: The example that a new one of a task begins as.
TEMPLATES = {"tabular": "churn"}
NAME = re.compile(r"[a-z](-?[a-z0-9])*")
# A participant's name, the example's, and a pipeline's, which begins with it, are in the names of pods.
LONGEST = 8
# What a copy doesn't take along: rendered specs, and what belongs to the template's own data.
LEFT = shutil.ignore_patterns("pipelines", CHANGES, "__pycache__", ".*")


def create(name: str, task: str, root: Path) -> Example:
    """Write a new example, and its pipeline specs.

    Args:
        name: Folder name under ``examples``; also the beginning of its names on the cluster.
        task: The task.
        root: Folder of the examples.

    Returns:
        The example.

    Raises:
        UsageError: The name is taken or can't be used, or there is no template of the task.
    """
    if task not in TEMPLATES:
        raise UsageError(f"There is no template for the task '{task}'.", fix=f"Use one of: {', '.join(TEMPLATES)}.")
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"'{name}' isn't a valid name for an example.",
            fix=f"Use up to {LONGEST} lowercase letters, digits, and single '-', starting with a letter.",
        )
    if (root / name).exists():
        raise UsageError(f"There is an example '{name}' already.", where=str(root / name))
    template = find(TEMPLATES[task], root)
    taken = {value for other in known(root) for value in find(other, root).names.values()}
    shutil.copytree(template.folder, root / name, ignore=LEFT)
    words = _words(template.name, name)
    handler = Path(template.handler)
    (root / name / handler).rename(root / name / handler.with_name(f"{name.replace('-', '_')}_handler.py"))
    for path in sorted((root / name).rglob("*")):
        if path.suffix in (".py", ".yaml", ".sh"):
            _rewrite(path, words)
    contract = root / name / CONTRACT
    text = contract.read_text(encoding="utf-8").replace(f"title: {template.title}", f"title: {name}")
    contract.write_text(text, encoding="utf-8")
    made = find(name, root)
    # A workspace can be shared; everything else is the example's own.
    shared = {value for kind, value in made.names.items() if kind != "workspace"} & taken
    assert not shared, shared
    return made


def _words(old: str, new: str) -> dict[str, str]:
    """What stands for the template's name in its files, and what replaces it."""
    camel = "".join(part.capitalize() for part in new.split("-"))
    return {
        f"{old}_handler": f"{new.replace('-', '_')}_handler",
        f"{old.capitalize()}Handler": f"{camel}Handler",
        f"{old.capitalize()}Model": f"{camel}Model",
        old: new,
    }


def _rewrite(path: Path, words: dict[str, str]) -> None:
    """Replace words that stand alone: ``churned`` is a column, and stays."""
    text = path.read_text(encoding="utf-8")
    for old, new in words.items():
        text = re.sub(rf"(?<![A-Za-z]){re.escape(old)}(?![a-z])", new, text)
    path.write_text(text, encoding="utf-8")
