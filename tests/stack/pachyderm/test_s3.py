"""The S3 gateway with boto3, and as KServe's storage initialiser uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.client import Config
from botocore.exceptions import ClientError

from tests.stack.pachyderm.server import Server

TOKEN = "sesame" * 4


def connect(server: Server, secret: str) -> object:
    return boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=secret or "any",
        aws_secret_access_key=secret or "any",
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
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
    s3 = connect(server, server.token)
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
    s3 = connect(server, token)
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
