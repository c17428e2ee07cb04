"""Writing objects and buckets (``bucket.go`` and ``object.go`` in ``src/server/pfs/s3``, ``object.go`` in s2)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from urllib.parse import unquote, urlsplit

from starlette.responses import Response

from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.api.s3.bodies import read_body, read_document, require_length
from pdk_stack.pachyderm.api.s3.buckets import Buckets, modified, open_bucket, require_branch
from pdk_stack.pachyderm.api.s3.content import later_than, matches
from pdk_stack.pachyderm.api.s3.errors import FILE_AS_PARENT, S3Error, of_refusal
from pdk_stack.pachyderm.api.s3.messages import (
    Request,
    child_text,
    element,
    empty,
    local_name,
    parse_document,
    parse_query,
    result,
)
from pdk_stack.pachyderm.api.s3.reading import Reading, etag
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import branches, repos
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk, find_branch, find_repo
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import Bucket, Commit
from pdk_stack.pachyderm.core.pfs.upload import Upload
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import check_branch_name, check_name, check_path
from pdk_stack.pachyderm.store.clock import NANOSECONDS
from pdk_stack.pachyderm.store.tree import FoundEntry

VERSIONING = ("", "Suspended", "Enabled")
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


class Writing:
    """Handles requests that change data.

    Args:
        engine: The store.
        buckets: The gateway's buckets.
        reading: Finds the source of a copy.
    """

    def __init__(self, engine: Engine, buckets: Buckets, reading: Reading) -> None:
        self._engine = engine
        self._buckets = buckets
        self._reading = reading

    # -- buckets ----------------------------------------------------------------------------------------------------

    def create_bucket(self, request: Request) -> Response:
        """Handle ``PUT /bucket``: create the branch, and the repo if needed."""
        bucket = self._changeable(request)
        key = bucket.branch
        with self._engine.change() as change:
            connection = change.connection
            if find_branch(connection, key) is not None:
                raise S3Error("BucketAlreadyOwnedByYou")
            try:
                check_name(key.repo.name)
                check_branch_name(key.name)
            except Fault as error:
                raise S3Error("InvalidBucketName") from error
            if find_repo(connection, key.repo) is None:
                repos.create_repo(connection, key.repo, "", False)
            branches.create_branch(change, key)
        return empty(200)

    def delete_bucket(self, request: Request) -> Response:
        """Handle ``DELETE /bucket``: delete the branch if its head has no files, and the repo with its last branch."""
        bucket = self._changeable(request)
        key = bucket.branch
        with self._engine.change() as change:
            connection = change.connection
            branch = require_branch(connection, bucket)
            if branch.head is not None and not tree_of(connection, commit_by_pk(connection, branch.head)).is_empty:
                raise S3Error("BucketNotEmpty")
            branches.delete_branch(connection, key, force=False)
            repo = find_repo(connection, key.repo)
            if repo is not None and not repos.repo_branches(connection, repo.pk):
                repos.delete_repo(connection, key.repo, force=False)
        return empty(204)

    def _changeable(self, request: Request) -> Bucket:
        if not self._buckets.changeable:
            raise S3Error("NotImplemented")
        return self._buckets.find(request.bucket)

    def set_versioning(self, request: Request) -> Response:
        """Handle ``PUT /bucket?versioning``: it can only be set to what it is."""
        status = child_text(parse_document(read_document(request), "VersioningConfiguration"), "Status")
        if status not in VERSIONING:
            raise S3Error("IllegalVersioningConfigurationException")
        bucket = self._buckets.find(request.bucket)
        with self._engine.read() as connection:
            require_branch(connection, bucket)
        if status != ("Enabled" if self._buckets.abilities(bucket).versions else ""):
            raise S3Error("NotImplemented")
        return empty(200)

    # -- objects ----------------------------------------------------------------------------------------------------

    def put_object(self, request: Request) -> Response:
        """Handle ``PUT /bucket/key``."""
        require_length(request)
        bucket = self.writable(request.bucket)
        self.check_target(bucket, request.key)
        commit, found = self._write(bucket, request.key, read_body(request, chunks=True))
        return empty(200, {"ETag": etag(found), "x-amz-version-id": commit.id})

    def copy_object(self, request: Request) -> Response:
        """Handle ``PUT /bucket/key`` with ``x-amz-copy-source``; the content isn't read."""
        name, key, version = _copy_source(request.header("x-amz-copy-source"))
        if (name, key, version) == (request.bucket, request.key, ""):
            raise S3Error("InvalidRequest", "source and destination are the same")
        source, found, source_version = self._reading.find(name, key, version)
        _check_source(request, found, modified(source))
        bucket = self.writable(request.bucket)
        self.check_target(bucket, request.key)
        with self._engine.upload() as upload:
            upload.copy("/" + request.key, "", False, _tree_key(source, self._engine), found.path)
            self.commit(bucket, upload)
        # As on the server, the new object's version header shows the version asked for.
        headers = {"x-amz-version-id": version}
        if source_version:
            headers["x-amz-copy-source-version-id"] = source_version
        content = element("LastModified", _exact_time(modified(source))) + element("ETag", etag(found).strip('"'))
        return result("CopyObjectResult", content, headers)

    def delete_object(self, request: Request) -> Response:
        """Handle ``DELETE /bucket/key``."""
        self._delete(request.bucket, request.key, request.query.get("versionId", ""))
        return empty(204)

    def delete_objects(self, request: Request) -> Response:
        """Handle ``POST /bucket?delete``: one after the other, each in a commit of its own."""
        document = parse_document(read_document(request), "Delete")
        quiet = child_text(document, "Quiet").strip() or "false"
        if quiet not in _TRUE + _FALSE:
            raise S3Error("MalformedXML")
        deleted, failed = [], []
        for each in document:
            if local_name(each) != "Object":
                continue
            key, version = child_text(each, "Key"), child_text(each, "VersionId")
            try:
                self._delete(request.bucket, key, version)
            except Refusal as error:
                problem = of_refusal(error)
                fields = element("Key", key) + element("Code", problem.reason) + element("Message", problem.message)
                failed.append(f"<Error>{fields}</Error>")
            else:
                fields = element("Key", key) + (element("Version", version) if version else "")
                deleted.append(f"<Deleted>{fields}</Deleted>")
        return result("DeleteResult", "".join([*([] if quiet in _TRUE else deleted), *failed]))

    def _delete(self, name: str, key: str, version: str) -> None:
        if version:
            raise S3Error("NotImplemented")
        bucket = self.writable(name)
        with self._engine.upload() as upload:
            upload.delete("/" + key.removesuffix("/"))
            self.commit(bucket, upload)

    # -- for multipart uploads too ----------------------------------------------------------------------------------

    def writable(self, name: str) -> Bucket:
        """Return a bucket that can be written.

        Raises:
            S3Error: There is no such bucket, or it can only be read.
        """
        bucket = self._buckets.find(name)
        with self._engine.read() as connection:
            open_bucket(connection, bucket)
        if not self._buckets.abilities(bucket).writable:
            raise S3Error("NotImplemented")
        return bucket

    def check_target(self, bucket: Bucket, key: str) -> None:
        """Refuse a key that can't be a file.

        Where a file and a directory would meet, the gateway of 2.8 answers 200; then validation marks the commit as
        failed, and its content is lost. A key that ends in a slash ("a folder") leads there: it makes a *file* of that
        name. These are refused with the error that the gateway has for this case.

        Raises:
            S3Error: The key is invalid, or collides with a file or a directory.
        """
        if key.endswith("/"):
            raise S3Error("InvalidFilePath")
        try:
            check_path("/" + key)
        except Fault as error:
            raise S3Error("InvalidFilePath") from error
        parts = key.split("/")
        with self._engine.read() as connection:
            commit = open_bucket(connection, bucket)
            if commit is None:
                return
            tree = tree_of(connection, commit)
            if tree.find(f"/{key}/") is not None:
                raise S3Error("InvalidFilePath")
            parents = (tree.find("/" + "/".join(parts[:depth])) for depth in range(1, len(parts)))
            if any(found is not None and not found.is_dir for found in parents):
                raise S3Error("InvalidFilePath", FILE_AS_PARENT)

    def commit(self, bucket: Bucket, upload: Upload) -> Commit:
        """Apply an upload to the commit that a bucket shows, or to a new one of its branch."""
        return self._engine.modify(bucket.target, upload)

    def written(self, commit: Commit, path: str) -> FoundEntry:
        """Return a file that was just written."""
        with self._engine.read() as connection:
            found = tree_of(connection, commit).find(path)
        if found is None:
            raise S3Error("NoSuchKey")
        return found

    def _write(self, bucket: Bucket, key: str, content: Iterable[bytes]) -> tuple[Commit, FoundEntry]:
        with self._engine.upload() as upload:
            upload.delete("/" + key)
            upload.add("/" + key, None)
            for chunk in content:
                upload.add("/" + key, chunk)
            commit = self.commit(bucket, upload)
        return commit, self.written(commit, "/" + key)


def _copy_source(header: str) -> tuple[str, str, str]:
    """Parse ``x-amz-copy-source`` as s2 does: bucket, key, and version.

    Without a slash in front, a key of several parts is an error there.
    """
    try:
        address = urlsplit(header)
    except ValueError as error:
        raise S3Error("InvalidArgument") from error
    parts = unquote(address.path).split("/", 2)
    if len(parts) == 3 and parts[0] == "":
        parts = parts[1:]
    if len(parts) != 2:
        raise S3Error("InvalidArgument")
    bucket, key = parts
    if not bucket:
        raise S3Error("InvalidBucketName")
    if not key:
        raise S3Error("NoSuchKey")
    return bucket, key, parse_query(address.query).get("versionId", "")


def _check_source(request: Request, found: FoundEntry, moment: int) -> None:
    """Check a copy's conditions; the server compares entity tags with one without quotes, so only ``*`` matches."""
    header = "x-amz-copy-source-if-"
    tag = etag(found).strip('"')
    wanted, known = request.header(f"{header}match"), request.header(f"{header}none-match")
    if (wanted and not matches(wanted, tag, weakly=False)) or (known and matches(known, tag, weakly=True)):
        raise S3Error("PreconditionFailed")
    if later_than(moment, request.header(f"{header}unmodified-since")) is True:
        raise S3Error("PreconditionFailed")
    if later_than(moment, request.header(f"{header}modified-since")) is False:
        raise S3Error("PreconditionFailed")


def _tree_key(commit: Commit, engine: Engine) -> bytes:
    if commit.tree is None:
        raise S3Error("InvalidRequest", f"commit {commit} not finished")
    return commit.tree


def _exact_time(moment: int) -> str:
    when = datetime.fromtimestamp(moment // NANOSECONDS, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{moment % NANOSECONDS:09d}".rstrip("0").rstrip(".")
    return f"{when}{fraction}Z"
