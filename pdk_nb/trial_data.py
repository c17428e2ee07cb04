"""A trial's data: the files of a Pachyderm commit, and a checkpoint that keeps no secret.

This module travels with experiments, so it needs only the standard library and, to fetch, Pachyderm's client.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["commit_reference", "files_of", "remove_secrets", "token_of"]


def commit_reference(project: str, repo: str, name: str) -> dict[str, str]:
    """A commit by its id or branch. (The client's tuples can't contain a project.)"""
    key = "id" if len(name) == 32 and all(c in "0123456789abcdef" for c in name) else "branch"
    return {"project": project or "default", "repo": repo, key: name}


def token_of(data: Mapping[str, Any]) -> str:
    """The Pachyderm token of an experiment's ``data`` block; empty in the community edition."""
    secret = (data.get("secrets") or {}).get("pachyderm_token")
    return str(secret or (data.get("pachyderm") or {}).get("token") or "")


def files_of(data: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Path and contents of each file of the commit that an experiment's ``data`` block names, in one tar stream.

    Args:
        data: The block, with ``pachyderm``: host (a name, or a URL with grpcs:// for TLS), port, repo, branch, project.

    Raises:
        ValueError: A path leads out of the repo.
    """
    import python_pachyderm

    block = data["pachyderm"]
    host = str(block["host"])
    client = python_pachyderm.Client(
        host=host.rpartition("://")[2],
        port=int(block.get("port") or 30650),
        auth_token=token_of(data) or None,
        tls=host.startswith(("grpcs://", "https://")),
    )
    commit = commit_reference(block.get("project") or "", block["repo"], block["branch"])
    try:
        archive = client.get_file_tar(commit, "/")
    except Exception as error:
        # An empty commit; the client hides the server's words in the cause.
        words = f"{error} {error.__cause__ or ''}"
        if "file / not found" in words or "does not contain item: (/)" in words:
            return
        raise
    with contextlib.closing(archive):
        for member in archive:
            opened = archive.extractfile(member) if member.isfile() else None
            if opened is not None:
                parts = [part for part in member.name.split("/") if part not in ("", ".")]
                if not parts or ".." in parts:
                    raise ValueError(f"refusing the path {member.name!r}")
                yield "/".join(parts), opened.read()


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
