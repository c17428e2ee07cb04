"""The result of a run: as ``summary.json``, and as text for people."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pdk_nb.headless import score

__all__ = ["NotebookResult", "RunResult", "collect", "versions"]

VERSIONED = (
    "pdk-lab",
    "determined",
    "kserve",
    "kubernetes",
    "python-pachyderm",
    "torch",
    "torchvision",
    "jupyterlab",
    "papermill",
)


@dataclass
class NotebookResult:
    """One executed notebook.

    Attributes:
        name: File name without its suffix.
        status: ``passed``, ``failed`` or ``not run``.
        seconds: Duration.
        checks: Findings of its closing check: ``state``, ``text``, and ``fix`` of each.
        error: What failed, in which cell; empty when it passed.
    """

    name: str
    status: str = "not run"
    seconds: float = 0.0
    checks: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""


@dataclass
class RunResult:
    """One run of the walkthrough; ``summary.json`` contains all of it except the folder.

    Attributes:
        id: Name of its folder.
        status: ``passed`` or ``failed``.
        seconds: Duration.
        seconds_to_first_prediction: From the start to the first answer of a service; None without an answer.
        notebooks: One for each notebook, in order.
        predictions: ``image``, ``expected``, ``label``, and ``correct`` (None when unknown) of each answer; ``image``
            names what was asked about, whatever it is.
        versions: Versions of Python, the system, and the main packages.
        folder: Folder of the results.
    """

    id: str
    status: str
    seconds: float
    seconds_to_first_prediction: float | None
    notebooks: list[NotebookResult]
    predictions: list[dict[str, Any]]
    versions: dict[str, str]
    folder: Path

    def summary(self) -> dict[str, Any]:
        """The summary as plain data."""
        content = asdict(self)
        content.pop("folder")
        return content

    def lines(self) -> Iterator[str]:
        """The result for people, line by line."""
        if self.predictions:
            yield from ("", f"{'ASKED ABOUT':<28} {'SHOULD BE':<10} {'PREDICTED':<10}")
            for each in self.predictions:
                mark = {True: "right", False: "WRONG"}.get(each["correct"], "")
                yield f"{each['image']:<28} {each['expected'] or '-':<10} {each['label']:<10} {mark}"
            yield f"{score(self.predictions)} predictions are right."
        yield ""
        if self.seconds_to_first_prediction is not None:
            yield f"First prediction after {self.seconds_to_first_prediction:.0f} s, total {self.seconds:.0f} s."
        yield f"Notebooks: {self.folder}"
        yield f"Report:    {self.folder / 'summary.json'}"
        for notebook in self.notebooks:
            if notebook.error:
                yield f"FAILED: {notebook.error}"
                yield f"  see: {self.folder / (notebook.name + '.html')}"
        yield f"The run {self.status}."


def collect(
    folder: Path,
    status: str,
    seconds: float,
    started_at: float,
    notebooks: list[NotebookResult],
    events: Sequence[Mapping[str, Any]],
) -> RunResult:
    """Collect the result of a run.

    Args:
        folder: The run's folder.
        status: ``passed`` or ``failed``.
        seconds: Duration.
        started_at: Start time, in seconds since the epoch.
        notebooks: One result for each notebook.
        events: Events that the notebooks logged.
    """
    answers = [each for each in events if each["kind"] == "prediction"]
    predictions = [{key: each[key] for key in ("image", "expected", "label", "correct")} for each in answers]
    first = round(answers[0]["time"] - started_at, 2) if answers else None
    return RunResult(folder.name, status, round(seconds, 2), first, notebooks, predictions, versions(), folder)


def versions() -> dict[str, str]:
    """Versions of the software that the run used."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
