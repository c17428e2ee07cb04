"""Model stores: the same behaviour over a folder, S3 (moto, signatures checked) and Google Cloud Storage (emulated)."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb import cli, journey, settings
from pdk_nb.lessons import find_exercise, n04_deployment
from pdk_nb.names import Names
from pdk_nb.platforms import mldm, storage
from pdk_shared.errors import DeploymentError, UsageError
from tests.support.object_stores import google_storage, signed_s3


def write_model(folder: Path, content: str = "weights") -> Path:
    for key in ("config/config.properties", "model-store/dogs-and-cats.mar"):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_text(f"{key} {content}")
    return folder


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """A user's way to a bucket that checks signatures."""
    with signed_s3() as server:
        yield server.options


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with google_storage() as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        yield


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
    for call in (storage.probe, lambda store: list(store.keys())):
        with pytest.raises(DeploymentError, match="NotFound"):
            call(storage.open_store("gcp", "nobodys-bucket"))


def test_a_model_larger_than_one_request_arrives_whole(store: Any, tmp_path: Path) -> None:
    # Above boto3's multipart threshold (8 MiB) and Google's largest simple upload.
    content = random.Random(7).randbytes(17 << 20)
    (tmp_path / "large.mar").write_bytes(content)
    store.put(tmp_path / "large.mar", "m/1/model-store/m.mar")
    assert store.read("m/1/model-store/m.mar") == content
    store.delete("m/1/model-store/m.mar")


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


def test_the_guides_folder_step(gcs: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["storage", "prepare", "--bucket", "gs://models"]) == 0
    said = capsys.readouterr()
    assert "gs://models/ is writable" in said.err
    assert said.out == ""
    store = storage.open_store("gcp", "models")
    # The probe leaves nothing behind, and no folder is needed.
    assert list(store.keys()) == []
    assert cli.main(["storage", "prepare", "--bucket", "gs://models", "--folders"]) == 0
    made = ["gs://models/dogs-and-cats/config/.keep", "gs://models/dogs-and-cats/model-store/.keep"]
    assert capsys.readouterr().out.splitlines() == made
    assert storage.versions(store, "dogs-and-cats") == []


def test_the_versions_are_listed(s3: dict[str, str], tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3["access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3["secret_key"])
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.touch()
    config = {"kserve_model_bucket_name": "models", "minio_url": s3["endpoint"]}
    monkeypatch.setattr(settings, "load", lambda *given: settings.from_maps(config))
    words = ["storage", "list", "--kubeconfig", str(kubeconfig), "--model", "m"]
    assert cli.main(words) == 0
    assert "no version of m" in capsys.readouterr().err
    store = storage.S3Store("models", **s3)
    for version in ("v1", "v2"):
        storage.upload_model(store, "m", version, write_model(tmp_path / "model"))
    assert cli.main(words) == 0
    assert capsys.readouterr().out.splitlines() == ["s3://models/m/v1/", "s3://models/m/v2/"]
    for version in ("v1", "v2"):
        storage.delete_version(store, "m", version)
    config["kserve_model_bucket_name"] = "N/A"
    assert cli.main(words) == 2
    assert "no model bucket" in capsys.readouterr().err
    assert cli.main(["storage", "prepare", "--bucket", "models"]) == 2
    assert "gs://NAME" in capsys.readouterr().err


def test_an_archive_in_a_bucket_that_this_machine_cannot_read(
    s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People's laptops have neither a cloud's credentials nor the names inside the cluster; the notebook goes on."""
    served = SimpleNamespace(version="v1", storage_uri="s3://models/dogs-and-cats/v1/")
    monkeypatch.setattr(mldm, "files", lambda *given: [])
    monkeypatch.setattr(mldm, "newest_try", lambda *given: None)
    monkeypatch.setattr(journey, "read_service", lambda session: served)
    address = "s3://models/dogs-and-cats/v1/model-store/dogs-and-cats.mar"

    def session(**config: str) -> Any:
        known = settings.from_maps({"kserve_model_bucket_name": "models", **config}, keys)
        return SimpleNamespace(names=Names(), pachyderm=None, settings=known)

    def table(**config: str) -> Any:
        return n04_deployment.archive_table(session(**config), "v1")

    keys = {"minio_access_key": s3["access_key"], "minio_secret_key": "another"}
    refused = table(minio_url=s3["endpoint"])
    assert (refused.rows, refused.caption.startswith(f"This machine can't read {address}.")) == ([], True)
    assert "SignatureDoesNotMatch" in refused.caption or "403" in refused.caption
    assert "This machine can't read" in table(minio_url="http://minio.nowhere.invalid:9000").caption
    monkeypatch.setattr(n04_deployment, "latest_commit", lambda session: "v1")
    judged = find_exercise("04-names").judge(session(minio_url=s3["endpoint"]), "index_to_name.json")
    assert judged.state == "ok"
    # With the pipelines' keys it is read, and what is not there is an error.
    keys["minio_secret_key"] = s3["secret_key"]
    with pytest.raises(DeploymentError, match="isn't where the service looks"):
        table(minio_url=s3["endpoint"])
    with pytest.raises(DeploymentError, match="has no known archive"):
        served.version = "v2"
        table(minio_url=s3["endpoint"])
