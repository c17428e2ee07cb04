"""A trial's data: the files of a Pachyderm commit, and a checkpoint that keeps no secret.

This module travels with experiments, so it needs only the standard library and, to fetch, Pachyderm's client.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "clean_path",
    "commit_reference",
    "connect",
    "files_of",
    "is_empty",
    "remove_secrets",
    "stream",
    "token_of",
]


def connect(host: str, port: int | str, token: str) -> Any:
    """A Pachyderm client.

    Args:
        host: A name, or a URL with grpcs:// for TLS.
        port: The gRPC port; 30650 when empty.
        token: Empty in the community edition.
    """
    import python_pachyderm

    tls = str(host).startswith(("grpcs://", "https://"))
    name = str(host).rpartition("://")[2]
    return python_pachyderm.Client(host=name, port=int(port or 30650), auth_token=token or None, tls=tls)


def commit_reference(project: str, repo: str, name: str) -> dict[str, str]:
    """A commit by its id or branch. (The client's tuples can't contain a project.)"""
    key = "id" if len(name) == 32 and all(c in "0123456789abcdef" for c in name) else "branch"
    return {"project": project or "default", "repo": repo, key: name}


def clean_path(name: str) -> str:
    """The repo's path for a member of a tar stream.

    Raises:
        ValueError: It leads out of the repo.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise ValueError(f"refusing the path {name!r}")
    return "/".join(parts)


def is_empty(error: Exception) -> bool:
    """Whether an error says that the commit has no files at all."""
    text = f"{error} {error.__cause__ or ''}"  # the client hides the server's words in the cause
    return "file / not found" in text or "does not contain item: (/)" in text


def stream(client: Any, commit: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Path and contents of each file of a commit, in one tar stream.

    Args:
        client: A client.
        commit: The commit, as :func:`commit_reference` gives it.

    Raises:
        ValueError: A path leads out of the repo.
    """
    try:
        archive = client.get_file_tar(dict(commit), "/")
    except Exception as error:
        if is_empty(error):
            return
        raise
    with contextlib.closing(archive):
        for member in archive:
            opened = archive.extractfile(member) if member.isfile() else None
            if opened is not None:
                yield clean_path(member.name), opened.read()


def token_of(data: Mapping[str, Any]) -> str:
    """The Pachyderm token of an experiment's ``data`` block; empty in the community edition."""
    secret = (data.get("secrets") or {}).get("pachyderm_token")
    return str(secret or (data.get("pachyderm") or {}).get("token") or "")


def files_of(data: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Path and contents of each file of the commit that an experiment's ``data`` block names.

    Args:
        data: The block, with ``pachyderm``: host, port, repo, branch, project.

    Raises:
        ValueError: A path leads out of the repo.
    """
    block = data["pachyderm"]
    client = connect(block["host"], block.get("port") or "", token_of(data))
    yield from stream(client, commit_reference(block.get("project") or "", block["repo"], block["branch"]))


def remove_secrets(checkpoint: Path) -> None:
    """Take the Pachyderm token out of a checkpoint's description.

    Args:
        checkpoint: Folder of a checkpoint that is being written.
    """
    path = checkpoint / "load_data.json"
    if path.exists():
        content = json.loads(path.read_text())
        block = (content.get("experiment_config") or {}).get("data") or {}
        block.pop("secrets", None)
        if isinstance(block.get("pachyderm"), dict):
            block["pachyderm"]["token"] = ""
        path.write_text(json.dumps(content))
