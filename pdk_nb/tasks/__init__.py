"""Tasks: the kinds of data and of answers that an example can be about.

A task is a package of this name below this one. ``training`` holds what the stages of the pipelines need, and imports
little, because the images have little installed; ``lab`` holds what the notebooks need. An example's contract names its
task (``docs/examples.md``).
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from pdk_nb.example import DEFAULT_TASK
from pdk_shared.errors import UsageError

if TYPE_CHECKING:
    from pdk_nb.session import Session
    from pdk_nb.tasks.lab_task import LabTask
    from pdk_nb.tasks.stage_task import StageTask

__all__ = ["TASKS", "for_lab", "for_stages"]

#: Every task, in the schema's order.
TASKS = ("image-classification", "tabular")


def for_stages(name: str = "") -> StageTask:
    """What the stages need to know about a task.

    Args:
        name: The task; the one of experiments that name none when empty.

    Raises:
        UsageError: There is no such task.
    """
    task: StageTask = _module(name or DEFAULT_TASK, "training").TASK
    return task


def for_lab(session: Session) -> LabTask:
    """What the notebooks need to know about the task of a session's example.

    Args:
        session: The session.

    Raises:
        SpecError: The example's contract is wrong.
    """
    task: LabTask = _module(session.example.task, "lab").TASK
    return task


def _module(name: str, part: str) -> ModuleType:
    if name not in TASKS:
        raise UsageError(f"There is no task '{name}'.", fix=f"Use one of: {', '.join(TASKS)}.")
    return importlib.import_module(f"pdk_nb.tasks.{name.replace('-', '_')}.{part}")
