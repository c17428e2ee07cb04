"""The S3 gateway with boto3, and as KServe's storage initialiser uses it."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
import requests
from botocore import UNSIGNED
from botocore.client import Config
from botocore.exceptions import ClientError

from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.api.s3.sigv4 import verify
from tests.stack.pachyderm.server import Server

TOKEN = "sesame" * 4


def connect(address: str, secret: str) -> object:
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
            paged = []
            for page in s3.get_paginator("list_objects" if method == s3.list_objects else "list_objects_v2").paginate(
                Bucket=bucket, PaginationConfig={"PageSize": 1}
            ):
                paged += [each["Key"] for each in page["Contents"]]
            assert paged == everything
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
    code = "import sys; from kserve.storage import Storage; Storage.download(sys.argv[1], sys.argv[2])"
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
def test_writing(own_server: Callable[..., Server], token: str, tmp_path: Path) -> None:
    server = own_server(token=token)
    client = server.client()
    s3 = connect(server.s3, token)
    s3.create_bucket(Bucket="master.data")
    with pytest.raises(ClientError, match="BucketAlreadyOwnedByYou"):
        s3.create_bucket(Bucket="master.data")
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == ["master.data.default"]
    s3.put_object(Bucket="master.data", Key="a/b.txt", Body=b"first")
    s3.put_object(Bucket="master.data", Key="a/b.txt", Body=b"second")
    s3.put_object(Bucket="master.data", Key="empty", Body=b"")
    assert client.get_file(("data", "master"), "/a/b.txt").read() == b"second"
    assert client.get_file(("data", "master~2"), "/a/b.txt").read() == b"first"
    big = tmp_path / "big"
    big.write_bytes(os.urandom(21 << 20))
    s3.upload_file(str(big), "master.data", "big")
    assert s3.get_object(Bucket="master.data", Key="big")["Body"].read() == big.read_bytes()
    assert not any((server.state / "s3-uploads").iterdir())
    s3.copy_object(Bucket="master.data", Key="copy", CopySource="master.data/a/b.txt")
    assert client.get_file(("data", "master"), "/copy").read() == b"second"
    s3.delete_object(Bucket="master.data", Key="copy")
    s3.delete_objects(Bucket="master.data", Delete={"Objects": [{"Key": "a/b.txt"}, {"Key": "big"}]})
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="master.data")["Contents"]] == ["empty"]
    head = next(client.inspect_commit(("data", "master"))).commit.id
    with pytest.raises(ClientError, match="MethodNotAllowed"):
        s3.put_object(Bucket=f"{head}.master.data", Key="x", Body=b"")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.put_object(Bucket="other", Key="x", Body=b"")
    with pytest.raises(ClientError, match="not allowed in path"):
        s3.put_object(Bucket="master.data", Key="cat (1).jpg", Body=b"")
    with pytest.raises(ClientError, match="NotImplemented"):
        s3.put_bucket_versioning(Bucket="master.data", VersioningConfiguration={"Status": "Enabled"})
    s3.delete_bucket(Bucket="master.data")
    assert list(client.list_repo()) == []


def test_presigned_addresses(own_server: Callable[..., Server]) -> None:
    server = own_server(token=TOKEN)
    server.client().create_repo("data")
    s3 = connect(server.s3, TOKEN)
    s3.create_bucket(Bucket="master.data")
    place = {"Bucket": "master.data", "Key": "with space/a~b c"}
    put = s3.generate_presigned_url("put_object", Params=place)
    assert requests.put(put, data=b"text", timeout=10).status_code == 200
    get = s3.generate_presigned_url("get_object", Params=place)
    assert requests.get(get, timeout=10).content == b"text"
    other = requests.get(get.replace("a~b", "a~c"), timeout=10)
    assert (other.status_code, "SignatureDoesNotMatch" in other.text) == (403, True)


@pytest.mark.parametrize(
    ("late", "code"),
    [(-16, "RequestTimeTooSkewed"), (-14, ""), (0, ""), (59, ""), (61, "RequestTimeTooSkewed")],
)
def test_presigned_addresses_end(late: int, code: str) -> None:
    """15 minutes of skew before their time, and none after the hour that they last."""
    s3 = connect("http://h", TOKEN)
    address = urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"}, ExpiresIn=3600))
    now = datetime.now(timezone.utc) + timedelta(minutes=late)
    found = ""
    try:
        verify("GET", address.path, address.query, {"host": "h"}, lambda key: key == TOKEN, now)
    except S3Error as error:
        found = error.reason
    assert found == code


def test_bodies_are_checked_while_they_are_read(own_server: Callable[..., Server]) -> None:
    server = own_server()
    client = server.client()
    connect(server.s3, "").create_bucket(Bucket="master.data")
    address = f"{server.s3}/master.data"
    content = os.urandom(3 << 20)
    wrong = requests.put(
        f"{address}/wrong", data=content, headers={"x-amz-content-sha256": hashlib.sha256(b"").hexdigest()}, timeout=10
    )
    assert (wrong.status_code, "XAmzContentSHA256Mismatch" in wrong.text) == (400, True)
    streamed = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "content-encoding": "aws-chunked"}
    chunks = [content[start : start + 1_000_000] for start in range(0, len(content), 1_000_000)]
    body = b"".join(b"%x;chunk-signature=0\r\n%b\r\n" % (len(each), each) for each in chunks)
    ended = body + b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    assert requests.put(f"{address}/right", data=ended, headers=streamed, timeout=10).status_code == 200
    cut = requests.put(f"{address}/cut", data=body[:-5000], headers=streamed, timeout=10)
    assert (cut.status_code, "IncompleteBody" in cut.text) == (400, True)
    assert [each.file.path for each in client.list_file(("data", "master"), "/")] == ["/right"]
    assert client.get_file(("data", "master"), "/right").read() == content


def test_who_is_refused_is_not_asked_for_the_body(own_server: Callable[..., Server]) -> None:
    server = own_server(token=TOKEN)
    with socket.create_connection(("127.0.0.1", server.ports["s3"]), timeout=10) as raw:
        raw.sendall(b"PUT /b/k HTTP/1.1\r\nhost: h\r\ncontent-length: 5000000\r\nexpect: 100-continue\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 403")
