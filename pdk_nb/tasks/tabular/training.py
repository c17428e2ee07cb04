"""What the stages need to know about rows with classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pdk_nb.tasks.stage_task import COMMON_MODULES, StageTask
from pdk_shared.errors import DataError

__all__ = ["TASK", "Tabular"]

SUFFIX = ".csv"


class Tabular(StageTask):
    """CSV files; the experiment's configuration says which columns the model reads, and which has the answer."""

    name = "tabular"
    modules = (*COMMON_MODULES, "pdk_nb/labels.py")
    shared_modules: ClassVar[Mapping[str, str]] = {}
    roles = {"preprocess.py": "how a row becomes the model's input, as in training"}

    def check_commit(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Refuse a commit without a CSV file; see :meth:`StageTask.check_commit`."""
        if not folder.is_dir():
            return
        names = [path.name for path in folder.rglob("*") if not path.is_dir()]
        if not any(name.lower().endswith(SUFFIX) for name in names):
            raise DataError(
                f"The commit has no CSV file ({len(names)} files by name).",
                where=str(folder),
                fix="commit a file whose name ends in .csv, with a line of column names at its top",
            )

    def architecture(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The network's width, and the inputs that it reads, in their order; not how a panel shows them."""
        width = (config.get("hyperparameters") or {}).get("width")
        columns = self._columns(config)
        inputs = [{key: each[key] for key in ("name", "kind", "values") if key in each} for each in columns]
        return {"width": width, "columns": inputs}

    def facts(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The columns that the model reads."""
        return {"columns": [dict(column) for column in self._columns(config)]}

    def input_shape(self, facts: Mapping[str, Any], hyperparameters: Mapping[str, Any]) -> tuple[int, ...]:
        """Number of inputs; see :meth:`StageTask.input_shape`."""
        columns = facts.get("columns") or ()
        if not columns:
            raise self.unknown_input("What the model reads", "columns: [...], as in the experiment's configuration")
        return (sum(len(each["values"]) if each["kind"] == "category" else 1 for each in columns),)

    def handler_facts(self, facts: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
        """The columns that the model reads."""
        return {"columns": facts["columns"]}

    @staticmethod
    def _columns(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return list((config.get("data") or {}).get("columns") or ())


TASK = Tabular()
