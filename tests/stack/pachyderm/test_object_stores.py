"""Data through S3: a job's own gateway, sources in an object store, egress to one (moto's and Google's emulators)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator

import boto3
import grpc
import pytest
import requests
from moto.server import ThreadedMotoServer
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.service import Service

from tests.stack.pachyderm.server import Server
from tests.stack.pachyderm.steps import create, files, pfs, put, wait
from tests.support.object_stores import google_storage

CODE = """
import os, boto3
s3 = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"], region_name="us-east-1")
assert os.listdir("/pfs/data") == []
print([each["Name"] for each in s3.list_buckets()["Buckets"]])
for each in s3.list_objects_v2(Bucket="data").get("Contents", []):
    text = s3.get_object(Bucket="data", Key=each["Key"])["Body"].read()
    s3.put_object(Bucket="out", Key="upper/" + each["Key"], Body=text.upper())
try:
    s3.put_object(Bucket="data", Key="x", Body=b"x")
except s3.exceptions.ClientError as error:
    print("refused", error.response["Error"]["Code"])
print("out shows", s3.list_objects(Bucket="out").get("Contents", []))
try:
    s3.get_object(Bucket="out", Key="upper/" + "a")
except s3.exceptions.ClientError as error:
    print("unread", error.response["Error"]["Code"])
"""


SQL = {"url": "postgres://u@h:1/d", "file_format": {"type": "CSV"}, "secret": {"name": "s", "key": "k"}}


class AmazonStore:
    """A bucket of S3, seen from outside."""

    scheme = "s3"

    def __init__(self, address: str) -> None:
        self._client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")

    def create(self, bucket: str) -> None:
        self._client.create_bucket(Bucket=bucket)

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket="lab", Key=key, Body=content)

    def found(self, prefix: str) -> dict[str, bytes]:
        listed = self._client.list_objects_v2(Bucket="lab", Prefix=prefix).get("Contents", [])
        return {each["Key"]: self._client.get_object(Bucket="lab", Key=each["Key"])["Body"].read() for each in listed}


class GoogleStore:
    """A bucket of Google Cloud Storage, seen from outside."""

    scheme = "gs"

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # Google's packages announce at import which Python versions they will drop.
            warnings.simplefilter("ignore")
            from google.auth.credentials import AnonymousCredentials
            from google.cloud import storage

        self._client = storage.Client(project="tests", credentials=AnonymousCredentials())

    def create(self, bucket: str) -> None:
        self._client.create_bucket(bucket)

    def put(self, key: str, content: bytes) -> None:
        self._client.bucket("lab").blob(key).upload_from_string(content)

    def found(self, prefix: str) -> dict[str, bytes]:
        listed = self._client.bucket("lab").list_blobs(prefix=prefix)
        return {each.name: each.download_as_bytes() for each in listed}


Store = AmazonStore | GoogleStore


@pytest.fixture(params=["s3", "gs"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An object store with a bucket ``lab`` that the daemons started from now on find."""
    found: Store
    if request.param == "gs":
        with google_storage() as address:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
            found = GoogleStore()
            found.create("lab")
            yield found
        return
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    requests.post(f"http://{host}:{port}/moto-api/reset", timeout=10)
    for variable, value in {
        "CUSTOM_ENDPOINT": f"{host}:{port}",
        "DISABLE_SSL": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(variable, value)
    found = AmazonStore(f"http://{host}:{port}")
    found.create("lab")
    yield found
    moto.stop()


@pytest.mark.parametrize("token", ["", "sesame"], ids=["open", "token"])
def test_jobs_with_s3_inputs_and_output(own_server: Callable[..., Server], token: str) -> None:
    client = own_server(token=token).client()
    client.create_repo("source")
    create(
        client,
        "s3job",
        {"pfs": {"repo": "source", "name": "data", "glob": "/", "s3": True}},
        "",
        transform={"cmd": [sys.executable, "-c", CODE], "stdin": []},
        s3_out=True,
        datum_tries=1,
    )
    first = put(client, "source", a="one", b="two")
    assert wait(client, "s3job", first).state == pps_pb2.JOB_SUCCESS
    assert files(client, "s3job", first) == {"/upper/a": "ONE", "/upper/b": "TWO"}
    lines = [each.message for each in client.get_job_logs("s3job", first)]
    assert {"['data', 'out']", "refused NotImplemented", "out shows []", "unread NoSuchKey"} <= set(lines)
    # Nothing is skipped, and the output begins anew with each job.
    with client.modify_file_client(("source", "master")) as modify:
        modify.delete_file("/a")
    second = str(next(client.inspect_commit(("source", "master"))).commit.id)
    assert wait(client, "s3job", second).data_processed == 1
    assert files(client, "s3job", second) == {"/upper/b": "TWO"}


def test_rules_for_s3_inputs(own_server: Callable[..., Server]) -> None:
    client = own_server().client()
    client.create_repo("source")
    whole = {"pfs": {"repo": "source", "name": "data", "glob": "/", "s3": True}}
    for source, more, words in (
        ({"pfs": {**whole["pfs"], "glob": "/*"}}, {}, "must also set 'glob'"),
        ({"pfs": {**whole["pfs"], "lazy": True}}, {}, "cannot specify both 's3' and 'lazy'"),
        ({"union": [whole, {"pfs": {"repo": "source", "glob": "/"}}]}, {}, "S3 inputs in union expressions"),
        (whole, {"s3_out": True, "spout": {}}, "s3 output is not supported in spouts or services"),
        (pfs("source"), {"spout": {}}, "must not have an input"),
        (pfs("source"), {"service": {"type": "Odd"}}, "the following service type Odd is not allowed"),
        (pfs("source"), {"egress": {"sql_database": {"url": "x"}}}, "egress.sql_database.secret is required"),
        (pfs("source"), {"egress": {"sql_database": SQL}}, "SQL databases is not implemented"),
    ):
        with pytest.raises(grpc.RpcError, match=words):
            create(client, "bad", source, "true", **more)


def test_a_job_that_cannot_send_its_output_anywhere_ends(own_server: Callable[..., Server]) -> None:
    client = own_server().client()
    client.create_repo("source")
    for pipeline, url, words in (
        ("unknown", "ftp://x/y", "unrecognized object store: ftp"),
        ("azure", "wasb://x/y", "wasb:// URLs are not implemented"),
        ("empty", "", "unrecognized object store"),
    ):
        create(client, pipeline, pfs("source"), "true", egress={"URL": url} if url else {})
        job = wait(client, pipeline, next(client.list_job(pipeline)).job.id)
        assert job.state == pps_pb2.JOB_FAILURE and words in job.reason, job


def test_files_from_an_object_store(store: Store, own_server: Callable[..., Server]) -> None:
    for key in ("pets/cats/1.jpg", "pets/dogs/2.jpg", "petsitters", "other/3.jpg"):
        store.put(key, key.encode())
    client = own_server().client()
    client.create_repo("data")
    with client.modify_file_client(("data", "master")) as modify:
        modify.put_file_from_url("/one", f"{store.scheme}://lab/pets/cats/1.jpg")
        modify.put_file_from_url("/all", f"{store.scheme}://lab/pets/", recursive=True)
    found = [each.file.path for each in client.walk_file(("data", "master"), "/") if not each.file.path.endswith("/")]
    assert found == ["/all/cats/1.jpg", "/all/dogs/2.jpg", "/one"]
    assert client.get_file(("data", "master"), "/all/dogs/2.jpg").read() == b"pets/dogs/2.jpg"
    with pytest.raises(grpc.RpcError, match="cannot read lab/none"):
        client.put_file_url(("data", "master"), "/none", f"{store.scheme}://lab/none")


def test_files_to_an_object_store(store: Store, own_server: Callable[..., Server]) -> None:
    server = own_server()
    client = server.client()
    client.create_repo("data")
    create(
        client,
        "sender",
        pfs("data", "/"),
        "cp -r /pfs/data/. /pfs/out/",
        egress={"URL": f"{store.scheme}://lab/egress"},
    )
    big = "x" * (9 << 20)
    commit = put(client, "data", **{"a": "1", "deep/b": big})
    job = wait(client, "sender", commit)
    assert job.state == pps_pb2.JOB_SUCCESS
    assert store.found("egress/") == {"egress/a": b"1", "egress/deep/b": big.encode()}
    # The calls that a client makes itself.
    reference = pfs_pb2.Commit(repo=pfs_pb2.Repo(name="data", type="user"), id=commit)
    request = pfs_pb2.EgressRequest(
        commit=reference, object_storage=pfs_pb2.ObjectStorageEgress(url=f"{store.scheme}://lab/call")
    )
    answer = client._req(Service.PFS, "Egress", req=request)
    assert answer.object_storage.bytes_written == len(big) + 1
    assert sorted(store.found("call/")) == ["call/a", "call/deep/b"]
    assert client.get_file(("data", commit), "/deep/*", URL=f"{store.scheme}://lab/glob").read() == b""
    assert sorted(store.found("glob/")) == ["glob/deep/b"]
    # A store that refuses is asked again, until somebody stops the job; a killed daemon goes on with that.
    create(
        client,
        "lost",
        pfs("data", "/"),
        "cp -r /pfs/data/. /pfs/out/",
        egress={"URL": f"{store.scheme}://no-such-bucket/x"},
    )
    lost = next(client.list_job("lost")).job.id
    words = "error processing egress: cannot write no-such-bucket"
    next(each for each in client.get_pipeline_logs("lost", follow=True, master=True) if words in each.message)
    server.kill()
    client = server.start().client()
    job = next(client.inspect_job(lost, "lost"))
    assert (job.state, client.inspect_commit(("lost", lost)) is not None) == (pps_pb2.JOB_EGRESSING, True)
    assert files(client, "lost", lost)["/a"] == "1"
    store.create("no-such-bucket")
    assert wait(client, "lost", lost).state == pps_pb2.JOB_SUCCESS
