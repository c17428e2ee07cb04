"""``model-info.yaml``: what the train stage hands to the deploy stage.

The first four keys (name, version, pipeline, repo) are those of the PDK examples. The others spare guesses: the
version's number in the registry, where the model comes from, what its outputs mean.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from pdk_shared.errors import SpecError

__all__ = ["FILE_NAME", "ModelInfo"]

FILE_NAME = "model-info.yaml"
REQUIRED = ("name", "version", "pipeline", "repo")


@dataclass(frozen=True)
class ModelInfo:
    """One registered model version.

    Attributes:
        name: Registry model.
        version: Version name: the commit and job id.
        pipeline: The train pipeline.
        repo: Its input repo.
        number: Version number in the registry; 0 when unknown.
        project: Pachyderm project.
        checkpoint: Checkpoint uuid.
        experiment: Experiment id; 0 when unknown.
        trial: Trial id; 0 when unknown.
        classes: Class names, in the order of the model's outputs.
        metric: Name and value of the metric that the checkpoint was chosen by.
        code_sha: Commit of the experiment's code, or ``sha256:...`` of a folder without history.
        git_url: Where that code came from.
        resumed_from: Version name that training resumed from; empty after training from scratch.
        task: The task; the default one when empty.
        extra: Other fields, among them what the task keeps.
    """

    name: str
    version: str
    pipeline: str
    repo: str
    number: int = 0
    project: str = ""
    checkpoint: str = ""
    experiment: int = 0
    trial: int = 0
    classes: tuple[str, ...] = ()
    metric: tuple[str, float] | None = None
    code_sha: str = ""
    git_url: str = ""
    resumed_from: str = ""
    task: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def dump(self) -> str:
        """The file's text."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        values["classes"] = list(self.classes)
        values["metric"] = {"name": self.metric[0], "value": self.metric[1]} if self.metric else None
        return yaml.safe_dump({**values, **self.extra}, sort_keys=False, allow_unicode=True)

    def save(self, folder: Path) -> Path:
        """Write ``model-info.yaml`` in one step: readers see the whole file or none."""
        path = folder / FILE_NAME
        partial = folder / f".{FILE_NAME}.partial"
        partial.write_text(self.dump(), encoding="utf-8")
        os.replace(partial, path)
        return path

    @classmethod
    def load(cls, path: Path) -> ModelInfo:
        """Read a file, or the file ``model-info.yaml`` of a folder. Files with only the first four keys are accepted.

        Raises:
            SpecError: The file is missing, not a YAML mapping, or lacks one of the first four keys.
        """
        path = path / FILE_NAME if path.is_dir() else path
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SpecError(
                f"The model's description can't be read: {error.strerror}",
                where=str(path),
                fix="check the train pipeline's job: it writes this file last",
            ) from error
        except yaml.YAMLError as error:
            raise SpecError(f"The model's description isn't YAML: {error}", where=str(path)) from error
        if not isinstance(values, dict):
            raise SpecError("The model's description isn't a mapping.", where=str(path))
        missing = [key for key in REQUIRED if not values.get(key)]
        if missing:
            raise SpecError(f"The model's description lacks {', '.join(missing)}.", where=str(path))
        try:
            return cls._from_mapping(values)
        except (TypeError, ValueError, KeyError) as error:
            raise SpecError(f"The model's description has a wrong value: {error}", where=str(path)) from error

    @classmethod
    def _from_mapping(cls, values: dict[str, Any]) -> ModelInfo:
        metric = values.get("metric") or None
        text = (*REQUIRED, "project", "checkpoint", "code_sha", "git_url", "resumed_from", "task")
        number = ("number", "experiment", "trial")
        plain: dict[str, Any] = {key: str(values.get(key) or "") for key in text}
        plain |= {key: int(values.get(key) or 0) for key in number}
        known = {f.name for f in fields(cls)}
        return cls(
            **plain,
            classes=tuple(str(name) for name in values.get("classes") or ()),
            metric=(str(metric["name"]), float(metric["value"])) if metric else None,
            extra={key: value for key, value in values.items() if key not in known},
        )
