"""Errors for people: each says what happened, where, and what to do next.

::

    PdkError
      + UsageError           the command line or a notebook parameter is wrong
      + SettingsError        pdk-config, pipeline-secret or the kubeconfig is missing or incomplete
      + ServiceUnreachable   a platform does not answer, or refuses the credentials
      + NotFound             a platform does not have what was asked for
      + DataError            pictures, labels or file names cannot be used
      + SpecError            a pipeline spec or an experiment config is wrong
      + ImageError           an image cannot be built or pushed
      + SourceError          the experiment's code cannot be fetched
      + TrainingError        an experiment or the train stage failed
      + DeploymentError      an archive, an upload or an InferenceService failed
      + PredictionError      a prediction request was refused or failed
      + CheckFailed          a notebook's closing check is not met
      + StackError           the embedded stack cannot start, stop or be found
"""

from __future__ import annotations

__all__ = [
    "CheckFailed",
    "DataError",
    "DeploymentError",
    "ImageError",
    "NotFound",
    "PdkError",
    "PredictionError",
    "NoAnswer",
    "ServiceUnreachable",
    "SettingsError",
    "SourceError",
    "SpecError",
    "StackError",
    "TrainingError",
    "UsageError",
]


class PdkError(Exception):
    """Base of all errors that PDK Lab raises on purpose.

    Args:
        what: What happened, one sentence.
        where: The file, address, object or flag that it happened to.
        fix: What the reader should do next, as a command where there is one.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  what to do: {self.fix}")
        return "\n".join(lines)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows instead of a traceback: people need the three lines, not forty of ours."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(PdkError):
    """The command line or a notebook parameter is wrong."""

    exit_code = 2


class SettingsError(PdkError):
    """pdk-config, pipeline-secret or the kubeconfig is missing or incomplete."""


class ServiceUnreachable(PdkError):
    """A platform does not answer, or refuses the credentials."""


class NoAnswer(ServiceUnreachable):
    """A platform cannot be reached at all: it may be starting again, so a wait has patience with it."""


class NotFound(PdkError):
    """A platform does not have what was asked for."""


class DataError(PdkError):
    """Pictures, labels or file names cannot be used."""


class SpecError(PdkError):
    """A pipeline spec or an experiment config is wrong."""


class ImageError(PdkError):
    """An image cannot be built or pushed."""


class SourceError(PdkError):
    """The experiment's code cannot be fetched."""


class TrainingError(PdkError):
    """An experiment or the train stage failed."""


class DeploymentError(PdkError):
    """An archive, an upload or an InferenceService failed."""


class PredictionError(PdkError):
    """A prediction request was refused or failed."""


class CheckFailed(PdkError):
    """A notebook's closing check is not met."""


class StackError(PdkError):
    """The embedded stack cannot start, stop or be found."""
