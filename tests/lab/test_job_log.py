"""Logs of jobs: from the workers, from the output commit, or gone; the reason of a failed job shows in any case."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.names import STAGE_LOG
from pdk_nb.platforms import mldm
from pdk_nb.stages.process import run_stage
from pdk_shared.errors import NotFound, ServiceUnreachable, TrainingError, UsageError
from tests.support.refusals import Refusal

# Pachyderm 2.8.10, src/server/pps/server/api_server.go: GetLogs.
NO_PODS = 'no pods belonging to the rc "pipeline-lab-deploy-v1" were found'
FAILED_LOG = f"/pfs/{64 * '4'}/out/{STAGE_LOG}"
NO_JOB = 'could not get job information for "abc": pps_jobs abc not found'


class Client:
    """A Pachyderm with one job."""

    def __init__(
        self,
        log: list[str] | Refusal,
        kept: str | None = None,
        state: int = pps_pb2.JOB_FAILURE,
        failed: str | None = None,
    ) -> None:
        self.log, self.kept, self.state, self.failed = log, kept, state, failed

    def get_job_logs(self, *given: Any, **named: Any) -> Iterator[Any]:
        if isinstance(self.log, Refusal):
            raise self.log
        yield from (SimpleNamespace(message=f"{line}\n", user=True) for line in self.log)
        yield SimpleNamespace(message="started process", user=False)

    @contextlib.contextmanager
    def get_file(self, commit: Any, path: str) -> Iterator[Any]:
        files = {("user", f"/{STAGE_LOG}"): self.kept, ("meta", FAILED_LOG): self.failed}
        content = files[commit.repo.type, path]
        if content is None:
            raise Refusal(f"file {path} not found", grpc.StatusCode.NOT_FOUND)
        yield io.BytesIO(content.encode())

    def glob_file(self, commit: Any, pattern: str) -> Iterator[Any]:
        assert (commit.repo.type, commit.id, pattern) == ("meta", "abc", f"/pfs/*/out/{STAGE_LOG}")
        if self.failed is not None:
            yield pfs_pb2.FileInfo(file=pfs_pb2.File(commit=commit, path=FAILED_LOG), file_type=pfs_pb2.FILE)

    def inspect_job(self, *given: Any, **named: Any) -> Iterator[Any]:
        yield pps_pb2.JobInfo(state=self.state, reason="datum 4f failed")


def log(client: Client) -> mldm.JobLog:
    return mldm.job_log(client, "lab", "deploy", "abc")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "kept", "lines", "note"),
    [
        (["one", "two"], None, ["one", "two"], ""),
        (["one"], "old copy", ["one"], ""),
        ([], None, [], ""),
        (Refusal(NO_PODS), "one\ntwo\n", ["one", "two"], "copy in the job's output commit"),
        (Refusal(NO_PODS), None, [], "workers are scaled down"),
        (Refusal('pods "deploy-v1-x" not found'), None, [], "not found"),
        (Refusal("container user is waiting to start: PodInitializing"), None, [], "PodInitializing"),
    ],
)
def test_a_log_that_is_gone_is_no_error(
    answer: list[str] | Refusal, kept: str | None, lines: list[str], note: str
) -> None:
    found = log(Client(answer, kept))
    assert (list(found.lines), bool(found.note)) == (lines, bool(note))
    assert note in found.note
    assert found.tail(1).splitlines()[-1:] == [*lines[-1:], *([found.note] if not lines and note else [])]


def test_the_log_of_a_failed_datum_is_found_in_the_meta_repo() -> None:
    found = log(Client(Refusal(NO_PODS), failed="code: main\nTrainingError: no such branch\n"))
    assert found.lines == ("code: main", "TrainingError: no such branch")
    assert "workers are scaled down" in found.note
    assert "failed datum" in found.note
    with pytest.raises(TrainingError, match="datum 4f failed[^$]*no such branch"):
        mldm.wait_job(Client(Refusal(NO_PODS), failed="no such branch"), "lab", "deploy", "abc", timeout=1)  # type: ignore[arg-type]


def test_no_answer_and_no_job_are_errors() -> None:
    with pytest.raises(ServiceUnreachable):
        log(Client(Refusal("failed to connect", grpc.StatusCode.UNAVAILABLE)))
    with pytest.raises(NotFound):
        log(Client(Refusal(NO_JOB)))


@pytest.mark.parametrize(
    "answer", [Refusal(NO_PODS), Refusal("gone", grpc.StatusCode.UNAVAILABLE), Refusal(NO_JOB), ["Traceback"]]
)
def test_the_reason_of_a_failed_job_shows_whatever_its_log_does(answer: list[str] | Refusal) -> None:
    with pytest.raises(TrainingError, match="datum 4f failed") as caught:
        mldm.wait_job(Client(answer), "lab", "deploy", "abc", timeout=1)  # type: ignore[arg-type]
    assert "ended as FAILURE" in caught.value.what
    assert ("Traceback" in caught.value.what) is (answer == ["Traceback"])


def test_a_stage_keeps_its_log_in_the_output_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PDK_PFS_ROOT", str(tmp_path))
    (tmp_path / "out").mkdir()
    assert run_stage(lambda: logging.getLogger("pdk.train").info("stored at %s", "s3://b/")) == 0
    kept = (tmp_path / "out" / STAGE_LOG).read_text()
    assert kept.endswith("stored at s3://b/\n")
    assert kept == capsys.readouterr().out


@pytest.mark.parametrize("error", [UsageError("no such option"), RuntimeError("no such thing")])
def test_a_stage_that_fails_keeps_its_log_with_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setenv("PDK_PFS_ROOT", str(tmp_path))
    (tmp_path / "out").mkdir()

    def fail() -> None:
        logging.getLogger("pdk.train").info("begins")
        raise error

    if isinstance(error, UsageError):
        assert run_stage(fail) == error.exit_code
    else:
        with pytest.raises(RuntimeError):
            run_stage(fail)
    (kept,) = (tmp_path / "out").iterdir()
    told = kept.read_text().splitlines()
    assert told[0].endswith("begins")
    assert "no such" in told[-1]
    assert type(error).__name__ in told[-1]
