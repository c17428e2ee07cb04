"""Pachyderm's commits and the files in them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timezone
from pathlib import Path
from typing import Any

import python_pachyderm
from google.protobuf import json_format
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.counting import counted
from pdk_nb.photos import refused_name
from pdk_nb.platforms.mldm._errors import api_errors
from pdk_shared.errors import DataError, NotFound


def commit_of(project: str, repo: str, *, branch: str = "", id: str = "", kind: str = "user") -> pfs_pb2.Commit:
    """A commit by branch or by id, with its project.

    Args:
        project: The repo's project.
        repo: The repo.
        branch: The branch.
        id: The commit.
        kind: Pachyderm's type of the repo: ``user``, or ``meta`` for what it keeps of a pipeline's datums.
    """
    home = pfs_pb2.Repo(name=repo, type=kind, project=pfs_pb2.Project(name=project))
    return pfs_pb2.Commit(repo=home, id=id, branch=pfs_pb2.Branch(repo=home, name=branch))


def head(client: python_pachyderm.Client, project: str, repo: str, branch: str = "master") -> str:
    """Id of a branch's newest commit; empty when the branch has none."""
    with contextlib.suppress(NotFound), api_errors(f"{project}/{repo}@{branch}"):
        return str(client.inspect_branch(repo, branch, project_name=project).head.id)
    return ""


def newest(client: python_pachyderm.Client, project: str, repo: str, branch: str = "master") -> str:
    """Id of a branch's newest commit with files; empty when its head has none.

    Pachyderm gives a branch an empty head, and the pipelines that start with it a job, before anybody commits.
    """
    id = head(client, project, repo, branch)
    return id if id and has_files(client, commit_of(project, repo, id=id)) else ""


def has_files(client: python_pachyderm.Client, commit: pfs_pb2.Commit) -> bool:
    """Whether a commit contains any file or folder.

    Raises:
        DataError: There is no such commit.
    """
    with api_errors(commit.id, "Can't list the commit's files", DataError):
        return any(True for _ in client.list_file(commit, "/"))


def commits(client: python_pachyderm.Client, project: str, repo: str) -> list[str]:
    """Ids of a repo's commits, newest first; none while there is no such repo."""
    with contextlib.suppress(NotFound), api_errors(f"{project}/{repo}"):
        return [info.commit.id for info in client.list_commit(repo, project_name=project)]
    return []


def commit_finished(client: python_pachyderm.Client, commit: pfs_pb2.Commit) -> float:
    """When a commit was finished, in seconds since the epoch; 0 while it is open.

    Raises:
        DataError: There is no such commit.
    """
    with api_errors(commit.id, "There is no such commit", DataError):
        info = next(iter(client.inspect_commit(commit)))
    return float(info.finished.ToDatetime(timezone.utc).timestamp()) if info.HasField("finished") else 0.0


def commit_data(client: python_pachyderm.Client, commit: pfs_pb2.Commit) -> dict[str, Any]:
    """A commit as plain data, with the keys of ``pachctl inspect commit --raw``.

    Raises:
        DataError: There is no such commit.
    """
    with api_errors(commit.id, "There is no such commit", DataError):
        info = next(iter(client.inspect_commit(commit)))
    return dict(json_format.MessageToDict(info, preserving_proto_field_name=True))


def datums(client: python_pachyderm.Client, project: str, repo: str, glob: str) -> list[str]:
    """The file or folder of each datum that a glob would make of a repo's newest commit, sorted.

    Raises:
        DataError: Pachyderm refuses the glob.
    """
    pfs = pps_pb2.PFSInput(project=project, repo=repo, branch="master", glob=glob)
    with api_errors(f"{project}/{repo}:{glob}", "Pachyderm refuses the glob", DataError):
        return sorted(str(info.data[0].file.path) for info in client.list_datum(input=pps_pb2.Input(pfs=pfs)))


def datum_count(client: python_pachyderm.Client, project: str, repo: str, glob: str) -> int:
    """How many datums a glob would make of a repo's newest commit.

    Raises:
        DataError: Pachyderm refuses the glob.
    """
    return len(datums(client, project, repo, glob))


def files(client: python_pachyderm.Client, commit: pfs_pb2.Commit, path: str = "/") -> dict[str, int]:
    """Paths and sizes (bytes) of all files below a path."""
    with contextlib.suppress(NotFound), api_errors(_shown(commit, path)):
        infos = list(client.walk_file(commit, path))
        return {info.file.path: int(info.size_bytes) for info in infos if info.file_type == pfs_pb2.FILE}
    return {}


def find_files(client: python_pachyderm.Client, commit: pfs_pb2.Commit, pattern: str) -> list[str]:
    """Paths of the files that match one of Pachyderm's glob patterns; none where there is no such commit."""
    with contextlib.suppress(NotFound), api_errors(_shown(commit, pattern)):
        found = client.glob_file(commit, pattern)
        return [str(info.file.path) for info in found if info.file_type == pfs_pb2.FILE]
    return []


def file_size(client: python_pachyderm.Client, commit: pfs_pb2.Commit, path: str) -> int:
    """The size of one file in bytes.

    Raises:
        NotFound: There is no such file.
    """
    with api_errors(_shown(commit, path)):
        info = client.inspect_file(commit, path)
    if info.file_type != pfs_pb2.FILE:
        raise NotFound("This is a folder.", where=_shown(commit, path))
    return int(info.size_bytes)


def read_file(client: python_pachyderm.Client, commit: pfs_pb2.Commit, path: str) -> bytes:
    """The bytes of one file.

    Raises:
        DataError: It cannot be read.
    """
    with api_errors(path, "The file can't be read", DataError), client.get_file(commit, path) as handle:
        return bytes(handle.read())


def read_files(client: python_pachyderm.Client, commit: pfs_pb2.Commit) -> dict[str, bytes]:
    """All files of a commit by their paths, read as one tar stream; none where there is no such commit, or no file."""
    found: dict[str, bytes] = {}
    with contextlib.suppress(NotFound), api_errors(_shown(commit, "/")), client.get_file_tar(commit, "/") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                found["/" + member.name.lstrip("/")] = content.read()
    return found


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
    with api_errors(_shown(commit, prefix)), client.get_file_tar(commit, f"/{folder}") as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member)
                path = "/" + member.name.lstrip("/")
                found[path.removeprefix(prefix)] = hashlib.sha256(content.read() if content else b"").hexdigest()
    return found


def _shown(commit: pfs_pb2.Commit, path: str) -> str:
    return f"{commit.repo.project.name}/{commit.repo.name}@{commit.id or commit.branch.name}:{path}"


def commit_files(
    client: python_pachyderm.Client,
    project: str,
    repo: str,
    folder: str,
    wanted: Mapping[str, Path],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    description: str = "",
    remove: Sequence[str] = (),
) -> str:
    """Commit local files into a folder of a repo: one request, so all of them or none.

    ``python_pachyderm.put_files`` sends one message per line of a file; this sends each file whole.

    Args:
        client: A client.
        project: The repo's project.
        repo: The repo.
        folder: Folder in the repo.
        wanted: Local files by their path inside the folder.
        progress: Called with the files sent and their total.
        description: The commit's description.
        remove: Paths inside the folder to delete in the same commit.

    Returns:
        The id of the commit.

    Raises:
        DataError: There is nothing to commit, Pachyderm would refuse a name, or it refuses the commit.
    """
    where = f"{project}/{repo}:/{folder}"
    if not wanted:
        raise DataError("There is nothing to commit.", where=where)
    refused = [path for path in (folder, *wanted) if refused_name(path)]
    if refused:
        raise DataError(
            f"Pachyderm refuses {counted(len(refused), 'name')}: {', '.join(refused[:5])}.",
            where=where,
            fix="Rename them; the scan suggests a name for each.",
        )
    with (
        api_errors(where, "Pachyderm refuses the commit", DataError),
        _described(client, project, repo, description) as commit,
        client.modify_file_client(commit) as request,
    ):
        for path in remove:
            request.delete_file(f"/{folder}/{path}")
        for done, (path, local) in enumerate(sorted(wanted.items()), start=1):
            request.put_file_from_bytes(f"/{folder}/{path}", local.read_bytes())
            progress(done, len(wanted))
    return head(client, project, repo)


def commit_file(client: python_pachyderm.Client, project: str, repo: str, path: str, content: bytes) -> str:
    """Commit one file; it replaces the file that is there.

    Args:
        client: A client.
        project: The repo's project.
        repo: The repo.
        path: The file's path in the repo.
        content: Its bytes.

    Returns:
        The id of the commit.

    Raises:
        DataError: Pachyderm refuses the commit.
    """
    with (
        api_errors(f"{project}/{repo}:/{path}", "Pachyderm refuses the commit", DataError),
        client.modify_file_client(commit_of(project, repo, branch="master")) as request,
    ):
        request.put_file_from_bytes(f"/{path}", content)
    return head(client, project, repo)


def commit_again(client: python_pachyderm.Client, project: str, repo: str, description: str) -> str:
    """Make a commit that changes nothing: the pipelines process it, and what has failed is tried again.

    What has succeeded is skipped: a datum of the same files is processed once.

    Args:
        client: A client.
        project: The repo's project.
        repo: The repo.
        description: The commit's description.

    Returns:
        The id of the commit.

    Raises:
        DataError: Pachyderm refuses the commit.
    """
    with api_errors(f"{project}/{repo}", "Pachyderm refuses the commit", DataError):
        commit = client.start_commit(repo, "master", description=description, project_name=project)
        client.finish_commit(commit)
    return str(commit.id)


@contextlib.contextmanager
def _described(client: python_pachyderm.Client, project: str, repo: str, description: str) -> Iterator[pfs_pb2.Commit]:
    """The commit to write to: the branch itself, or an open commit with a description, which an error removes."""
    if not description:
        yield commit_of(project, repo, branch="master")
        return
    commit = client.start_commit(repo, "master", description=description, project_name=project)
    try:
        yield commit
    except BaseException:
        client.drop_commit(commit.id)
        raise
    client.finish_commit(commit)
