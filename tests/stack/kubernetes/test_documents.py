"""Patches, selectors, columns and the protobuf decoder as plain functions."""

from __future__ import annotations

import pytest

from pdk_stack.kubernetes.api.protobuf import decode
from pdk_stack.kubernetes.core.patches import json_patch, merge_patch, strategic_merge_patch
from pdk_stack.kubernetes.core.selectors import field_selector, label_selector
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import path_values
from pdk_stack.kubernetes.store.kinds import EVENTS, INFERENCE_SERVICES


def test_merge_patch_is_that_of_the_rfc() -> None:
    # The example of RFC 7386, section 3.
    before = {"title": "Goodbye!", "author": {"givenName": "John", "familyName": "Doe"}, "tags": ["a", "b"]}
    patch = {"title": "Hello!", "author": {"familyName": None}, "tags": ["a"], "phone": "1"}
    assert merge_patch(before, patch) == {
        "title": "Hello!",
        "author": {"givenName": "John"},
        "tags": ["a"],
        "phone": "1",
    }
    assert before["title"] == "Goodbye!"


def test_strategic_merge_joins_lists_by_their_key_with_new_items_first() -> None:
    before = {"secrets": [{"name": "old"}, {"name": "kept"}]}
    patch = {"secrets": [{"name": "new"}, {"name": "old", "$patch": "delete"}]}
    assert strategic_merge_patch(before, patch) == {"secrets": [{"name": "new"}, {"name": "kept"}]}


def test_json_patch_adds_replaces_moves_and_tests() -> None:
    document = {"a": {"b": [1, 3]}, "c~/d": 1}
    operations = [
        {"op": "test", "path": "/c~0~1d", "value": 1},
        {"op": "add", "path": "/a/b/1", "value": 2},
        {"op": "add", "path": "/a/b/-", "value": 4},
        {"op": "move", "from": "/a/b", "path": "/list"},
        {"op": "remove", "path": "/c~0~1d"},
    ]
    assert json_patch(document, operations) == {"a": {}, "list": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/nope", "value": 1},
        {"op": "remove", "path": "/a/9"},
        {"op": "test", "path": "/a/0", "value": "other"},
    ],
)
def test_json_patch_that_does_not_fit_is_refused(operation: dict[str, object]) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch({"a": [1]}, [operation])
    assert caught.value.http_status == 422


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("app=dog", True),
        ("app==dog,tier!=back", True),
        ("app in (cat, dog)", True),
        ("app notin (dog)", False),
        ("!missing", True),
        ("app,missing", False),
    ],
)
def test_label_selectors(selector: str, matches: bool) -> None:
    assert label_selector(selector)({"metadata": {"labels": {"app": "dog", "tier": "front"}}}) is matches


def test_field_selectors() -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"name": "dog-cat"}}
    assert field_selector("involvedObject.name=dog-cat,metadata.name!=x", EVENTS)(event)
    with pytest.raises(StatusError, match="field label not supported"):
        field_selector("spec.x=1", INFERENCE_SERVICES)


def test_printer_columns_read_filters_and_indexes() -> None:
    status = {"traffic": [{"tag": "prev", "percent": 10}, {"latestRevision": True, "percent": 90}], "n": [1, 2]}
    assert path_values(".status.traffic[?(@.tag=='prev')].percent", {"status": status}) == [10]
    assert path_values(".status.traffic[?(@.latestRevision==true)].percent", {"status": status}) == [90]
    assert path_values("n[*]", status) == [1, 2]
    assert path_values("n[5]", status) == []


def test_protobuf_of_an_unknown_kind_is_refused_by_name() -> None:
    type_meta = b"\x0a\x02v1\x12\x04Blob"
    envelope = b"k8s\x00\x0a" + bytes([len(type_meta)]) + type_meta
    with pytest.raises(StatusError, match="Blob of v1") as caught:
        decode(envelope)
    assert caught.value.http_status == 415
