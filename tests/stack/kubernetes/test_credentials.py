"""Storage credentials of a service account's secrets, as KServe's webhook hands them on."""

from __future__ import annotations

import base64
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdk_stack.kubernetes.core.inference.revisions.credentials import storage_environment
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.kinds import NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from pdk_stack.kubernetes.store.objects import ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    found = ObjectStore(tmp_path / "objects.sqlite")
    found.create(NAMESPACES, None, {"metadata": {"name": "models"}})
    yield found
    found.close()


def give(store: ObjectStore, account: str, secret: str, notes: dict[str, str], **data: str) -> None:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    store.create(SECRETS, "models", {"metadata": {"name": secret, "annotations": notes}, "data": encoded})
    names = [{"name": secret}, {"name": "not-there"}]
    store.create(SERVICE_ACCOUNTS, "models", {"metadata": {"name": account}, "secrets": names})


def test_keys_and_endpoint_of_s3(store: ObjectStore, tmp_path: Path) -> None:
    notes = {"serving.kserve.io/s3-endpoint": "127.0.0.1:30600", "serving.kserve.io/s3-usehttps": "0"}
    give(store, "deploy", "s3", notes, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    found = storage_environment(store, "models", {"serviceAccountName": "deploy"}, tmp_path)
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == ("a", "b")
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:30600"
    # Another account's keys are nobody else's.
    assert storage_environment(store, "models", {}, tmp_path) == {}
    with pytest.raises(StatusError, match="not found"):
        storage_environment(store, "models", {"serviceAccountName": "absent"}, tmp_path)


def test_the_key_file_of_google(store: ObjectStore, tmp_path: Path) -> None:
    give(store, "default", "google", {}, **{"gcloud-application-credentials.json": "{}"})
    found = storage_environment(store, "models", {}, tmp_path)
    path = Path(found["GOOGLE_APPLICATION_CREDENTIALS"])
    assert path.read_text() == "{}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
