"""What the gateway refuses before any call sees it, in its own words: paths, bodies, queries, and values."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import requests

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.api import gateway
from pdk_stack.determined.api.application import all_routes
from pdk_stack.determined.api.messages import Call, Enum, calls, fields_of
from tests.support.processes import ServiceProcess

MODELS = ("POST", "/api/v1/models")
METRICS = ("POST", "/api/v1/trials/3/metrics")
BAD_VALUE = 'bad value in StructValue for key "a": unrecognized type for Value '
RAW_MAP, RAW_LIST = "map[string]json.RawMessage", "[]json.RawMessage"


def call(method: str, path: str) -> Call:
    found = all_routes().find(method, path)
    assert found and found.call, path
    return found.call


def refused(action: Any, *arguments: Any) -> str:
    with pytest.raises(Refusal) as caught:
        action(*arguments)
    assert caught.value.http_status == 400 and caught.value.code.number == 3
    return caught.value.message


def mismatch(kind: str, wanted: str) -> str:
    return f"json: cannot unmarshal {kind} into Go value of type {wanted}"


@pytest.mark.parametrize(
    ("place", "body", "words"),
    [
        (MODELS, "5", mismatch("number", RAW_MAP)),
        (MODELS, '"x"', mismatch("string", RAW_MAP)),
        (MODELS, "[]", mismatch("array", RAW_MAP)),
        (MODELS, "true", mismatch("bool", RAW_MAP)),
        (MODELS, '{"name":', "unexpected EOF"),
        (MODELS, '{"name": "a",}', "invalid character '}' looking for beginning of object key string"),
        (MODELS, "\x00", "invalid character '\\x00' looking for beginning of value"),
        (MODELS, "[1 2]", "invalid character '2' after array element"),
        (MODELS, '{"name" 1}', "invalid character '1' after object key"),
        (MODELS, '{"name": NaN}', "invalid character 'N' looking for beginning of value"),
        (MODELS, '{"name": 7}', mismatch("number", "string")),
        (MODELS, '{"name": ["a"]}', mismatch("array", "string")),
        (MODELS, '{"workspaceId": 1.5}', mismatch("number 1.5", "int32")),
        (MODELS, '{"workspaceId": 1.0}', mismatch("number 1.0", "int32")),
        (MODELS, '{"workspaceId": 1e2}', mismatch("number 1e2", "int32")),
        (MODELS, '{"workspaceId": 2147483648}', mismatch("number 2147483648", "int32")),
        (MODELS, '{"workspaceId": true}', mismatch("bool", "int32")),
        (MODELS, f'{{"workspaceId": {"9" * 5000}}}', mismatch(f"number {'9' * 5000}", "int32")),
        (
            ("POST", "/api/v1/trials/3/progress"),
            f'{{"progress": {"9" * 5000}}}',
            mismatch(f"number {'9' * 5000}", "float64"),
        ),
        (MODELS, '{"workspaceId": "one"}', "invalid character 'o' looking for beginning of value"),
        (MODELS, '{"workspaceId": ""}', "unexpected end of JSON input"),
        (MODELS, '{"labels": "a"}', mismatch("string", RAW_LIST)),
        (MODELS, '{"labels": [1]}', mismatch("number", "string")),
        (MODELS, '{"metadata": "a"}', f"bad StructValue: {mismatch('string', RAW_MAP)}"),
        (MODELS, '{"metadata": {"a": [1e999]}}', BAD_VALUE + '"1e999"'),
        (MODELS, f'{{"metadata": {{"a": {"9" * 400}}}}}', BAD_VALUE + f'"{"9" * 400}"'),
        (METRICS, '{"metrics": "x"}', mismatch("string", RAW_MAP)),
        (METRICS, '{"metrics": {"metrics": {"avgMetrics": []}}}', f"bad StructValue: {mismatch('array', RAW_MAP)}"),
        (("POST", "/api/v1/experiments"), '{"activate": "yes"}', mismatch("string", "bool")),
        (("POST", "/api/v1/experiments"), '{"config": {}}', mismatch("object", "string")),
        (
            ("POST", "/api/v1/experiments"),
            '{"modelDefinition": [{"path": "a", "content": "%%"}]}',
            "illegal base64 data at input byte 0",
        ),
        (("PATCH", "/api/v1/experiments/3"), '{"labels": "z"}', f"bad ListValue: {mismatch('string', RAW_LIST)}"),
        (
            ("POST", "/api/v1/task/logs"),
            '{"logs": [{"level": "INFO"}]}',
            'unknown value "\\"INFO\\"" for enum determined.log.v1.LogLevel',
        ),
        (("POST", "/api/v1/users/3/password"), "7", mismatch("number", "string")),
    ],
)
def test_a_body_of_another_type_is_refused(place: tuple[str, str], body: str, words: str) -> None:
    assert refused(gateway.read_body, call(*place), body.encode()) == words


@pytest.mark.parametrize(
    ("place", "body", "seen"),
    [
        (MODELS, "", {}),
        (MODELS, "null", {}),
        (MODELS, '{"name": "a"} and more', {"name": "a"}),
        (MODELS, '{"name": "a", "gold": {"x": 1}}', {"name": "a"}),
        (MODELS, '{"workspace_id": 1}', {"workspaceId": 1}),
        (MODELS, '{"workspaceId": "1"}', {"workspaceId": 1}),
        (MODELS, '{"labels": null, "metadata": null, "name": null}', {}),
        (MODELS, '{"labels": [null]}', {"labels": [""]}),
        (MODELS, '{"metadata": {"a": [null, 1.5, {}]}}', {"metadata": {"a": [None, 1.5, {}]}}),
        (MODELS, f'{{"metadata": {{"a": {10**30}}}}}', {"metadata": {"a": 1e30}}),
        (("POST", "/api/v1/experiments"), '{"modelDefinition": [{"mtime": 5}]}', {"modelDefinition": [{"mtime": "5"}]}),
        (("POST", "/api/v1/trials/3/progress"), '{"progress": "0.5"}', {"progress": 0.5}),
        (("POST", "/api/v1/task/logs"), '{"logs": [{"level": 4}]}', {"logs": [{"level": "LOG_LEVEL_WARNING"}]}),
        (("POST", "/api/v1/users/3/password"), '"secret"', "secret"),
    ],
)
def test_a_call_sees_known_fields_in_one_form(place: tuple[str, str], body: str, seen: Any) -> None:
    assert gateway.read_body(call(*place), body.encode()) == seen


def test_what_is_not_utf_8_is_replaced() -> None:
    assert gateway.read_body(call(*MODELS), b'{"name": "\xff\xfe"}') == {"name": "\ufffd\ufffd"}
    assert gateway.read_body(call(*MODELS), b'{"name": "\\ud800"}') == {"name": "\ufffd"}


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("/api/v1/experiments", {"limit": "gold"}, 'strconv.ParseInt: parsing "gold": invalid syntax'),
        ("/api/v1/experiments", {"limit": "1.5"}, 'strconv.ParseInt: parsing "1.5": invalid syntax'),
        ("/api/v1/experiments", {"limit": ""}, 'strconv.ParseInt: parsing "": invalid syntax'),
        (
            "/api/v1/experiments",
            {"limit": "99999999999"},
            'strconv.ParseInt: parsing "99999999999": value out of range',
        ),
        ("/api/v1/experiments", {"archived": "maybe"}, "bad BoolValue: maybe"),
        ("/api/v1/experiments", {"showTrialData": "maybe"}, 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        (
            "/api/v1/experiments",
            {"sortBy": "sort_by_id"},
            "sort_by_id is not a valid apiv1.GetExperimentsRequest_SortBy",
        ),
        ("/api/v1/experiments", {"sortBy": "3"}, "3 is not a valid apiv1.GetExperimentsRequest_SortBy"),
        ("/api/v1/experiments", {"orderBy": "UP"}, "UP is not a valid apiv1.OrderBy"),
        ("/api/v1/experiments", {"states": "GOLD"}, "GOLD is not a valid experimentv1.State"),
        ("/api/v1/trials/3/logs", {"levels": "GOLD"}, "GOLD is not a valid logv1.LogLevel"),
        ("/api/v1/users", {"sort_by": "GOLD"}, "GOLD is not a valid apiv1.GetUsersRequest_SortBy"),
    ],
)
def test_a_query_of_another_type_is_refused(path: str, query: dict[str, str], words: str) -> None:
    sent = {name: [value] for name, value in query.items()}
    assert refused(gateway.read_query, call("GET", path), sent) == words


def test_a_call_sees_a_query_in_one_form() -> None:
    sent = {"sort_by": ["1"], "limit": ["010", "7"], "archived": ["T"], "states": ["STATE_ACTIVE", "2"], "gold": ["x"]}
    assert gateway.read_query(call("GET", "/api/v1/experiments"), sent) == {
        "sortBy": ["SORT_BY_ID"],
        "limit": ["8"],
        "archived": ["true"],
        "states": ["STATE_ACTIVE", "STATE_PAUSED"],
        "gold": ["x"],
    }


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/v1/workspaces/gold", 'parameter: id, error: strconv.ParseInt: parsing "gold": invalid syntax'),
        ("/api/v1/experiments/99999999999", "parameter: experiment_id, error: strconv.ParseInt: parsing "),
        ("/api/v1/models/a/versions/x", 'parameter: model_version_num, error: strconv.ParseInt: parsing "x"'),
    ],
)
def test_a_value_of_another_type_is_refused(path: str, words: str) -> None:
    found = all_routes().find("GET", path)
    assert found
    value = next(each for each in found.values if each.kind == "int32")
    message = refused(gateway.read_value, value.known_name, value.kind, value.text)
    assert message.startswith("type mismatch, " + words)


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/api/v1/gold", 501, "Not Implemented"),
        ("GET", "/api/v1/", 501, "Not Implemented"),
        ("DELETE", "/api/v1/experiments", 501, "Not Implemented"),
        ("OPTIONS", "/api/v1/me", 501, "Not Implemented"),
        ("GET", "/api/v1//me", 501, "Not Implemented"),
        ("GET", "/api/v1/models/a%2Fb", 501, "Not Implemented"),
        ("GET", "/api/v1/models/a:b", 501, "Not Implemented"),
        ("GET", "/api/v1/me", 401, "token missing"),
        ("GET", "/api/v1/me/", 401, "token missing"),
    ],
)
def test_an_unknown_path_needs_no_token(
    master: ServiceProcess, method: str, path: str, status: int, words: str
) -> None:
    reply = requests.request(method, master.ready["determined"] + path, timeout=5)
    assert (reply.status_code, reply.json()["error"]["error"]) == (status, words)


def test_outside_the_gateway_a_refusal_is_a_message(client: Any) -> None:
    for path in ("/gold/thing", "/api/v1", "/API/V1/ME"):
        reply = requests.get(
            client._session.master + path, headers={"Authorization": f"Bearer {client._session.token}"}, timeout=5
        )
        assert (reply.status_code, reply.json()) == (404, {"message": f"api not found: GET {path}"})


def test_no_task_is_behind_the_proxy(client: Any) -> None:
    headers = {"Authorization": f"Bearer {client._session.token}"}
    reply = requests.get(client._session.master + "/proxy/gold/", headers=headers, timeout=5)
    assert (reply.status_code, reply.json()) == (404, {"message": "service not found: gold"})


def test_a_stream_is_refused_in_a_streams_form(client: Any) -> None:
    headers = {"Authorization": f"Bearer {client._session.token}"}
    reply = requests.get(client._session.master + "/api/v1/trials/999/logs", headers=headers, timeout=5)
    assert reply.status_code == 404
    assert json.loads(reply.content)["error"] == {
        "grpcCode": 5,
        "httpCode": 404,
        "message": "trial '999' not found",
        "httpStatus": "Not Found",
        "details": [],
    }


def test_every_route_of_the_gateway_is_checked() -> None:
    # Without a call, a route's bodies and values have no types.
    routes = [each for each in all_routes().routes if each.path.startswith("/api/v1/")]
    for each in routes:
        found = all_routes().find(each.method, re.sub(r"\{\w+\}", "0", each.path))
        assert found and found.route == each, each.path
        assert found.call or each.path == "/api/v1/templates/{name}/name", each.path
        for value in found.values:
            assert value.name != "key" or value.kind in ("int32", "int64"), each.path


def test_the_bindings_are_read_whole() -> None:
    from determined.common.api import bindings

    for known in calls():
        for kind in (known.body, *known.query.values(), *known.values.values()):
            _look_into(kind, bindings, set())
    assert len(calls()) == sum(name.partition("_")[0] in METHODS for name in dir(bindings) if "_" in name[1:])


METHODS = {"get", "post", "put", "patch", "delete"}


def _look_into(kind: Any, bindings: Any, seen: set[str]) -> None:
    """Compare an enumeration with the bindings' class, and go into messages."""
    kind = getattr(kind, "of", kind)
    if isinstance(kind, Enum):
        assert list(kind.numbers.values()) == sorted(kind.numbers.values())
        return
    if not isinstance(kind, str) or kind in gateway.SCALARS or kind in seen:
        return
    seen.add(kind)
    annotations = {name for name in vars(bindings)[kind].__init__.__kwdefaults__ or {}} | set(fields_of(kind))
    assert annotations == set(fields_of(kind)), kind
    for each in fields_of(kind).values():
        _look_into(each, bindings, seen)
