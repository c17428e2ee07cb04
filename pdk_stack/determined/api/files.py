"""The files of an experiment's code, one by one."""

from __future__ import annotations

import base64
import io
import posixpath
import tarfile
from datetime import datetime, timezone
from typing import Any

from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.errors import not_found
from pdk_stack.determined.timestamps import written

#: How some contents begin (``http.DetectContentType`` of Go).
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"%PDF-": "application/pdf",
    b"PK\x03\x04": "application/zip",
    b"\x1f\x8b\x08": "application/x-gzip",
}
LOOKED_AT = 512
_BINARY = frozenset(range(0x20)) - frozenset(b"\t\n\x0c\r\x1b")


def _content_type(content: bytes) -> str:
    start = content[:LOOKED_AT]
    for signature, kind in SIGNATURES.items():
        if start.startswith(signature):
            return kind
    return "application/octet-stream" if _BINARY.intersection(start) else "text/plain; charset=utf-8"


def _members(request: Request, key: int) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """Return the files and folders of an experiment's code by path.

    Raises:
        Refusal: The experiment doesn't exist.
    """
    request.master.experiments.experiment(key)
    packed = request.master.store.get_blob("model_definition", key)
    if not packed:
        return {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        return {
            posixpath.normpath(member.name): (member, file.read() if (file := archive.extractfile(member)) else b"")
            for member in archive
        }


@route("GET", "/api/v1/experiments/{key}/file_tree")
def file_tree(request: Request, key: int) -> dict[str, Any]:
    top: list[dict[str, Any]] = []
    nodes: dict[str, dict[str, Any]] = {}
    for path, (member, content) in _members(request, key).items():
        nodes[path] = {
            "path": path,
            "name": posixpath.basename(path),
            "modifiedTime": written(datetime.fromtimestamp(member.mtime, timezone.utc)),
            "contentLength": len(content),
            "isDir": member.isdir(),
            "contentType": _content_type(content),
            "files": [],
        }
    for path, node in nodes.items():
        parent = nodes.get(posixpath.dirname(path))
        (parent["files"] if parent is not None and parent is not node else top).append(node)
    return {"files": top}


@route("POST", "/api/v1/experiments/{key}/file")
def file_content(request: Request, key: int) -> dict[str, Any]:
    found = _members(request, key).get(request.get("path") or "")
    if found is None or found[0].isdir():
        raise not_found("file does not exist")
    return {"file": base64.b64encode(found[1]).decode()}
