"""Why a revision does not serve: reasons for programs, read from how its processes ended and what they wrote."""

from __future__ import annotations

import re
from enum import Enum


class Reason(str, Enum):
    """One word for a failure; events, pods and conditions carry it."""

    # KServe's own FailureReason (pkg/apis/serving/v1beta1/inference_service_status.go of v0.13.1).
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    INVALID_SPEC = "InvalidPredictorSpec"
    NO_RUNTIME = "NoSupportingRuntime"
    UNKNOWN_RUNTIME = "RuntimeNotRecognized"
    # What a ModelLoadFailed comes from.
    HANDLER_IMPORT = "HandlerImportError"
    OUT_OF_MEMORY = "OutOfMemory"
    STORAGE_FAILED = "StorageFailed"
    STORAGE_NOT_FOUND = "StorageNotFound"
    # Kubernetes' and Knative's words.
    OOM_KILLED = "OOMKilled"
    TIMEOUT = "ProgressDeadlineExceeded"
    UNSCHEDULABLE = "Unschedulable"

    @property
    def in_spec(self) -> bool:
        """Whether the InferenceService itself asks for what cannot be had; KServe says ``InvalidSpec`` then."""
        return self in (Reason.INVALID_SPEC, Reason.NO_RUNTIME, Reason.UNKNOWN_RUNTIME)

    @property
    def of_kserve(self) -> Reason:
        """The word that ``lastFailureInfo`` may hold."""
        return self if self.in_spec else Reason.MODEL_LOAD_FAILED


class ModelServerError(Exception):
    """A revision cannot serve; the text says why.

    Args:
        message: Text for people.
        exit_code: Exit code of the process that failed.
        reason: The same in one word.
    """

    def __init__(self, message: str, exit_code: int = 1, reason: Reason = Reason.MODEL_LOAD_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.reason = reason


class Superseded(Exception):
    """A newer revision has been asked for; this one is not needed any more."""


# What the log of a model server says, the first that fits.
SIGNS = (
    (Reason.OUT_OF_MEMORY, re.compile(r"OutOfMemoryError|MemoryError|can't allocate memory|CUDA out of memory")),
    (Reason.HANDLER_IMPORT, re.compile(r"ModuleNotFoundError|ImportError|SyntaxError|IndentationError")),
)
# Killed by signal 9, as a process and as a shell report it.
KILLED = (-9, 137)


def reason_of(log: str, exit_code: int = 1) -> Reason:
    """Why a model server did not come up.

    Args:
        log: What it wrote.
        exit_code: How its process ended.
    """
    if exit_code in KILLED:
        # Nobody else kills a model server that way: the system does, when memory runs out.
        return Reason.OOM_KILLED
    return next((reason for reason, sign in SIGNS if sign.search(log)), Reason.MODEL_LOAD_FAILED)


PYTHON_ERROR = re.compile(r"(?!java\.|org\.|io\.)[\w.]+(Error|Exception)\b(:|$)")
# Not a line of a stack trace, and not what Java says of the worker's end.
ERROR = re.compile(r"(?!at |io\.netty).*(Error|Exception)")


def last_error(log: str) -> str:
    """The last line of a model server's log that says what went wrong; Python's own words before the front end's."""
    lines = log.splitlines()
    messages = [line.rsplit(" - ", 1)[-1].strip() for line in lines]
    errors = [each for each in messages if PYTHON_ERROR.match(each)] or [each for each in messages if ERROR.match(each)]
    found = errors or lines[-1:] or ["no output"]
    return found[-1][:400]
