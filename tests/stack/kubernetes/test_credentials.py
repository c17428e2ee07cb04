"""Storage credentials of a service account's secrets, as KServe's webhook hands them on."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdk_stack.kubernetes.core.inference.configuration import CONFIG_MAP, NAMESPACE
from pdk_stack.kubernetes.core.inference.revisions.credentials import storage_environment
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kinds import CONFIG_MAPS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from pdk_stack.kubernetes.store.objects import ObjectStore

PREFIX = "serving.kserve.io/"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    found = ObjectStore(tmp_path / "objects.sqlite")
    found.create(NAMESPACES, None, {"metadata": {"name": "models"}})
    yield found
    found.close()


def give(store: ObjectStore, account: str, secret: str, notes: dict[str, str], **data: str) -> None:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    store.create(SECRETS, "models", {"metadata": {"name": secret, "annotations": notes}, "data": encoded})
    if account:
        store.create(SERVICE_ACCOUNTS, "models", {"metadata": {"name": account}, "secrets": [{"name": secret}]})


def service(account: str = "", **notes: str) -> Object:
    named = {"serviceAccountName": account} if account else {}
    meta = {"namespace": "models", "annotations": {f"{PREFIX}{key}": value for key, value in notes.items()}}
    return {"metadata": meta, "spec": {"predictor": named}}


def configure(store: ObjectStore, **credentials: Any) -> None:
    store.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
    content = {"metadata": {"name": CONFIG_MAP}, "data": {"credentials": json.dumps(credentials)}}
    store.create(CONFIG_MAPS, NAMESPACE, content)


def test_keys_and_endpoint_of_s3(store: ObjectStore, tmp_path: Path) -> None:
    notes = {f"{PREFIX}s3-endpoint": "127.0.0.1:30600", f"{PREFIX}s3-usehttps": "0"}
    give(store, "deploy", "s3", notes, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    assert storage_environment(store, service("deploy"), tmp_path) == {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:30600",
        "S3_ENDPOINT": "127.0.0.1:30600",
        "S3_USE_HTTPS": "0",
    }
    # Another account's keys are nobody else's.
    assert storage_environment(store, service(), tmp_path) == {}
    with pytest.raises(StatusError, match="not found"):
        storage_environment(store, service("absent"), tmp_path)
    store.create(SERVICE_ACCOUNTS, "models", {"metadata": {"name": "lost"}, "secrets": [{"name": "gone"}]})
    with pytest.raises(StatusError, match='secrets "gone" not found'):
        storage_environment(store, service("lost"), tmp_path)


def test_kserves_configuration_names_keys_and_has_defaults(store: ObjectStore, tmp_path: Path) -> None:
    s3 = {"s3AccessKeyIDName": "user", "s3SecretAccessKeyName": "password", "s3Endpoint": "minio:9000"}
    s3 |= {"s3UseHttps": "0", "s3Region": "eu", "s3VerifySSL": "0", "s3UseVirtualBucket": "true"}
    configure(store, s3=s3, gcs={"gcsCredentialFileName": "key.json"}, storageSecretNameAnnotation=f"{PREFIX}chosen")
    give(store, "default", "s3", {f"{PREFIX}s3-region": "us"}, user="a", password="b")
    common = {"AWS_ENDPOINT_URL": "http://minio:9000", "S3_ENDPOINT": "minio:9000", "S3_USE_HTTPS": "0"}
    common |= {"S3_VERIFY_SSL": "0", "S3_USER_VIRTUAL_BUCKET": "true"}
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    # An annotation goes before the configuration.
    assert storage_environment(store, service(), tmp_path) == {**keys, **common, "AWS_DEFAULT_REGION": "us"}
    # A service can choose its secret, and a role of its account stands for keys.
    give(store, "", "google", {}, **{"key.json": "{}"})
    assert list(storage_environment(store, service(chosen="google"), tmp_path)) == ["GOOGLE_APPLICATION_CREDENTIALS"]
    meta = {"name": "role", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}}
    store.create(SERVICE_ACCOUNTS, "models", {"metadata": meta})
    assert storage_environment(store, service("role"), tmp_path) == {**common, "AWS_DEFAULT_REGION": "eu"}


def test_names_of_keys_where_the_configuration_has_none(store: ObjectStore, tmp_path: Path) -> None:
    configure(store)
    give(store, "default", "s3", {}, awsAccessKeyID="a", awsSecretAccessKey="b")
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert storage_environment(store, service(), tmp_path) == keys


def test_headers_for_a_host(store: ObjectStore, tmp_path: Path) -> None:
    give(store, "default", "web", {}, **{"https-host": "models.example", "headers": '{"token": "t"}'})
    assert storage_environment(store, service(), tmp_path) == {"models.example-headers": '{"token": "t"}'}


def test_the_key_file_of_google(store: ObjectStore, tmp_path: Path) -> None:
    give(store, "default", "google", {}, **{"gcloud-application-credentials.json": "{}"})
    found = storage_environment(store, service(), tmp_path)
    path = Path(found["GOOGLE_APPLICATION_CREDENTIALS"])
    assert path.read_text() == "{}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
