"""The object store without a socket: versions, generations, conflicts, watches, restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.kinds import CONFIG_MAPS, INFERENCE_SERVICES, NAMESPACES
from pdk_stack.kubernetes.store.objects import Change, ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(tmp_path / "objects.sqlite")
    store.create(NAMESPACES, None, {"metadata": {"name": "default"}})
    return store


def service(**spec: object) -> dict[str, object]:
    return {"metadata": {"name": "dog-cat"}, "spec": {"predictor": dict(spec)}}


def test_every_write_gets_a_new_version_and_a_write_of_the_same_keeps_it(store: ObjectStore) -> None:
    first = store.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    same = store.update(CONFIG_MAPS, "default", "a", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    other = store.update(CONFIG_MAPS, "default", "a", {"metadata": {"name": "a"}, "data": {"k": "w"}})
    assert same["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert int(other["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert other["metadata"]["uid"] == first["metadata"]["uid"]


def test_a_stale_write_is_a_conflict_and_changes_nothing(store: ObjectStore) -> None:
    old = store.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}, "data": {"k": "1"}})
    store.update(CONFIG_MAPS, "default", "a", {"metadata": {}, "data": {"k": "2"}})
    old["data"]["k"] = "3"
    with pytest.raises(StatusError, match="has been modified") as caught:
        store.update(CONFIG_MAPS, "default", "a", old)
    assert caught.value.http_status == 409
    assert store.get(CONFIG_MAPS, "default", "a")["data"] == {"k": "2"}


def test_generation_counts_spec_changes_and_status_is_a_subresource(store: ObjectStore) -> None:
    made = store.create(INFERENCE_SERVICES, "default", {**service(a=1), "status": {"url": "mine"}})
    assert made["metadata"]["generation"] == 1
    assert "status" not in made
    made["status"] = {"url": "x"}
    reported = store.update(INFERENCE_SERVICES, "default", "dog-cat", made, subresource="status")
    assert (reported["status"], reported["metadata"]["generation"]) == ({"url": "x"}, 1)
    reported["metadata"]["annotations"] = {"pach_id": "1"}
    noted = store.update(INFERENCE_SERVICES, "default", "dog-cat", reported)
    assert noted["metadata"]["generation"] == 1
    noted["spec"] = {"predictor": {"a": 2}}
    noted["status"] = {"url": "forged"}
    changed = store.update(INFERENCE_SERVICES, "default", "dog-cat", noted)
    assert changed["metadata"]["generation"] == 2
    assert changed["status"] == {"url": "x"}


def test_a_custom_object_needs_its_version_for_a_replacement(store: ObjectStore) -> None:
    store.create(INFERENCE_SERVICES, "default", service(a=1))
    with pytest.raises(StatusError, match="must be specified for an update") as caught:
        store.update(INFERENCE_SERVICES, "default", "dog-cat", service(a=2))
    assert caught.value.http_status == 422


def test_missing_things_are_named(store: ObjectStore) -> None:
    with pytest.raises(StatusError, match='configmaps "nope" not found'):
        store.get(CONFIG_MAPS, "default", "nope")
    with pytest.raises(StatusError, match='namespaces "nowhere" not found'):
        store.create(CONFIG_MAPS, "nowhere", {"metadata": {"name": "a"}})


def test_finalizers_hold_an_object_until_they_are_gone(store: ObjectStore) -> None:
    store.create(CONFIG_MAPS, "default", {"metadata": {"name": "a", "finalizers": ["x"]}})
    held, gone = store.delete(CONFIG_MAPS, "default", "a")
    assert not gone
    assert held["metadata"]["deletionTimestamp"]
    held["metadata"]["finalizers"] = []
    store.update(CONFIG_MAPS, "default", "a", held)
    with pytest.raises(StatusError, match="not found"):
        store.get(CONFIG_MAPS, "default", "a")


def test_changes_after_a_version_come_in_order(store: ObjectStore) -> None:
    start = store.version
    store.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}})
    store.update(CONFIG_MAPS, "default", "a", {"metadata": {}, "data": {"k": "v"}})
    store.delete(CONFIG_MAPS, "default", "a")
    assert [change.type for change in store.changes(CONFIG_MAPS, None, start)] == ["ADDED", "MODIFIED", "DELETED"]
    assert store.changes(CONFIG_MAPS, "other", start) == []


def test_a_restart_keeps_objects_and_versions_and_refuses_older_watches(store: ObjectStore, tmp_path: Path) -> None:
    made = store.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    store.close()
    again = ObjectStore(tmp_path / "objects.sqlite")
    assert again.get(CONFIG_MAPS, "default", "a") == made
    assert again.version == int(made["metadata"]["resourceVersion"])
    with pytest.raises(StatusError, match="too old") as caught:
        again.changes(CONFIG_MAPS, None, 1000)
    assert caught.value.http_status == 410


def test_a_full_disk_refuses_the_change_and_leaves_all_as_it_was(store: ObjectStore, tmp_path: Path) -> None:
    told: list[Change] = []
    kept = store.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    store.subscribe(told.append)
    version, rung = store.version, store.bell.count
    with store.database.write() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    rung += 1
    large = {"k": "v" * 100_000}
    for change in (
        lambda: store.create(CONFIG_MAPS, "default", {"metadata": {"name": "b"}, "data": large}),
        lambda: store.update(CONFIG_MAPS, "default", "a", {"metadata": {}, "data": large}),
    ):
        with pytest.raises(StatusError, match="full") as caught:
            change()
        assert (caught.value.http_status, caught.value.reason) == (507, "InsufficientStorage")
    assert (store.version, store.bell.count, told) == (version, rung, [])
    assert store.changes(CONFIG_MAPS, None, version) == []
    assert [each["metadata"]["name"] for each in store.select(CONFIG_MAPS)[0]] == ["a"]
    # What fits is taken, with the next version; a restart finds the same.
    store.delete(CONFIG_MAPS, "default", "a")
    small = store.create(CONFIG_MAPS, "default", {"metadata": {"name": "c"}})
    assert [int(each.object["metadata"]["resourceVersion"]) for each in told] == [version + 1, version + 2]
    assert kept["data"] == {"k": "v"}
    store.close()
    again = ObjectStore(tmp_path / "objects.sqlite")
    assert (again.select(CONFIG_MAPS), again.version) == (([small], version + 2), version + 2)
