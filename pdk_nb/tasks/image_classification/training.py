"""What the stages need to know about pictures with classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdk_nb.labels import LabelRule
from pdk_nb.tasks.stage_task import COMMON_MODULES, StageTask
from pdk_shared.errors import DataError

__all__ = ["TASK", "ImageClassification"]


class ImageClassification(StageTask):
    """Pictures, whose names or folders give their classes."""

    name = "image-classification"
    modules = (*COMMON_MODULES, "pdk_nb/labels.py", "pdk_nb/photos.py", "pdk_shared/pictures.py")
    shared_modules = {
        "pdk_shared/__init__.py": "package of the shared modules",
        "pdk_shared/errors.py": "errors of the shared modules",
        "pdk_shared/pictures.py": "decoding of pictures, as in training",
    }
    roles = {"preprocess.py": "the evaluation transform, as in training"}

    def check_commit(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Refuse a commit without pictures of a class; see :meth:`StageTask.check_commit`."""
        classes = tuple(str(name) for name in (config.get("data") or {}).get("classes") or ())
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

    def architecture(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The hyperparameters that the network's shape depends on."""
        hyperparameters = config.get("hyperparameters") or {}
        return {key: hyperparameters[key] for key in ("model", "image_size", "width") if key in hyperparameters}

    def facts(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The side of the pictures that the model takes, in pixels; 0 when unknown."""
        return {"image_size": int((config.get("hyperparameters") or {}).get("image_size") or 0)}

    def input_shape(self, facts: Mapping[str, Any], hyperparameters: Mapping[str, Any]) -> tuple[int, ...]:
        """Channels, rows, columns; see :meth:`StageTask.input_shape`."""
        size = int(facts.get("image_size") or hyperparameters.get("image_size") or 0)
        if not size:
            raise self.unknown_input("The size of the model's pictures", "image_size: 224")
        return 3, size, size

    def handler_facts(self, facts: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
        """The side of the pictures, in pixels."""
        return {"image_size": shape[-1]}

    def default_classes(self) -> Sequence[str]:
        """The setup guide's classes."""
        return LabelRule().classes


TASK = ImageClassification()
