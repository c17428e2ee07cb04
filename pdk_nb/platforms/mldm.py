"""Pachyderm from notebooks: projects, repos, commits, pipelines and jobs, through ``python-pachyderm``.

Every call names the project: the client's short forms (tuples) can only mean the project ``default``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timezone
from pathlib import Path
from typing import Any, Literal

import grpc
import python_pachyderm
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.photos import refused_name
from pdk_nb.settings import Settings
from pdk_nb.specs.diff import normal_form, running
from pdk_shared.errors import DataError, PdkError, ServiceUnreachable, SpecError, TrainingError

ENDED = frozenset({"FAILURE", "SUCCESS", "KILLED", "UNRUNNABLE"})
JOB_STATES = {value: name.removeprefix("JOB_") for name, value in pps_pb2.JobState.items()}
PIPELINE_STATES = {value: name.removeprefix("PIPELINE_") for name, value in pps_pb2.PipelineState.items()}
POLL_S = 0.3
Outcome = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True)
class Job:
    """One job of one pipeline.

    Attributes:
        id: The job's id, which is the commit set's id everywhere.
        state: ``CREATED``, ``STARTING``, ``RUNNING``, ``FINISHING``, ``SUCCESS``, ``FAILURE``, ``KILLED`` …
        reason: Why it failed or waits; empty when there is nothing to say.
        seconds: How long it has run, or ran.
        started: When it began, in seconds since the epoch; 0 before.
        finished: When it ended; 0 before.
    """

    id: str
    pipeline: str
    state: str
    reason: str
    seconds: float
    started: float = 0.0
    finished: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED


def open_client(settings: Settings) -> python_pachyderm.Client:
    """A client for the cluster's Pachyderm; nothing has been asked yet.

    Raises:
        SettingsError: The address is missing.
    """
    settings.require("mldm_host", "mldm_port")
    tls = settings.mldm_url.startswith(("https://", "grpcs://"))
    return python_pachyderm.Client(
        host=settings.mldm_host,
        port=settings.mldm_port,
        auth_token=settings.pac_token.reveal() or None,
        tls=tls,
        use_default_host=False,
    )


def connect(settings: Settings) -> python_pachyderm.Client:
    """A client for the cluster's Pachyderm, checked by asking for its version.

    Raises:
        SettingsError: The address is missing.
        ServiceUnreachable: It does not answer, or refuses the token.
    """
    client = open_client(settings)
    where = f"{settings.mldm_host}:{settings.mldm_port}"
    try:
        list(client.list_project())
    except (grpc.RpcError, ConnectionError) as error:
        raise ServiceUnreachable(
            f"Pachyderm does not answer as it should: {reason(error)}",
            where=where,
            fix="Compare mldm_host and mldm_port in pdk-config, and pac_token in pipeline-secret, with the cluster.",
        ) from error
    return client


def version(client: python_pachyderm.Client) -> str:
    """The server's version, e.g. ``2.8.4``."""
    found = client.get_remote_version()
    return f"{found.major}.{found.minor}.{found.micro}{found.additional}"


def reason(error: Exception) -> str:
    """The server's own words of an error."""
    details = getattr(error, "details", None)
    return str(details() if callable(details) else error)


def is_not_found(error: Exception) -> bool:
    """Whether an error says that the thing does not exist."""
    code = getattr(error, "code", None)
    return callable(code) and code() == grpc.StatusCode.NOT_FOUND


def commit_of(project: str, repo: str, *, branch: str = "", id: str = "") -> pfs_pb2.Commit:
    """A commit by branch or by id, with its project."""
    home = pfs_pb2.Repo(name=repo, type="user", project=pfs_pb2.Project(name=project))
    return pfs_pb2.Commit(repo=home, id=id, branch=pfs_pb2.Branch(repo=home, name=branch))


def ensure_project(client: python_pachyderm.Client, project: str, description: str = "") -> Outcome:
    """Create a project unless it is there."""
    if any(info.project.name == project for info in client.list_project()):
        return "unchanged"
    client.create_project(project, description)
    return "created"


def ensure_repo(client: python_pachyderm.Client, project: str, repo: str, description: str = "") -> Outcome:
    """Create a repo unless it is there."""
    try:
        client.inspect_repo(repo, project_name=project)
    except grpc.RpcError as error:
        if not is_not_found(error):
            raise
        client.create_repo(repo, description, project_name=project)
        return "created"
    return "unchanged"


def ensure_pipeline(client: python_pachyderm.Client, spec: Mapping[str, Any]) -> Outcome:
    """Create a pipeline, or update it when its spec has changed.

    Args:
        client: A client.
        spec: The spec as Pachyderm's JSON, keys in snake_case or camelCase.

    Raises:
        SpecError: Pachyderm refuses the spec.
    """
    wanted = python_pachyderm.parse_dict_pipeline_spec(dict(spec))
    name, project = wanted.pipeline.name, wanted.pipeline.project.name
    current = pipeline_info(client, project, name)
    if current is not None and normal_form(wanted) == normal_form(running(current)):
        return "unchanged"
    wanted.update = current is not None
    try:
        client.create_pipeline_from_request(wanted)
    except grpc.RpcError as error:
        raise SpecError(
            f"Pachyderm refuses the pipeline: {reason(error)}",
            where=f"pipeline {project}/{name}",
            fix="Mend the spec; `pachctl create pipeline -f` gives the same answer.",
        ) from error
    return "updated" if current is not None else "created"


def pipeline_info(client: python_pachyderm.Client, project: str, name: str) -> pps_pb2.PipelineInfo | None:
    """A pipeline with its details; None when it is not there."""
    try:
        return next(iter(client.inspect_pipeline(name, details=True, project_name=project)))
    except grpc.RpcError as error:
        if not is_not_found(error):
            raise
        return None


def pipelines(client: python_pachyderm.Client, project: str) -> dict[str, tuple[str, str]]:
    """State and reason of each pipeline of a project, by name."""
    found = {}
    for info in client.list_pipeline():
        if info.pipeline.project.name == project:
            found[info.pipeline.name] = (PIPELINE_STATES.get(info.state, str(info.state)), info.reason)
    return found


def images(client: python_pachyderm.Client, project: str) -> dict[str, str]:
    """Image of each pipeline of a project, by the pipeline's name."""
    return {
        info.pipeline.name: info.details.transform.image
        for info in client.list_pipeline(details=True)
        if info.pipeline.project.name == project
    }


def _pipeline_details(client: python_pachyderm.Client, project: str, pipeline: str) -> Any:
    """Details of a pipeline; None when there is no such pipeline."""
    try:
        return next(iter(client.inspect_pipeline(pipeline, details=True, project_name=project))).details
    except grpc.RpcError as error:
        if is_not_found(error):
            return None
        raise


def pipeline_command(client: python_pachyderm.Client, project: str, pipeline: str) -> str:
    """The shell lines that a pipeline runs; empty when there is no such pipeline."""
    details = _pipeline_details(client, project, pipeline)
    return "\n".join(details.transform.stdin) if details is not None else ""


def pipeline_input(client: python_pachyderm.Client, project: str, pipeline: str) -> str:
    """The repo whose commits start a pipeline; empty when there is no such pipeline."""
    details = _pipeline_details(client, project, pipeline)
    return str(details.input.pfs.repo) if details is not None else ""


def repos(client: python_pachyderm.Client, project: str) -> list[str]:
    """Names of the user repos of a project."""
    return sorted(info.repo.name for info in client.list_repo() if info.repo.project.name == project)


def head(client: python_pachyderm.Client, project: str, repo: str, branch: str = "master") -> str:
    """Id of a branch's newest commit; empty when the branch has none."""
    try:
        info = client.inspect_branch(repo, branch, project_name=project)
    except grpc.RpcError as error:
        if is_not_found(error):
            return ""
        raise
    return str(info.head.id)


def commits(client: python_pachyderm.Client, project: str, repo: str) -> list[str]:
    """Ids of a repo's commits, newest first; none while there is no such repo."""
    try:
        return [info.commit.id for info in client.list_commit(repo, project_name=project)]
    except grpc.RpcError as error:
        if is_not_found(error):
            return []
        raise


def files(client: python_pachyderm.Client, commit: pfs_pb2.Commit, path: str = "/") -> dict[str, int]:
    """Paths and sizes (bytes) of all files below a path."""
    try:
        infos = list(client.walk_file(commit, path))
    except grpc.RpcError as error:
        if is_not_found(error) or "not found" in reason(error) or "does not contain" in reason(error):
            return {}
        raise
    return {info.file.path: int(info.size_bytes) for info in infos if info.file_type == pfs_pb2.FILE}


def read_file(client: python_pachyderm.Client, commit: pfs_pb2.Commit, path: str) -> bytes:
    """The bytes of one file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with client.get_file(commit, path) as handle:
            return bytes(handle.read())
    except (grpc.RpcError, ConnectionError) as error:
        raise DataError(f"The file cannot be read: {reason(error)}", where=path) from error


def next_folder(client: python_pachyderm.Client, project: str, repo: str, stem: str = "data") -> str:
    """The first of ``data1``, ``data2`` … that the repo does not have yet."""
    taken = {path.split("/")[1] for path in files(client, commit_of(project, repo, branch="master"))}
    number = 1
    while f"{stem}{number}" in taken:
        number += 1
    return f"{stem}{number}"


def find_same(client: python_pachyderm.Client, project: str, repo: str, wanted: Mapping[str, Path]) -> str:
    """The folder of a repo that already holds exactly these files; empty when there is none.

    Args:
        client: A client.
        project: The repo's project.
        repo: The repo.
        wanted: Local files by their path inside the folder.
    """
    commit = commit_of(project, repo, branch="master")
    folders: dict[str, dict[str, int]] = {}
    for path, size in files(client, commit).items():
        _, folder, rest = path.split("/", 2) if path.count("/") > 1 else ("", "", path)
        folders.setdefault(folder, {})[rest] = size
    sizes = {path: local.stat().st_size for path, local in wanted.items()}
    for folder, present in folders.items():
        if (
            folder
            and present == sizes
            and _hashes(client, commit, folder)
            == {path: hashlib.sha256(local.read_bytes()).hexdigest() for path, local in wanted.items()}
        ):
            return folder
    return ""


def _hashes(client: python_pachyderm.Client, commit: pfs_pb2.Commit, folder: str) -> dict[str, str]:
    """SHA-256 of every file of a folder, read as one tar stream."""
    prefix = f"/{folder}/"
    found = {}
    with client.get_file_tar(commit, f"/{folder}") as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member)
                path = "/" + member.name.lstrip("/")
                found[path.removeprefix(prefix)] = hashlib.sha256(content.read() if content else b"").hexdigest()
    return found


def commit_files(
    client: python_pachyderm.Client,
    project: str,
    repo: str,
    folder: str,
    wanted: Mapping[str, Path],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Commit local files into a folder of a repo: one request, so all of them or none.

    ``python_pachyderm.put_files`` sends one message per line of a file; this sends each file whole.

    Args:
        client: A client.
        project: The repo's project.
        repo: The repo.
        folder: Folder in the repo.
        wanted: Local files by their path inside the folder.
        progress: Told the files sent and their total.

    Returns:
        The id of the commit.

    Raises:
        DataError: There is nothing to commit, Pachyderm would refuse a name, or it refuses the commit.
    """
    if not wanted:
        raise DataError("There is nothing to commit.", where=f"{project}/{repo}:/{folder}")
    refused = [path for path in (folder, *wanted) if refused_name(path)]
    if refused:
        raise DataError(
            f"Pachyderm refuses {len(refused)} name(s): {', '.join(refused[:5])}.",
            where=f"{project}/{repo}:/{folder}",
            fix="Rename them; the scan offers a name for each.",
        )
    try:
        with client.modify_file_client(commit_of(project, repo, branch="master")) as request:
            for done, (path, local) in enumerate(sorted(wanted.items()), start=1):
                request.put_file_from_bytes(f"/{folder}/{path}", local.read_bytes())
                progress(done, len(wanted))
    except grpc.RpcError as error:
        raise DataError(
            f"Pachyderm refuses the commit: {reason(error)}", where=f"{project}/{repo}:/{folder}"
        ) from error
    return head(client, project, repo)


def job(client: python_pachyderm.Client, project: str, pipeline: str, id: str) -> Job | None:
    """A job by the id that ties everything; None while it does not exist."""
    try:
        info = next(iter(client.inspect_job(id, pipeline, project_name=project)))
    except grpc.RpcError as error:
        if is_not_found(error):
            return None
        raise
    started = info.started.ToDatetime(timezone.utc).timestamp() if info.HasField("started") else 0.0
    finished = info.finished.ToDatetime(timezone.utc).timestamp() if info.HasField("finished") else 0.0
    seconds = max(0.0, (finished or time.time()) - started) if started else 0.0
    return Job(id, pipeline, JOB_STATES.get(info.state, str(info.state)), info.reason, seconds, started, finished)


def commit_finished(client: python_pachyderm.Client, commit: pfs_pb2.Commit) -> float:
    """When a commit was finished, in seconds since the epoch; 0 while it is open.

    Raises:
        DataError: There is no such commit.
    """
    try:
        info = next(iter(client.inspect_commit(commit)))
    except grpc.RpcError as error:
        raise DataError(f"There is no such commit: {reason(error)}", where=commit.id) from error
    return float(info.finished.ToDatetime(timezone.utc).timestamp()) if info.HasField("finished") else 0.0


def jobs(client: python_pachyderm.Client, project: str, pipeline: str) -> list[str]:
    """Ids of a pipeline's jobs, newest first."""
    return [info.job.id for info in client.list_job(pipeline, project_name=project)]


def last_success(client: python_pachyderm.Client, project: str, pipeline: str) -> str:
    """Id of the newest job whose own code has run and succeeded; empty when none has.

    A job over an empty commit succeeds without starting any code.
    """
    for info in client.list_job(pipeline, project_name=project):
        if info.state == pps_pb2.JOB_SUCCESS and info.data_processed:
            return str(info.job.id)
    return ""


def wait_job(
    client: python_pachyderm.Client,
    project: str,
    pipeline: str,
    id: str,
    *,
    timeout: float,
    progress: Callable[[Job | None], None] = lambda job: None,
) -> Job:
    """Wait until a job has ended.

    Raises:
        TrainingError: It failed, or did not end in time; the message has the end of its log.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = job(client, project, pipeline, id)
        progress(found)
        if found and found.ended:
            break
        if time.monotonic() > deadline:
            state = found.state if found else "not created"
            raise TrainingError(
                f"The job did not end within {timeout:.0f} s; it is {state}. {found.reason if found else ''}".strip(),
                where=f"{project}/{pipeline}@{id}",
                fix=f"pachctl logs --project {project} --pipeline {pipeline}",
            )
        time.sleep(POLL_S)
    if found.state != "SUCCESS":
        tail = "\n".join(log_lines(client, project, pipeline, id)[-15:])
        raise TrainingError(
            f"The job ended as {found.state}: {found.reason}\n{tail}".rstrip(),
            where=f"{project}/{pipeline}@{id}",
            fix="Mend what the log says, then commit again or update the pipeline with --reprocess.",
        )
    return found


def log_lines(client: python_pachyderm.Client, project: str, pipeline: str, id: str) -> list[str]:
    """What a job's own code has printed."""
    try:
        messages = list(client.get_job_logs(pipeline, id, project_name=project))
    except grpc.RpcError as error:
        raise PdkError(f"The log cannot be read: {reason(error)}", where=f"{project}/{pipeline}@{id}") from error
    return [message.message.rstrip("\n") for message in messages if message.user]
