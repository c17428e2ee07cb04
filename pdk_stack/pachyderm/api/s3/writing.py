"""Writing objects and buckets."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from starlette.responses import Response

from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.api.s3.bodies import read_body
from pdk_stack.pachyderm.api.s3.buckets import Buckets, open_bucket
from pdk_stack.pachyderm.api.s3.errors import S3Error, no_such_bucket, no_such_key, not_implemented
from pdk_stack.pachyderm.api.s3.messages import Request, element, empty, iso_time, result
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import branches, repos
from pdk_stack.pachyderm.core.pfs.lookup import find_branch, find_repo
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import Bucket
from pdk_stack.pachyderm.core.pfs.upload import COPY_CHUNK, Upload
from pdk_stack.pachyderm.store.clock import now_ns

MAX_DOCUMENT = 4 << 20
MAX_PART_NUMBER = 10_000
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")


class Writing:
    """Handles requests that change data.

    Args:
        engine: The store.
        buckets: The gateway's buckets.
    """

    def __init__(self, engine: Engine, buckets: Buckets) -> None:
        self._engine = engine
        self._buckets = buckets
        self._parts = engine.state_dir / "s3-uploads"

    def answer(self, request: Request) -> Response:
        """Handle a request.

        Raises:
            S3Error: The request is refused.
        """
        bucket = self._buckets.find(request.bucket)
        if not bucket.writable:
            raise S3Error(405, "MethodNotAllowed", "A bucket that names a commit cannot be written.")
        if not request.key:
            return self._bucket(request, bucket)
        with self._engine.read() as connection:
            if find_branch(connection, bucket.branch) is None:
                raise no_such_bucket(bucket.name)
        query = request.query
        if request.method == "POST" and "uploads" in query:
            return self._begin_parts(request)
        if request.method == "PUT" and "uploadId" in query:
            return self._put_part(request)
        if request.method == "POST" and "uploadId" in query:
            return self._end_parts(request, bucket)
        if request.method == "DELETE" and "uploadId" in query:
            shutil.rmtree(self._folder(request), ignore_errors=True)
            return empty(204)
        if request.method == "DELETE":
            self._delete(bucket, [request.key])
            return empty(204)
        if request.method != "PUT" or "acl" in query or "tagging" in query:
            raise not_implemented(f"{request.method} object {request.exchange.query}".rstrip())
        if source := request.header("x-amz-copy-source"):
            return self._copy(request, bucket, source)
        return self._put(request, bucket)

    def _bucket(self, request: Request, bucket: Bucket) -> Response:
        if request.method == "POST" and "delete" in request.query:
            return self._delete_many(request, bucket)
        if bucket.commit or request.query or request.method not in ("PUT", "DELETE"):
            raise not_implemented(f"{request.method} bucket {request.exchange.query}".rstrip())
        key = bucket.branch
        with self._engine.change() as change:
            connection = change.connection
            existing = find_branch(connection, key)
            if request.method == "PUT":
                if existing is not None:
                    raise S3Error(409, "BucketAlreadyOwnedByYou", f"The bucket exists: {bucket.name}")
                if find_repo(connection, key.repo) is None:
                    repos.create_repo(connection, key.repo, "", False)
                branches.create_branch(change, key)
                return empty(200, {"Location": f"/{bucket.name}"})
            if existing is None:
                raise no_such_bucket(bucket.name)
            branches.delete_branch(connection, key, force=False)
            repo = find_repo(connection, key.repo)
            if repo is not None and not repos.repo_branches(connection, repo.pk):
                repos.delete_repo(connection, key.repo, force=False)
        return empty(204)

    def _write(self, bucket: Bucket, key: str, content: Iterable[bytes]) -> str:
        with self._engine.upload() as upload:
            upload.delete("/" + key)
            upload.add("/" + key, None)
            for chunk in content:
                upload.add("/" + key, chunk)
            self._commit(bucket, upload)
        with self._engine.read() as connection:
            commit = open_bucket(connection, bucket)
            found = tree_of(connection, commit).find(key) if commit else None
        return f'"{found.entry.hash.hex()}"' if found else '""'

    def _commit(self, bucket: Bucket, upload: Upload) -> None:
        try:
            self._engine.modify(bucket.target, upload)
        except Refusal as error:
            if "output branch" in error.message:
                raise S3Error(
                    400, "WriteToOutputBranch", "A pipeline's output cannot be written through the gateway."
                ) from error
            raise

    def _put(self, request: Request, bucket: Bucket) -> Response:
        return empty(200, {"ETag": self._write(bucket, request.key, read_body(request))})

    def _copy(self, request: Request, bucket: Bucket, source: str) -> Response:
        name, _, key = unquote(source).lstrip("/").split("?", 1)[0].partition("/")
        with self._engine.read() as connection, self._engine.blobs.reader(connection) as content:
            commit = open_bucket(connection, self._buckets.find(name))
            found = tree_of(connection, commit).find(key) if commit else None
            if found is None or found.is_dir:
                raise no_such_key(key)
            etag = self._write(bucket, request.key, content.read(found.entry.blobs))
        return result("CopyObjectResult", element("ETag", etag) + element("LastModified", iso_time(now_ns())))

    def _delete(self, bucket: Bucket, keys: list[str]) -> None:
        with self._engine.upload() as upload:
            for key in keys:
                upload.delete("/" + key)
            self._commit(bucket, upload)

    def _delete_many(self, request: Request, bucket: Bucket) -> Response:
        keys = [node.text or "" for node in self._document(request).iter() if _local(node.tag) == "Key"]
        self._delete(bucket, keys)
        done = "".join(f"<Deleted>{element('Key', key)}</Deleted>" for key in keys)
        return result("DeleteResult", done)

    def _document(self, request: Request) -> ElementTree.Element:
        data = b""
        for chunk in read_body(request):
            data += chunk
            if len(data) > MAX_DOCUMENT:
                raise S3Error(400, "MalformedXML", "The document is too large.")
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            raise S3Error(400, "MalformedXML", "Documents with declarations are refused.")
        try:
            return ElementTree.fromstring(data)
        except ElementTree.ParseError as error:
            raise S3Error(400, "MalformedXML", f"The document cannot be read: {error}") from error

    def _folder(self, request: Request) -> Path:
        upload_id = request.query["uploadId"]
        folder = self._parts / upload_id
        if not _UPLOAD_ID.fullmatch(upload_id) or not folder.is_dir():
            raise S3Error(404, "NoSuchUpload", f"There is no upload {upload_id}.")
        return folder

    def _begin_parts(self, request: Request) -> Response:
        upload_id = secrets.token_hex(16)
        (self._parts / upload_id).mkdir(parents=True)
        return result("InitiateMultipartUploadResult", _place(request) + element("UploadId", upload_id))

    def _put_part(self, request: Request) -> Response:
        folder = self._folder(request)
        number = request.query.get("partNumber", "")
        if not number.isdigit() or not 1 <= int(number) <= MAX_PART_NUMBER:
            raise S3Error(400, "InvalidArgument", "partNumber must be from 1 to 10000.")
        digest = hashlib.md5(usedforsecurity=False)
        target = folder / f"{int(number):05d}"
        temporary = folder / f".{target.name}.{secrets.token_hex(4)}"
        try:
            with temporary.open("wb") as handle:
                for chunk in read_body(request):
                    digest.update(chunk)
                    handle.write(chunk)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return empty(200, {"ETag": f'"{digest.hexdigest()}"'})

    def _end_parts(self, request: Request, bucket: Bucket) -> Response:
        folder = self._folder(request)
        numbers = [int(node.text or 0) for node in self._document(request).iter() if _local(node.tag) == "PartNumber"]
        parts = [folder / f"{number:05d}" for number in numbers]
        if not parts or numbers != sorted(set(numbers)) or not all(part.exists() for part in parts):
            raise S3Error(400, "InvalidPart", "A part is missing, or the parts are not in order.")
        etag = self._write(bucket, request.key, _concatenated(parts))
        shutil.rmtree(folder, ignore_errors=True)
        return result("CompleteMultipartUploadResult", _place(request) + element("ETag", etag))


def _place(request: Request) -> str:
    return element("Bucket", request.bucket) + element("Key", request.key)


def _concatenated(parts: list[Path]) -> Iterable[bytes]:
    for part in parts:
        with part.open("rb") as handle:
            while chunk := handle.read(COPY_CHUNK):
                yield chunk


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
