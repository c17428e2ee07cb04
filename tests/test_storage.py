"""Model stores: the same behaviour over a folder, S3 (moto, signatures checked) and Google's API (a small stand-in)."""

from __future__ import annotations

import json
import os
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pdk_nb import storage
from pdk_nb.errors import DeploymentError, UsageError

REGION = "us-east-1"


def write_model(folder: Path, content: str = "weights") -> Path:
    for key in ("config/config.properties", "model-store/dogs-and-cats.mar"):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_text(f"{key} {content}")
    return folder


class GcsObjects(BaseHTTPRequestHandler):
    """The calls of google-cloud-storage for uploading, listing, reading and deleting objects."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes] = {}

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _reply(self, code: int, body: bytes = b"", kind: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _key(self) -> str:
        return urllib.parse.unquote(urllib.parse.urlsplit(self.path).path.split("/o/", 1)[1])

    def _metadata(self, key: str) -> dict[str, str]:
        return {"kind": "storage#object", "name": key, "bucket": "models", "size": str(len(self.objects[key]))}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        boundary = self.headers["Content-Type"].split("boundary=")[1].strip('"').encode()
        head, content = body.split(b"--" + boundary)[1:3]
        key = json.loads(head.split(b"\r\n\r\n", 1)[1])["name"]
        self.objects[key] = content.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
        self._reply(200, json.dumps(self._metadata(key)).encode())

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(parts.query)
        if "/b/forbidden" in parts.path:
            return self._reply(403, json.dumps({"error": {"code": 403, "message": "no rights here"}}).encode())
        if "/o/" not in parts.path:
            found = [key for key in self.objects if key.startswith(query.get("prefix", [""])[0])]
            return self._reply(200, json.dumps({"items": [self._metadata(key) for key in found]}).encode())
        key = self._key()
        if key not in self.objects:
            return self._reply(404, json.dumps({"error": {"code": 404, "message": "No such object"}}).encode())
        return self._reply(200, self.objects[key], "application/octet-stream")

    def do_DELETE(self) -> None:
        self._reply(204 if self.objects.pop(self._key(), None) is not None else 404)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """A moto server that checks signatures, with one user who may use its bucket."""
    import boto3
    import requests
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    # Its buckets belong to the whole process: another module's objects may be there.
    requests.post(f"{address}/moto-api/reset", timeout=10)
    options: dict[str, Any] = {"endpoint_url": address, "region_name": REGION}
    root = {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
    boto3.client("s3", **options, **root).create_bucket(Bucket="models")
    iam = boto3.client("iam", **options, **root)
    iam.create_user(UserName="lab")
    rights = {"Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::models", "arn:aws:s3:::models/*"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
    iam.put_user_policy(UserName="lab", PolicyName="models", PolicyDocument=policy)
    key = iam.create_access_key(UserName="lab")["AccessKey"]
    # From here on every call has to be signed by somebody who may do it.
    requests.post(f"{address}/moto-api/reset-auth", data="0", timeout=10)
    yield {"endpoint": address, "access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    # The switch is one for the whole process.
    requests.post(f"{address}/moto-api/reset-auth", data="inf", timeout=10)
    server.stop()


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    GcsObjects.objects = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), GcsObjects)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["folder", "s3", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "folder":
        return storage.FolderStore(tmp_path / "out", "s3://bucket")
    if request.param == "s3":
        return storage.S3Store("models", **request.getfixturevalue("s3"))
    request.getfixturevalue("gcs")
    return storage.open_store("gcp", "gs://models/")


def test_a_model_goes_in_under_its_version_and_comes_back(store: Any, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    storage.probe(store, "dogs-and-cats")
    uri = storage.upload_model(store, "dogs-and-cats", "v1", folder)
    storage.upload_model(store, "dogs-and-cats", "v2", folder)
    storage.upload_model(store, "dogs-and-cats-2", "v9", folder)
    assert uri == f"{store.uri}dogs-and-cats/v1/"
    assert uri.endswith("/")
    assert storage.versions(store, "dogs-and-cats") == ["v1", "v2"]
    assert store.read("dogs-and-cats/v1/model-store/dogs-and-cats.mar") == b"model-store/dogs-and-cats.mar weights"
    # The probe has left nothing behind.
    assert len(list(store.keys("dogs-and-cats/"))) == 4
    assert storage.delete_version(store, "dogs-and-cats", "v1") == 2
    assert storage.versions(store, "dogs-and-cats") == ["v2"]
    assert storage.versions(store, "dogs-and-cats-2") == ["v9"]
    with pytest.raises(KeyError):
        store.read("dogs-and-cats/v1/config/config.properties")
    store.delete("never-there")
    for version in ("v2", "v9"):
        storage.delete_version(store, "dogs-and-cats" if version == "v2" else "dogs-and-cats-2", version)


def test_the_configuration_goes_last(tmp_path: Path) -> None:
    order: list[str] = []

    class Watched(storage.FolderStore):
        def put(self, source: Path, key: str) -> None:
            order.append(key)
            super().put(source, key)

    storage.upload_model(Watched(tmp_path / "out"), "m", "1", write_model(tmp_path / "model"))
    assert order[-1] == "m/1/config/config.properties"
    assert len(order) == 2


def test_an_interrupted_upload_is_no_version(tmp_path: Path) -> None:
    store = storage.FolderStore(tmp_path / "out")
    store.put(write_model(tmp_path / "model") / "model-store" / "dogs-and-cats.mar", "m/1/model-store/m.mar")
    assert storage.versions(store, "m") == []


def test_an_incomplete_folder_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    (folder / "config" / "config.properties").unlink()
    with pytest.raises(DeploymentError, match="incomplete"):
        storage.upload_model(storage.FolderStore(tmp_path / "out"), "m", "1", folder)


def test_wrong_keys_are_refused_by_the_signature(s3: dict[str, str]) -> None:
    wrong = storage.S3Store("models", **{**s3, "secret_key": "wrong"})
    with pytest.raises(DeploymentError, match="SignatureDoesNotMatch"):
        storage.probe(wrong)
    stranger = storage.S3Store("somebody-elses", **s3)
    with pytest.raises(DeploymentError, match=r"AccessDenied|NoSuchBucket"):
        storage.probe(stranger)


def test_googles_refusal_is_told(gcs: None) -> None:
    with pytest.raises(DeploymentError, match="no rights here"):
        list(storage.open_store("gcp", "forbidden").keys())


def test_a_store_without_credentials_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # boto3 remembers the credentials that an earlier test's environment had.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    with pytest.raises(DeploymentError, match="redentials") as raised:
        storage.probe(storage.S3Store("models"))
    assert "service account" in raised.value.fix


def test_the_store_for_a_platform(tmp_path: Path) -> None:
    store = storage.open_store(None, output=tmp_path, output_uri="s3://job.master.repo.project")
    assert store.uri == "s3://job.master.repo.project/"
    assert storage.gateway_bucket("c0ffee", "master", "repo", "project") == "c0ffee.master.repo.project"
    assert storage.gateway_bucket("c0ffee", "master", "repo", "") == "c0ffee.master.repo"
    for arguments in ((None, ""), ("aws", ""), ("aws", "/mnt/models"), ("azure", "bucket")):
        with pytest.raises(UsageError):
            storage.open_store(*arguments)
    with pytest.raises(UsageError):
        store.put(tmp_path / "x", "../../escape")


@pytest.mark.parametrize(("model", "version"), [("m", ""), ("", "1"), ("m", "a/b")])
def test_deleting_needs_one_exact_version(tmp_path: Path, model: str, version: str) -> None:
    with pytest.raises(UsageError):
        storage.delete_version(storage.FolderStore(tmp_path), model, version)


def test_the_guides_folder_step(tmp_path: Path) -> None:
    store = storage.FolderStore(tmp_path)
    storage.make_folders(store, "dogs-and-cats")
    assert sorted(path.name for path in (tmp_path / "dogs-and-cats").iterdir()) == ["config", "model-store"]
    assert storage.versions(store, "dogs-and-cats") == []
