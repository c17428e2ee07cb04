"""Objects in parts (``multipart.go`` in ``src/server/pfs/s3``).

As on the server, the parts are files of a repo of their own, at ``repo/type/branch/commit/key/upload/number``, beside a
``.keep`` that stands for the upload. So parts are stored once: the object shares their content. They stay there after
the upload is complete or aborted, until somebody deletes the repo.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar
from xml.etree import ElementTree

from starlette.responses import Response

from pdk_stack.pachyderm.api.s3.bodies import read_body, read_document, require_length
from pdk_stack.pachyderm.api.s3.buckets import Buckets, modified
from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.api.s3.messages import (
    Request,
    child_text,
    element,
    empty,
    iso_time,
    local_name,
    parse_document,
    result,
    user,
)
from pdk_stack.pachyderm.api.s3.reading import LOCATION, STORAGE_CLASS, etag
from pdk_stack.pachyderm.api.s3.writing import Writing
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import branches, repos
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk, find_branch, find_repo
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import BranchKey, Bucket, Commit, CommitRef, RepoKey
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import DEFAULT_PROJECT, check_path, clean_path, new_id
from pdk_stack.pachyderm.store.tree import FoundEntry, Tree

BRANCH = BranchKey(RepoKey(DEFAULT_PROJECT, "_s3gateway_multipart_"), "master")
KEEP = ".keep"
MAX_UPLOADS = MAX_PARTS = 1000
MAX_PART_NUMBER = 10_000
MIN_PART_BYTES = 5 << 20
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")

T = TypeVar("T")


class Multipart:
    """Handles uploads in parts.

    Args:
        engine: The store.
        buckets: The gateway's buckets.
        writing: Writes the objects.
    """

    def __init__(self, engine: Engine, buckets: Buckets, writing: Writing) -> None:
        self._engine = engine
        self._buckets = buckets
        self._writing = writing

    def begin(self, request: Request) -> Response:
        """Handle ``POST /bucket/key?uploads``."""
        bucket = self._writing.writable(request.bucket)
        upload_id = new_id()
        keep = f"{_folder(bucket, request.key, upload_id)}/{KEEP}"
        try:
            check_path(keep)
        except Fault as error:
            raise S3Error("InvalidFilePath") from error
        self._ensure_branch()
        self._put(keep, iter(()))
        return result("InitiateMultipartUploadResult", _place(request) + element("UploadId", upload_id))

    def put_part(self, request: Request) -> Response:
        """Handle ``PUT /bucket/key?uploadId``; as on the server, ``x-amz-copy-source`` has no effect on a part."""
        number = request.number("partNumber", MAX_PART_NUMBER, 0)
        folder, _ = self._upload(request)
        path = f"{folder}/{number}"
        commit = self._put(path, read_body(request))
        return empty(200, {"ETag": etag(self._writing.written(commit, path))})

    def complete(self, request: Request) -> Response:
        """Handle ``POST /bucket/key?uploadId``: the parts named become one object.

        Entity tags of parts aren't compared: the server skips those whose length differs from its own, which is all.
        """
        require_length(request)
        numbers = list(_numbers(parse_document(read_document(request), "CompleteMultipartUpload")))
        if not numbers or numbers != sorted(numbers):
            raise S3Error("InvalidPartOrder")
        bucket = self._writing.writable(request.bucket)
        folder, parts = self._upload(request)
        assert parts.tree is not None
        with self._engine.read() as connection:
            tree = tree_of(connection, parts)
            for position, number in enumerate(numbers, 1):
                found = tree.find(f"{folder}/{number}")
                if found is None or found.is_dir:
                    raise S3Error("InvalidPart")
                if position < len(numbers) and found.entry.size < MIN_PART_BYTES:
                    raise S3Error("EntityTooSmall")
        key = request.key
        self._writing.check_target(bucket, key)
        with self._engine.upload() as upload:
            for position, number in enumerate(numbers):
                upload.copy(f"/{key}", "", position > 0, parts.tree, f"{folder}/{number}")
            commit = self._writing.commit(bucket, upload)
        tag = etag(self._writing.written(commit, f"/{key}"))
        content = element("Location", LOCATION) + _place(request) + element("ETag", tag)
        return result("CompleteMultipartUploadResult", content, {"x-amz-version-id": commit.id})

    def abort(self, request: Request) -> Response:
        """Handle ``DELETE /bucket/key?uploadId``.

        The server deletes a *file* of the folder's name, so the parts stay, and the upload can go on.
        """
        self._upload(request)
        return empty(204)

    def list_parts(self, request: Request) -> Response:
        """Handle ``GET /bucket/key?uploadId``; in the order of the paths, so 10 comes before 2."""
        limit = request.number("max-parts", MAX_PARTS, MAX_PARTS)
        marker = request.number("part-number-marker", MAX_PART_NUMBER, 0)
        upload_id = request.query.get("uploadId", "")
        folder = _folder(self._buckets.find(request.bucket), request.key, upload_id)
        found: list[tuple[int, str]] = []
        with self._stored() as stored:
            for each in _children(stored[1], folder) if stored else ():
                number = each.path.rpartition("/")[2]
                if not each.is_dir and number.isdigit() and int(number) > marker:
                    found.append((int(number), each.entry.hash.hex()))
        shown, truncated = _page(found, limit)
        content = _place(request) + element("UploadId", upload_id) + user("Initiator") + user("Owner") + STORAGE_CLASS
        content += element("PartNumberMarker", marker)
        content += element("NextPartNumberMarker", max(number for number, _ in shown) if truncated else 0)
        content += element("MaxParts", limit) + element("IsTruncated", str(truncated).lower())
        for part, tag in shown:
            content += f"<Part>{element('PartNumber', part)}{element('ETag', tag)}</Part>"
        return result("ListPartsResult", content)

    def list_uploads(self, request: Request) -> Response:
        """Handle ``GET /bucket?uploads``.

        As on the server, a key is shown with branch and commit in front, keys with a slash are left out, and a bucket
        that doesn't exist has no uploads.
        """
        query = request.query
        limit = request.number("max-uploads", MAX_UPLOADS, MAX_UPLOADS)
        key_marker = query.get("key-marker", "")
        id_marker = query.get("upload-id-marker", "") if key_marker else ""
        top = _top(self._buckets.find(request.bucket))
        moment = ""
        found: list[tuple[str, str]] = []
        with self._stored() as stored:
            if stored is not None:
                moment = iso_time(modified(stored[0]))
                found = [each for each in _uploads(stored[1], top) if each[0] > key_marker and each[1] > id_marker]
        shown, truncated = _page(found, limit)
        content = (
            element("Bucket", request.bucket)
            + element("KeyMarker", key_marker)
            + element("UploadIdMarker", id_marker)
            + element("NextKeyMarker", max(key for key, _ in shown) if truncated else "")
            + element("NextUploadIdMarker", max(upload_id for _, upload_id in shown) if truncated else "")
            + element("MaxUploads", limit)
            + element("IsTruncated", str(truncated).lower())
        )
        for key, upload_id in shown:
            fields = element("Key", key) + element("UploadId", upload_id) + user("Initiator")
            fields += user("Owner", known=False) + STORAGE_CLASS + element("Initiated", moment)
            content += f"<Upload>{fields}</Upload>"
        return result("ListMultipartUploadsResult", content)

    # -- the repo of the parts --------------------------------------------------------------------------------------

    def _ensure_branch(self) -> None:
        with self._engine.read() as connection:
            if find_branch(connection, BRANCH) is not None:
                return
        with self._engine.change() as change:
            if find_branch(change.connection, BRANCH) is not None:
                return
            if find_repo(change.connection, BRANCH.repo) is None:
                repos.create_repo(change.connection, BRANCH.repo, "", False)
            branches.create_branch(change, BRANCH)

    def _put(self, path: str, content: Iterator[bytes]) -> Commit:
        with self._engine.upload() as upload:
            upload.delete(path)
            upload.add(path, None)
            for piece in content:
                upload.add(path, piece)
            return self._engine.modify(CommitRef(BRANCH.repo, branch=BRANCH.name), upload)

    @contextmanager
    def _stored(self) -> Iterator[tuple[Commit, Tree] | None]:
        """Open the commit with the parts of all uploads, and its tree; None while there was no upload."""
        with self._engine.read() as connection:
            branch = find_branch(connection, BRANCH)
            if branch is None or branch.head is None:
                yield None
            else:
                commit = commit_by_pk(connection, branch.head)
                yield commit, tree_of(connection, commit)

    def _upload(self, request: Request) -> tuple[str, Commit]:
        """Return an upload's folder, and the commit that has its parts.

        Raises:
            S3Error: There is no such upload.
        """
        folder = _folder(self._buckets.find(request.bucket), request.key, request.query.get("uploadId", ""))
        with self._stored() as stored:
            if stored is None or stored[1].find(f"{folder}/{KEEP}") is None:
                raise S3Error("NoSuchUpload")
            return folder, stored[0]


def _folder(bucket: Bucket, key: str, upload_id: str) -> str:
    """Return the folder of an upload's parts; Go's ``path.Join`` cleans it."""
    return clean_path(f"{_top(bucket)}/{key}/{upload_id}")


def _top(bucket: Bucket) -> str:
    """Return the folder of a bucket's uploads; it doesn't tell projects apart."""
    repo = bucket.branch.repo
    return f"/{repo.name}/{repo.type}/{bucket.branch.name}/{bucket.commit or 'latest'}"


def _place(request: Request) -> str:
    return element("Bucket", request.bucket) + element("Key", request.key)


def _page(found: list[T], limit: int) -> tuple[list[T], bool]:
    """Return the first entries, and whether there are more."""
    return found[:limit], 0 < limit < len(found)


def _children(tree: Tree, folder: str) -> Iterator[FoundEntry]:
    found = tree.find(f"{folder}/")
    return iter(()) if found is None else tree.children(found)


def _uploads(tree: Tree, top: str) -> Iterator[tuple[str, str]]:
    """Yield the keys, as the server shows them, and the IDs of the uploads directly below a bucket's folder."""
    shown = top.split("/", 3)[3]
    for key in _children(tree, top):
        for upload in tree.children(key) if key.is_dir else ():
            if upload.is_dir and tree.find(f"{upload.path}{KEEP}") is not None:
                yield f"{shown}/{key.entry.name[:-1]}", upload.entry.name[:-1]


def _numbers(document: ElementTree.Element) -> Iterator[int]:
    for each in document:
        if local_name(each) == "Part":
            text = child_text(each, "PartNumber").strip() or "0"
            if not _INTEGER.fullmatch(text):
                raise S3Error("MalformedXML")
            yield int(text)
