"""Machine-readable reasons why a revision doesn't serve, derived from its processes' exit codes and logs."""

from __future__ import annotations

import re
from enum import Enum


class Reason(str, Enum):
    """One-word reason for a failure, used in events, pods, and conditions."""

    # KServe's own FailureReason (pkg/apis/serving/v1beta1/inference_service_status.go of v0.13.1).
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    INVALID_SPEC = "InvalidPredictorSpec"
    NO_RUNTIME = "NoSupportingRuntime"
    UNKNOWN_RUNTIME = "RuntimeNotRecognized"
    # Causes of ModelLoadFailed.
    HANDLER_IMPORT = "HandlerImportError"
    OUT_OF_MEMORY = "OutOfMemory"
    STORAGE_FAILED = "StorageFailed"
    STORAGE_NOT_FOUND = "StorageNotFound"
    # Kubernetes' and Knative's terms.
    OOM_KILLED = "OOMKilled"
    TIMEOUT = "ProgressDeadlineExceeded"
    UNSCHEDULABLE = "Unschedulable"
    UNHEALTHY = "Unhealthy"
    # KServe's controller and Kubernetes, for what nobody foresaw.
    INTERNAL_ERROR = "InternalError"

    @property
    def in_spec(self) -> bool:
        """Whether the spec itself is at fault, which KServe reports as ``InvalidSpec``."""
        return self in (Reason.INVALID_SPEC, Reason.NO_RUNTIME, Reason.UNKNOWN_RUNTIME)

    @property
    def of_kserve(self) -> Reason:
        """The reason as ``lastFailureInfo`` allows it."""
        return self if self.in_spec else Reason.MODEL_LOAD_FAILED


class ModelServerError(Exception):
    """A revision can't serve; the message says why.

    Args:
        message: Human-readable cause.
        exit_code: Exit code of the process that failed.
        reason: One-word cause.
    """

    def __init__(self, message: str, exit_code: int = 1, reason: Reason = Reason.MODEL_LOAD_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.reason = reason


class Superseded(Exception):
    """A newer revision was requested, so this one is no longer needed."""


# Patterns in a model server's log; the first match wins.
SIGNS = (
    (Reason.OUT_OF_MEMORY, re.compile(r"OutOfMemoryError|MemoryError|can't allocate memory|CUDA out of memory")),
    (Reason.HANDLER_IMPORT, re.compile(r"ModuleNotFoundError|ImportError|SyntaxError|IndentationError")),
)
# Killed by signal 9, as a process and as a shell report it.
KILLED = (-9, 137)


def reason_of(log: str, exit_code: int = 1) -> Reason:
    """Return why a model server failed to start.

    Args:
        log: The text of its log.
        exit_code: Exit code of its process.
    """
    if exit_code in KILLED:
        # Only the system kills a model server this way, when memory runs out.
        return Reason.OOM_KILLED
    return next((reason for reason, sign in SIGNS if sign.search(log)), Reason.MODEL_LOAD_FAILED)


PYTHON_ERROR = re.compile(r"(?!java\.|org\.|io\.)[\w.]+(Error|Exception)\b(:|$)")
# Skip stack trace lines, and Java's messages about the end of a worker.
ERROR = re.compile(r"(?!at |io\.netty).*(Error|Exception)")


def last_error(log: str) -> str:
    """Return the last error line of a model server's log; Python's errors take precedence over the front end's."""
    lines = log.splitlines()
    messages = [line.rsplit(" - ", 1)[-1].strip() for line in lines]
    errors = [each for each in messages if PYTHON_ERROR.match(each)] or [each for each in messages if ERROR.match(each)]
    found = errors or lines[-1:] or ["no output"]
    return found[-1][:400]
