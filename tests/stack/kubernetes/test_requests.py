"""What a request asks for: paths, options, selectors, formats of answers, and pages of lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from pdk_stack.kubernetes.api import paging
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.api.negotiation import Format, negotiate
from pdk_stack.kubernetes.api.replies import encoded, one, several
from pdk_stack.kubernetes.api.request_info import request_info
from pdk_stack.kubernetes.core import reading
from pdk_stack.kubernetes.core.selectors import field_selector, label_selector
from pdk_stack.kubernetes.core.validation.options import check_list, check_write, delete_options
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import CONFIG_MAPS, EVENTS, INFERENCE_SERVICES, NAMESPACES, SECRETS
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.workload_kinds import PODS

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    found = ObjectStore(tmp_path / "objects.sqlite")
    found.create(NAMESPACES, None, {"metadata": {"name": "lab"}})
    for number in range(5):
        meta = {"name": f"c{number}", "labels": {"n": str(number)}}
        found.create(CONFIG_MAPS, "lab", {"metadata": meta})
    yield found
    found.close()


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/api/v1/namespaces", "list  namespaces  "),
        ("GET", "/api/v1/namespaces/a", "get  namespaces a a"),
        ("GET", "/api/v1/namespaces/a/status", "get  namespaces/status a a"),
        ("GET", "/api/v1/configmaps", "list  configmaps  "),
        ("GET", "/api/v1/namespaces/a/configmaps/b", "get  configmaps a b"),
        ("GET", "/api/v1/namespaces/a/configmaps?watch=true", "watch  configmaps a "),
        ("GET", "/api/v1/watch/namespaces/a/configmaps/b", "watch  configmaps a b"),
        ("GET", "/api/v1/namespaces/a/configmaps?fieldSelector=metadata.name=b", "list  configmaps a b"),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", "create apps deployments a "),
        ("PUT", "/apis/apps/v1/namespaces/a/deployments/b/status", "update apps deployments/status a b"),
        ("PATCH", "/apis/g.io/v1/things/b", "patch g.io things  b"),
        ("DELETE", "/apis/g.io/v1/things/b", "delete g.io things  b"),
        ("DELETE", "/apis/g.io/v1/things", "deletecollection g.io things  "),
        ("GET", "/api/v1/namespaces/a/pods/b/log", "get  pods/log a b"),
        ("GET", "/api/v1/namespaces/a/pods/b%3A9091/proxy/metrics", "get  pods/proxy a b:9091"),
    ],
)
def test_what_a_request_does_and_to_what(method: str, path: str, action: str) -> None:
    found = request_info(method, *path.partition("?")[::2]).action
    assert f"{found.verb} {found.group} {found.resource} {found.namespace} {found.name}" == action


@pytest.mark.parametrize("path", ["/", "/version", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1", "/metrics"])
def test_other_paths_are_no_resources(path: str) -> None:
    found = request_info("GET", path, "").action
    assert (found.verb, found.path, found.resource) == ("get", path, "")


@pytest.mark.parametrize(
    ("verb", "query", "told"),
    [
        (
            "Create",
            "dryRun=Gold",
            'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: []string{"Gold"}',
        ),
        ("Update", "fieldValidation=Gold", 'UpdateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported'),
        ("Create", "fieldManager=" + "m" * 129, "fieldManager: Too long: must have at most 128 bytes"),
        ("Update", "fieldManager=a%00b", "fieldManager: Invalid value"),
        ("Patch", "force=true", "force: Forbidden: may not be specified for non-apply patch"),
        ("Apply", "", "fieldManager: Required value: is required for apply patch"),
        ("List", "limit=gold", 'strconv.ParseInt: parsing "gold": invalid syntax'),
        ("List", "limit=99999999999999999999", "value out of range"),
        ("List", "timeoutSeconds=gold", 'strconv.ParseInt: parsing "gold": invalid syntax'),
        ("List", "resourceVersionMatch=Exact", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("List", "resourceVersion=5&resourceVersionMatch=Gold", 'Unsupported value: "Gold"'),
        ("List", "resourceVersion=0&resourceVersionMatch=Exact", 'is forbidden for resourceVersion "0"'),
        ("List", "sendInitialEvents=true", "sendInitialEvents is forbidden for list"),
        ("List", "watch=1&sendInitialEvents=true", "requires setting resourceVersionMatch to NotOlderThan"),
        ("List", "watch=1&resourceVersionMatch=Exact", "forbidden for watch unless sendInitialEvents is provided"),
        ("Delete", "dryRun=Gold", "dryRun: Unsupported value"),
        ("Delete", "propagationPolicy=Gold", 'supported values: "Foreground", "Background", "Orphan", "nil"'),
        ("Delete", "propagationPolicy=Orphan&orphanDependents=true", "cannot be both set"),
        ("Delete", "gracePeriodSeconds=x", 'parsing "x": invalid syntax'),
    ],
)
def test_options_that_are_refused(verb: str, query: str, told: str) -> None:
    given = parse_qs(query, keep_blank_values=True)
    with pytest.raises(StatusError) as caught:
        if verb == "Delete":
            delete_options(given, None)
        elif verb == "List":
            check_list(given)
        else:
            check_write(given, verb.replace("Apply", "Patch"), apply=verb == "Apply")
    assert told in caught.value.message
    assert caught.value.http_status == (400 if "strconv" in caught.value.message else 422)


@pytest.mark.parametrize("query", ["", "dryRun=All", "fieldManager=me&fieldValidation=Strict", "dryRun=All&dryRun=All"])
def test_options_that_are_taken(query: str) -> None:
    check_write(parse_qs(query), "Create")
    check_list(parse_qs("limit=-1&timeoutSeconds=0&resourceVersion=5&resourceVersionMatch=NotOlderThan"))


@pytest.mark.parametrize("body", [[{}], "x", {"preconditions": 0.5}, {"propagationPolicy": []}, {"dryRun": "All"}])
def test_options_of_a_deletion_have_types(body: Any) -> None:
    with pytest.raises(StatusError) as caught:
        delete_options({}, body)
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("n", "01234"),
        ("!n", ""),
        ("n in (1,3)", "13"),
        ("n notin (1,3)", "024"),
        ("n>2", "34"),
        ("n<2,n!=0", "1"),
        ("n=", ""),
        ("n in ()", ""),
        ("n in (,1)", "1"),
        ("x!=1", "01234"),
        (" n == 1 ", "1"),
    ],
)
def test_label_selectors_choose(store: ObjectStore, selector: str, names: str) -> None:
    chosen = label_selector(selector)
    found = [each["metadata"]["name"][1:] for each in store.view(CONFIG_MAPS)[0] if chosen(each)]
    assert "".join(found) == names


@pytest.mark.parametrize(
    ("selector", "told"),
    [
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must",
        ),
        ("-a", 'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of'),
        ("a=-", "unable to parse requirement: values[0][a]: Invalid value"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
    ],
)
def test_label_selectors_that_are_refused(selector: str, told: str) -> None:
    with pytest.raises(StatusError) as caught:
        label_selector(selector)
    assert caught.value.message.startswith(told)
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    ("kind", "selector", "told"),
    [
        (CONFIG_MAPS, "data.x=1", '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        (PODS, "spec.gold=1", "field label not supported: spec.gold"),
        (INFERENCE_SERVICES, "spec.x=1", "field label not supported: spec.x"),
        (CONFIG_MAPS, "gold", "invalid selector: 'gold'; can't understand 'gold'"),
        (CONFIG_MAPS, "metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        (CONFIG_MAPS, r"metadata.name=a\b", r"invalid field selector: invalid escape sequence: \b"),
    ],
)
def test_field_selectors_that_are_refused(kind: Kind, selector: str, told: str) -> None:
    with pytest.raises(StatusError) as caught:
        field_selector(selector, kind)
    assert (caught.value.message, caught.value.http_status) == (told, 400)


@pytest.mark.parametrize(
    ("kind", "selector", "obj"),
    [
        (SECRETS, "type=Opaque", {"type": "Opaque"}),
        (PODS, "status.phase=Running,spec.nodeName!=x", {"status": {"phase": "Running"}}),
        (NAMESPACES, "status.phase==Active", {"status": {"phase": "Active"}}),
        (
            EVENTS,
            "source=me,involvedObject.kind=Pod",
            {"source": {"component": "me"}, "involvedObject": {"kind": "Pod"}},
        ),
        (CONFIG_MAPS, r"metadata.name=a\,b", {"metadata": {"name": "a,b"}}),
    ],
)
def test_field_selectors_choose_by_the_labels_of_the_kind(kind: Kind, selector: str, obj: dict[str, Any]) -> None:
    assert field_selector(selector, kind)({"metadata": {}, **obj})
    assert not field_selector(selector, kind)({"metadata": {"name": "other"}})


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", Format()),
        ("*/*", Format()),
        ("application/yaml", Format("application/yaml")),
        (TABLE, Format(form="Table")),
        (f"{TABLE.replace('v1', 'v1beta1')},application/json", Format(form="Table", version="v1beta1")),
        ("application/json;as=Gold;v=v1;g=meta.k8s.io,application/json", Format()),
        ("application/vnd.kubernetes.protobuf,application/json", Format()),
        ("application/json;q=0.1,application/yaml;q=0.9", Format("application/yaml")),
        ("application/json;pretty=1", Format(pretty=True)),
    ],
)
def test_the_format_is_the_first_that_both_know(accept: str, wanted: Format) -> None:
    assert negotiate(accept) == wanted


@pytest.mark.parametrize(
    ("accept", "code", "told"),
    [
        ("text/html", 406, "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml"),
        ("application/json;as=Gold;v=v1;g=meta.k8s.io", 406, "only the following media types are accepted"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io", 406, "only the following media types are accepted"),
        ("application/vnd.kubernetes.protobuf", 501, "answers in protobuf"),
    ],
)
def test_formats_that_are_refused(accept: str, code: int, told: str) -> None:
    with pytest.raises(StatusError) as caught:
        negotiate(accept)
    assert caught.value.http_status == code
    assert told in caught.value.message


def test_answers_end_with_a_line_break_and_are_pretty_for_people() -> None:
    assert encoded({"a": "ä"}, Format()) == '{"a":"ä"}\n'.encode()
    assert encoded({"a": 1}, negotiate("", user_agent="curl/8")) == b'{\n  "a": 1\n}\n'
    assert encoded({"a": 1}, negotiate("", pretty="true")) == b'{\n  "a": 1\n}\n'
    assert encoded({"a": [1]}, negotiate("application/yaml")) == b"a:\n- 1\n"


def test_objects_are_shown_as_tables_and_metadata(store: ObjectStore) -> None:
    (first, *_), _ = store.view(CONFIG_MAPS)
    partial = one(CONFIG_MAPS, first, Format(form="PartialObjectMetadata"))
    assert (partial["kind"], partial["apiVersion"], "data" in partial) == (
        "PartialObjectMetadata",
        "meta.k8s.io/v1",
        False,
    )
    listed = several(CONFIG_MAPS, [first], {}, Format(form="PartialObjectMetadataList", version="v1beta1"))
    assert [listed["apiVersion"], listed["items"][0]["kind"]] == ["meta.k8s.io/v1beta1", "PartialObjectMetadata"]
    assert one(CONFIG_MAPS, first, Format(form="Table"), "None")["rows"] == [{"cells": ["c0", 0, "0s"]}]
    for show, told in (
        (
            lambda: one(CONFIG_MAPS, first, Format(form="PartialObjectMetadataList")),
            r"is not a list \(\*core.ConfigMap\)",
        ),
        (lambda: several(CONFIG_MAPS, [], {}, Format(form="PartialObjectMetadata")), r"\(\*core.ConfigMapList\)"),
        (
            lambda: one(CONFIG_MAPS, first, Format(form="Table"), "Gold"),
            "must be 'Metadata', 'Object', 'None', or empty",
        ),
    ):
        with pytest.raises(StatusError, match=told):
            show()


def pages(store: ObjectStore, **query: str) -> paging.Page:
    call = ResourceCall("list", CONFIG_MAPS, "lab", "", query={name: [value] for name, value in query.items()})
    return paging.page(store, call, call.matches())


def names(page: paging.Page) -> str:
    return "".join(each["metadata"]["name"][1:] for each in page.objects)


def test_a_list_comes_in_pages_that_go_on_behind_the_last_name(store: ObjectStore) -> None:
    first = pages(store, limit="2")
    assert (names(first), first.meta["remainingItemCount"]) == ("01", 3)
    store.create(CONFIG_MAPS, "lab", {"metadata": {"name": "c00"}})
    second = pages(store, limit="2", **{"continue": first.meta["continue"]})
    assert (names(second), second.meta["resourceVersion"]) == ("23", first.meta["resourceVersion"])
    assert names(pages(store, **{"continue": second.meta["continue"]})) == "4"
    assert "remainingItemCount" not in pages(store, limit="2", labelSelector="n").meta
    assert names(pages(store, limit="-1", labelSelector="n")) == "01234"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"continue": "gold"}, 400),
        ({"continue": "%%%"}, 400),
        ({"continue": "eyJ2IjoxfQ", "resourceVersion": "5"}, 400),
        ({"resourceVersion": "gold"}, 400),
        ({"resourceVersion": "99999999999"}, 504),
    ],
)
def test_pages_and_versions_that_are_refused(store: ObjectStore, query: dict[str, str], code: int) -> None:
    with pytest.raises(StatusError) as caught:
        pages(store, **query)
    assert caught.value.http_status == code
    json.dumps(caught.value.status())


def test_an_exact_version_is_the_current_one_or_too_old(store: ObjectStore) -> None:
    version = str(store.version)
    assert names(pages(store, resourceVersion=version, resourceVersionMatch="Exact")) == "01234"
    store.create(CONFIG_MAPS, "lab", {"metadata": {"name": "c5"}})
    with pytest.raises(StatusError) as caught:
        pages(store, resourceVersion=version, resourceVersionMatch="Exact")
    assert caught.value.http_status == 410


@pytest.mark.parametrize("field", ["kind", "apiVersion"])
@pytest.mark.parametrize(("value", "found"), [([{}], "array"), ({}, "object"), (7, "number"), (True, "bool")])
def test_a_patch_whose_type_is_no_text_is_refused(store: ObjectStore, field: str, value: Any, found: str) -> None:
    for kind in (CONFIG_MAPS, INFERENCE_SERVICES):
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "a"}, field: value}
        with pytest.raises(StatusError, match=f"cannot unmarshal {found} into Go struct field .{field}") as caught:
            reading.read(store, kind, body, "")
        assert caught.value.http_status == 400
