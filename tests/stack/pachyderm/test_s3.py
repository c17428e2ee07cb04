"""The S3 gateway with boto3, and as KServe's storage initialiser uses it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore import UNSIGNED
from botocore.client import Config
from botocore.exceptions import ClientError

from pdk_nb.platforms.storage import S3Store
from tests.stack.pachyderm.server import Server

TOKEN = "sesame" * 4


def connect(address: str, secret: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=secret or "any",
        aws_secret_access_key=secret or "any",
        region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


@pytest.fixture(params=["", TOKEN], ids=["open", "token"])
def filled(request: pytest.FixtureRequest, own_server: Callable[..., Server]) -> tuple[Server, str]:
    server = own_server(token=request.param)
    client = server.client()
    client.create_project("pets")
    client.create_repo("models", project_name="pets")
    with client.modify_file_client({"repo": "models", "branch": "master", "project": "pets"}) as modify:
        modify.put_file_from_bytes("/m/1/config/config.properties", b"a=1\n")
        modify.put_file_from_bytes("/m/1/model-store/m.mar", b"M" * (9 << 20))
        modify.put_file_from_bytes("/m.txt", b"")
        modify.put_file_from_bytes("/with space/a~b.txt", b"text")
    head = next(client.inspect_commit({"repo": "models", "branch": "master", "project": "pets"}))
    return server, head.commit.id


def test_list_head_and_ranges(filled: tuple[Server, str]) -> None:
    server, commit = filled
    s3 = connect(server.s3, server.token)
    for bucket in ("master.models.pets", f"{commit}.master.models.pets"):
        for method in (s3.list_objects, s3.list_objects_v2):
            everything = [each["Key"] for each in method(Bucket=bucket)["Contents"]]
            assert everything == sorted(everything) and len(everything) == 4
            one = method(Bucket=bucket, Prefix="m/1/model")["Contents"]
            assert [(each["Key"], each["Size"]) for each in one] == [("m/1/model-store/m.mar", 9 << 20)]
            folded = method(Bucket=bucket, Prefix="m", Delimiter="/")
            assert [each["Prefix"] for each in folded["CommonPrefixes"]] == ["m/"]
            assert [each["Key"] for each in folded["Contents"]] == ["m.txt"]
        pages = s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
        assert [each["Key"] for page in pages for each in page["Contents"]] == everything
    head = s3.head_object(Bucket=bucket, Key="m/1/model-store/m.mar")
    assert head["ContentLength"] == 9 << 20
    part = s3.get_object(Bucket=bucket, Key="m/1/config/config.properties", Range="bytes=1-2")
    assert (part["Body"].read(), part["ContentRange"]) == (b"=1", "bytes 1-2/4")
    assert s3.get_object(Bucket=bucket, Key="with space/a~b.txt")["Body"].read() == b"text"
    assert s3.get_object(Bucket=bucket, Key="m.txt")["Body"].read() == b""
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="none")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects(Bucket="other.models.pets")


@pytest.mark.parametrize("filled", [TOKEN], ids=["token"], indirect=True)
def test_kserve_storage_initialiser(filled: tuple[Server, str], tmp_path: Path) -> None:
    server, commit = filled
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": server.s3,
        "AWS_ACCESS_KEY_ID": server.token or "any",
        "AWS_SECRET_ACCESS_KEY": server.token or "any",
        "S3_VERIFY_SSL": "0",
    }
    module = "pdk_stack.third_party.kserve.storage.storage"
    code = f"import sys; from {module} import Storage; Storage.download(sys.argv[1], sys.argv[2])"
    address = f"s3://{commit}.master.models.pets/m/1/"
    # A process of its own, as on a cluster: the initialiser reads its settings from the environment.
    subprocess.run([sys.executable, "-c", code, address, str(tmp_path)], env=environment, check=True, timeout=120)
    assert (tmp_path / "config" / "config.properties").read_bytes() == b"a=1\n"
    assert (tmp_path / "model-store" / "m.mar").stat().st_size == 9 << 20


def test_wrong_keys_are_refused(own_server: Callable[..., Server]) -> None:
    server = own_server(token=TOKEN)
    server.client().create_repo("r")
    for access, secret, code in (
        (TOKEN, "wrong", "SignatureDoesNotMatch"),
        ("wrong", TOKEN, "InvalidAccessKeyId"),
    ):
        s3 = boto3.client(
            "s3",
            endpoint_url=server.s3,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )
        with pytest.raises(ClientError, match=code):
            s3.list_objects(Bucket="r")
    anonymous = boto3.client(
        "s3", endpoint_url=server.s3, region_name="us-east-1", config=Config(signature_version=UNSIGNED)
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        anonymous.list_objects(Bucket="r")


@pytest.mark.parametrize("token", ["", TOKEN], ids=["open", "token"])
def test_writing(own_server: Callable[..., Server], token: str) -> None:
    server = own_server(token=token)
    client = server.client()
    s3 = connect(server.s3, token)
    s3.create_bucket(Bucket="master.data")
    with pytest.raises(ClientError, match="BucketAlreadyOwnedByYou"):
        s3.create_bucket(Bucket="master.data")
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == ["master.data.default"]
    first = s3.put_object(Bucket="master.data", Key="a/b.txt", Body=b"first")
    s3.put_object(Bucket="master.data", Key="a/b.txt", Body=b"second")
    s3.put_object(Bucket="master.data", Key="empty", Body=b"")
    assert client.get_file(("data", "master"), "/a/b.txt").read() == b"second"
    assert client.get_file(("data", first["VersionId"]), "/a/b.txt").read() == b"first"
    s3.copy_object(Bucket="master.data", Key="copy", CopySource="/master.data/a/b.txt")
    assert client.get_file(("data", "master"), "/copy").read() == b"second"
    s3.delete_object(Bucket="master.data", Key="copy")
    head = next(client.inspect_commit(("data", "master"))).commit.id
    s3.delete_objects(Bucket="master.data", Delete={"Objects": [{"Key": "a/b.txt"}, {"Key": "none"}]})
    assert [each["Key"] for each in s3.list_objects(Bucket="master.data")["Contents"]] == ["empty"]
    # Every deletion is a commit.
    assert client.get_file(("data", "master~2"), "/a/b.txt").read() == b"second"
    with pytest.raises(ClientError, match="InvalidRequest.*has already finished"):
        s3.put_object(Bucket=f"{head}.master.data", Key="x", Body=b"")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.put_object(Bucket="other", Key="x", Body=b"")
    s3.put_bucket_versioning(Bucket="master.data", VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(ClientError, match="NotImplemented"):
        s3.put_bucket_versioning(Bucket="master.data", VersioningConfiguration={"Status": "Suspended"})


def test_a_bucket_with_files_is_not_deleted(own_server: Callable[..., Server]) -> None:
    server = own_server()
    client = server.client()
    s3 = connect(server.s3, "")
    for bucket in ("master.data", "dev.data"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="master.data", Key="deep/er/file", Body=b"")
    commit = next(client.inspect_commit(("data", "master"))).commit.id
    for bucket in ("data", "master.data", f"{commit}.master.data"):
        with pytest.raises(ClientError, match="BucketNotEmpty"):
            s3.delete_bucket(Bucket=bucket)
    assert sorted(each.branch.name for each in client.list_branch("data")) == ["dev", "master"]
    assert client.get_file(("data", "master"), "/deep/er/file").read() == b""
    s3.delete_bucket(Bucket="dev.data")
    assert [each.branch.name for each in client.list_branch("data")] == ["master"]
    s3.delete_object(Bucket="data", Key="deep/er/file")
    # The repo goes with its last branch.
    s3.delete_bucket(Bucket="data")
    assert list(client.list_repo()) == []


# Where a file and a directory meet, 2.8 answers 200 and loses the content.
COLLIDING = ("photos/", "dir/", "dir", "a.txt/below", "a.txt/be/low")
INVALID = ("cat (1).jpg", "a+b.txt", "ä", "*")


def test_keys_that_are_no_files_are_refused(own_server: Callable[..., Server]) -> None:
    server = own_server()
    s3 = connect(server.s3, "")
    s3.create_bucket(Bucket="data")
    for name in ("a.txt", "dir/c.txt"):
        s3.put_object(Bucket="data", Key=name, Body=b"x")
    for key in (*COLLIDING, *INVALID):
        with pytest.raises(ClientError, match="InvalidFilePath"):
            s3.put_object(Bucket="data", Key=key, Body=b"")
        with pytest.raises(ClientError, match="InvalidFilePath"):
            s3.copy_object(Bucket="data", Key=key, CopySource="/data/a.txt")
    for key in COLLIDING:
        upload = s3.create_multipart_upload(Bucket="data", Key=key)["UploadId"]
        s3.upload_part(Bucket="data", Key=key, UploadId=upload, PartNumber=1, Body=b"x")
        with pytest.raises(ClientError, match="InvalidFilePath"):
            s3.complete_multipart_upload(
                Bucket="data", Key=key, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "x"}]}
            )
    for key in INVALID:
        with pytest.raises(ClientError, match="InvalidFilePath"):
            s3.create_multipart_upload(Bucket="data", Key=key)
    assert [each["Key"] for each in s3.list_objects(Bucket="data")["Contents"]] == ["a.txt", "dir/c.txt"]


def test_objects_in_parts(own_server: Callable[..., Server], tmp_path: Path) -> None:
    server = own_server()
    client = server.client()
    s3 = connect(server.s3, "")
    s3.create_bucket(Bucket="data")
    big = tmp_path / "big"
    big.write_bytes(os.urandom(21 << 20))
    s3.upload_file(str(big), "data", "deep/big")
    assert s3.get_object(Bucket="data", Key="deep/big")["Body"].read() == big.read_bytes()
    # The parts are files of a repo; the object shares their content.
    assert sorted(each.repo.name for each in client.list_repo()) == ["_s3gateway_multipart_", "data"]

    place = {"Bucket": "data", "Key": "parts"}
    upload = s3.create_multipart_upload(**place)["UploadId"]
    for number, content in ((10, b"ten"), (2, b"two"), (1, b"1" * (5 << 20)), (2, b"two again")):
        s3.upload_part(**place, UploadId=upload, PartNumber=number, Body=content)
    assert [each["PartNumber"] for each in s3.list_parts(**place, UploadId=upload)["Parts"]] == [1, 10, 2]
    page = s3.list_parts(**place, UploadId=upload, MaxParts=2)
    assert (page["IsTruncated"], page["NextPartNumberMarker"]) == (True, 10)
    listed = s3.list_multipart_uploads(Bucket="data")["Uploads"]
    assert [(each["Key"], each["UploadId"]) for each in listed] == [("master/latest/parts", upload)]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="nobodys")

    def complete(*numbers: int, upload_id: str = upload) -> dict[str, Any]:
        parts = [{"PartNumber": number, "ETag": '"x"'} for number in numbers]
        found: dict[str, Any] = s3.complete_multipart_upload(
            **place, UploadId=upload_id, MultipartUpload={"Parts": parts}
        )
        return found

    for numbers, code in (((1, 3), "InvalidPart"), ((2, 1), "InvalidPartOrder"), ((2, 10), "EntityTooSmall")):
        with pytest.raises(ClientError, match=rf"\({code}\)"):
            complete(*numbers)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        complete(1, upload_id="none")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(**place)
    done = complete(1, 2)
    assert (done["Location"], done["ETag"]) == ("PACHYDERM", s3.head_object(**place)["ETag"])
    assert s3.get_object(**place, Range="bytes=5242878-")["Body"].read() == b"11two again"
    # A repeated request has the same result, also after the upload is aborted: the parts stay.
    s3.abort_multipart_upload(**place, UploadId=upload)
    assert complete(1, 10)["ETag"] != done["ETag"]
    assert complete(1, 2)["ETag"] == done["ETag"]


@pytest.mark.parametrize(("token", "status"), [("", 200), (TOKEN, 403)], ids=["open", "token"])
def test_presigned_addresses_are_no_signature(own_server: Callable[..., Server], token: str, status: int) -> None:
    """As on a server of release 2.8: there they work only while authentication is off."""
    server = own_server(token=token)
    s3 = connect(server.s3, token)
    s3.create_bucket(Bucket="master.data")
    s3.put_object(Bucket="master.data", Key="a b", Body=b"text")
    address = s3.generate_presigned_url("get_object", Params={"Bucket": "master.data", "Key": "a b"})
    assert requests.get(address, timeout=10).status_code == status


def test_the_labs_store_lists_all_pages(own_server: Callable[..., Server]) -> None:
    """The gateway knows no pages in the second form of the call."""
    server = own_server(token=TOKEN)
    client = server.client()
    client.create_repo("many")
    with client.modify_file_client(("many", "master")) as modify:
        for number in range(1001):
            modify.put_file_from_bytes(f"/d/{number:04d}", b"")
    store = S3Store("many", endpoint=server.s3, access_key=TOKEN, secret_key=TOKEN)
    assert len(list(store.keys("d/"))) == 1001
    page = connect(server.s3, TOKEN).list_objects_v2(Bucket="many")
    assert (page["IsTruncated"], len(page["Contents"]), "NextContinuationToken" in page) == (True, 1000, False)


def test_bodies_are_checked_while_they_are_read(own_server: Callable[..., Server]) -> None:
    server = own_server()
    client = server.client()
    connect(server.s3, "").create_bucket(Bucket="master.data")
    content = os.urandom(3 << 20)
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    other = base64.b64encode(hashlib.md5(b"").digest()).decode()

    def put(headers: dict[str, str], data: Any = content) -> tuple[int, str]:
        answer = requests.put(f"{server.s3}/master.data/x", data=data, headers=headers, timeout=10)
        found = re.search("<Code>(.*)</Code>", answer.text)
        return answer.status_code, found[1] if found else ""

    for headers, wanted in (
        ({"x-amz-content-sha256": hashlib.sha256(b"").hexdigest()}, (400, "XAmzContentSHA256Mismatch")),
        ({"content-md5": other}, (400, "BadDigest")),
        ({"content-md5": "x"}, (400, "InvalidDigest")),
        ({"content-md5": md5[:-4]}, (400, "InvalidDigest")),
        ({"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, (501, "NotImplemented")),
        ({"content-encoding": "aws-chunked"}, (501, "NotImplemented")),
        ({"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, (403, "SignatureDoesNotMatch")),
    ):
        assert put(headers) == wanted, headers
    assert put({}, iter([content])) == (411, "MissingContentLength")
    assert list(client.list_file(("data", "master"), "/")) == []
    assert put({"content-md5": md5}) == (200, "")
    assert client.get_file(("data", "master"), "/x").read() == content


def test_who_is_refused_is_not_asked_for_the_body(own_server: Callable[..., Server]) -> None:
    server = own_server(token=TOKEN)
    with socket.create_connection(("127.0.0.1", server.ports["s3"]), timeout=10) as raw:
        raw.sendall(b"PUT /b/k HTTP/1.1\r\nhost: h\r\ncontent-length: 5000000\r\nexpect: 100-continue\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 403")
