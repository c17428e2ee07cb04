"""The typed stations of a journey. A station that doesn't exist yet has only its name.

A journey is plain data: its views don't call a platform, so two views of one journey never contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pdk_nb.display.diagrams import State
from pdk_nb.journey.states import drawn
from pdk_nb.platforms.mlde import Progress
from pdk_nb.platforms.mldm import Job
from pdk_nb.platforms.serving.predictions import Prediction
from pdk_nb.platforms.serving.status import ServiceStatus

__all__ = [
    "Checkpoint",
    "Code",
    "Commit",
    "Experiment",
    "Journey",
    "Metric",
    "PipelineRun",
    "Provenance",
    "Service",
    "Version",
]


@dataclass(frozen=True)
class Commit:
    """The commit of the data repo.

    Attributes:
        project: Pachyderm project.
        repo: Name of the data repo.
        id: The commit's id; empty while there is none.
        repo_exists: Whether the repo exists.
        finished: When the commit was finished, in seconds since the epoch; 0 while it is open.
        lost: Why the commit can't be read; empty when it can.
        files: Size in bytes of each file, by path; None unless the reader was asked for files.
    """

    project: str
    repo: str
    id: str = ""
    repo_exists: bool = False
    finished: float = 0.0
    lost: str = ""
    files: Mapping[str, int] | None = None


@dataclass(frozen=True)
class PipelineRun:
    """A pipeline and the job that it runs for the commit.

    Attributes:
        pipeline: The pipeline's name.
        pipeline_state: Its state; empty while there is no such pipeline.
        pipeline_reason: Why it is in that state; empty when Pachyderm gives no reason.
        job: The commit's job; None while there is none.
    """

    pipeline: str
    pipeline_state: str = ""
    pipeline_reason: str = ""
    job: Job | None = None

    @property
    def state(self) -> State:
        """State for the drawing; without a job, whether the pipeline is broken or waits."""
        if self.job is not None:
            return drawn(self.job.state)
        return "failed" if self.pipeline_state and drawn(self.pipeline_state) == "failed" else "waiting"


@dataclass(frozen=True)
class Experiment:
    """The experiment that the train job started.

    Attributes:
        id: Determined's number.
        progress: State, trial, batches, and times.
        config: Its configuration in Determined's form.
    """

    id: int
    progress: Progress
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """State for the drawing."""
        return drawn(self.progress.state)


@dataclass(frozen=True)
class Code:
    """The experiment's code: repository address, branch or tag, and commit (or content hash)."""

    url: str = ""
    ref: str = ""
    sha: str = ""


@dataclass(frozen=True)
class Metric:
    """The metric that selected the registered checkpoint."""

    name: str
    value: float

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3f}"


@dataclass(frozen=True)
class Provenance:
    """The origin of a model version, as recorded by the train stage in the version's metadata.

    Attributes:
        project: Pachyderm project.
        repo: Data repo.
        commit: The data repo's commit.
        pipeline: Train pipeline.
        job: Train job.
        experiment: Determined's number; 0 without a record.
        trial: Determined's number; None without a record.
        code: The experiment's code.
        classes: Class names in the order of the model's outputs.
        metric: Metric of the registered checkpoint.
        resumed_from: Name of the version that training resumed from; empty after a full training.
    """

    project: str = ""
    repo: str = ""
    commit: str = ""
    pipeline: str = ""
    job: str = ""
    experiment: int = 0
    trial: int | None = None
    code: Code = Code()
    classes: tuple[str, ...] = ()
    metric: Metric | None = None
    resumed_from: str = ""

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Provenance:
        """Read a version's metadata. Any part may be missing, or have another form if another tool wrote it.

        Args:
            metadata: The metadata in the registry.
        """
        texts = ("project", "repo", "commit", "pipeline", "job", "resumed_from")
        code, metric = _mapping(metadata.get("code")), _mapping(metadata.get("metric"))
        value, classes, trial = metric.get("value"), metadata.get("classes"), metadata.get("trial")
        return cls(
            **{key: str(metadata.get(key) or "") for key in texts},
            experiment=_number(metadata.get("experiment")),
            trial=None if trial is None else _number(trial),
            code=Code(**{key: str(code.get(key) or "") for key in ("url", "ref", "sha")}),
            classes=tuple(map(str, classes)) if isinstance(classes, list) else (),
            metric=Metric(str(metric.get("name", "")), float(value)) if isinstance(value, (int, float)) else None,
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> int:
    return int(value) if str(value).isdigit() else 0


@dataclass(frozen=True)
class Checkpoint:
    """A registered checkpoint.

    Attributes:
        uuid: Its id.
        experiment: Number of the experiment that wrote it; 0 when unknown.
        reported: When it was written, in seconds since the epoch; 0 when unknown.
    """

    uuid: str
    experiment: int = 0
    reported: float = 0.0


@dataclass(frozen=True)
class Version:
    """The model version named after the commit.

    Attributes:
        number: Its number in the registry.
        name: Its name.
        checkpoint: The registered checkpoint.
        provenance: Its origin.
        continued_as: Names of the versions that resumed from this one.
    """

    number: int
    name: str
    checkpoint: Checkpoint | None = None
    provenance: Provenance = Provenance()
    continued_as: tuple[str, ...] = ()


@dataclass(frozen=True)
class Service:
    """The service that answers.

    Attributes:
        name: Its name.
        status: Its state; None while the service doesn't exist.
        record: The record of the journey's version in the service's history; empty when it never served it.
    """

    name: str
    status: ServiceStatus | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answers_with(self) -> str:
        """Name of the version in service; empty while there is none."""
        return self.status.version if self.status is not None and self.status.ready else ""

    def has(self, version: str) -> bool:
        """Whether a version is the one that was deployed last.

        Args:
            version: Name of the version.
        """
        return self.status is not None and self.status.version == version


@dataclass(frozen=True)
class Journey:
    """All stations from a commit to an answer, at one moment.

    Attributes:
        id: The id that links the stations; empty before the first commit.
        model: Name of the registry's model.
        commit: The data.
        train: The train pipeline with its job.
        deploy: The deploy pipeline with its job.
        service: The service.
        experiment: The experiment; None while there is none.
        version: The model version; None while there is none.
        answer: The answer that is traced; None without one.
    """

    id: str
    model: str
    commit: Commit
    train: PipelineRun
    deploy: PipelineRun
    service: Service
    experiment: Experiment | None = None
    version: Version | None = None
    answer: Prediction | None = None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The registered checkpoint."""
        return self.version.checkpoint if self.version is not None else None

    @property
    def provenance(self) -> Provenance:
        """The origin recorded in the version's metadata; nothing without a version."""
        return self.version.provenance if self.version is not None else Provenance()

    @property
    def service_state(self) -> State:
        """State of the service for the drawing: waiting while it serves another commit, running until it's ready."""
        if self.service.status is None:
            return "waiting"
        if not self.service.status.ready:
            return "running"
        return "waiting" if self.id and not self.service.has(self.id) else "done"
