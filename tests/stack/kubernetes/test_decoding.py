"""Bodies are read as Go reads them: syntax, types, keys that occur twice, base64."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pdk_stack.kubernetes.api.bodies import Body, from_yaml
from pdk_stack.kubernetes.core.reading import check_type
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.decoding import DecodeError, Strict, decode, go_base64, parse
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import CONFIG_MAPS, INFERENCE_SERVICES, SECRETS, SERVICES
from pdk_stack.kubernetes.store.schemas import complete
from pdk_stack.kubernetes.store.workload_kinds import DEPLOYMENTS, PODS


def read(kind: Kind, body: Any, strict: Strict | None = None) -> Any:
    return decode(complete(kind.schema or {}), body, strict or Strict())


def pod(**container: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "a", **container}]}}


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        (CONFIG_MAPS, {"data": {"a": 5}}, "number into Go struct field ConfigMap.data of type string"),
        (CONFIG_MAPS, {"data": "x"}, "string into Go struct field ConfigMap.data of type map[string]string"),
        (CONFIG_MAPS, {"immutable": "yes"}, "string into Go struct field ConfigMap.immutable of type bool"),
        (CONFIG_MAPS, {"metadata": "x"}, "string into Go struct field ConfigMap.metadata of type v1.ObjectMeta"),
        (
            CONFIG_MAPS,
            {"metadata": {"labels": ["a"]}},
            "array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            CONFIG_MAPS,
            {"metadata": {"finalizers": {}}},
            "object into Go struct field ObjectMeta.metadata.finalizers of type []string",
        ),
        (
            CONFIG_MAPS,
            {"metadata": {"generation": 1.5}},
            "number 1.5 into Go struct field ObjectMeta.metadata.generation of type int64",
        ),
        (SECRETS, {"data": {"a": 5}}, "number into Go struct field Secret.data of type []uint8"),
        (SECRETS, {"stringData": {"a": True}}, "bool into Go struct field Secret.stringData of type string"),
        (
            DEPLOYMENTS,
            {"spec": {"replicas": "1"}},
            "string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENTS,
            {"spec": {"replicas": 1 << 31}},
            "number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            PODS,
            pod(env=[{"name": "a", "value": 5}]),
            "number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            PODS,
            {"spec": {"containers": "x"}},
            "string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (SERVICES, {"spec": {"ports": [{"targetPort": True}]}}, "bool into Go value of type int32"),
    ],
)
def test_values_of_a_wrong_type_are_refused_in_the_words_of_go(kind: Kind, body: Any, why: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(kind, body)
    assert str(caught.value) == f"json: cannot unmarshal {why}"


@pytest.mark.parametrize("amount", ["lots", "1.2.3", "", True, {}, "1Z", "--1"])
def test_quantities_must_be_quantities(amount: Any) -> None:
    with pytest.raises(DecodeError, match="quantit"):
        read(PODS, pod(resources={"requests": {"cpu": amount}}))


@pytest.mark.parametrize("amount", ["500m", "2Gi", "1e3", 2, 0.5, "-1", ".5", "1."])
def test_quantities_may_be_texts_and_numbers(amount: Any) -> None:
    found = read(PODS, pod(resources={"requests": {"cpu": amount}}))
    assert found["spec"]["containers"][0]["resources"]["requests"] == {"cpu": str(amount)}


def test_a_time_must_be_one() -> None:
    with pytest.raises(DecodeError, match='parsing time "gold" as'):
        read(CONFIG_MAPS, {"metadata": {"creationTimestamp": "gold"}})
    assert read(CONFIG_MAPS, {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}})


def test_a_null_is_nothing_in_a_struct_and_a_zero_in_a_map_or_list() -> None:
    assert read(CONFIG_MAPS, {"data": None, "metadata": {"labels": None}}) == {"metadata": {}}
    assert read(SECRETS, {"data": {"a": None}}) == {"data": {"a": ""}}
    assert read(CONFIG_MAPS, {"metadata": {"finalizers": [None]}}) == {"metadata": {"finalizers": [""]}}


def test_unknown_fields_and_keys_that_occur_twice_are_told_in_order() -> None:
    strict = Strict()
    body = parse(
        b'{"spec":{"golden":1,"containers":[{"name":"a","gold":2}]},"gold":1,"metadata":{"name":"a","name":"b"}}'
    )
    assert read(PODS, body, strict) == {"spec": {"containers": [{"name": "a"}]}, "metadata": {"name": "b"}}
    assert strict.errors == [
        'unknown field "spec.golden"',
        'unknown field "spec.containers[0].gold"',
        'unknown field "gold"',
        'duplicate field "metadata.name"',
    ]


@pytest.mark.parametrize(
    ("text", "byte"),
    [("%%%", 0), ("YQ", 0), (" ", 0), ("_-8=", 0), ("YWI", 0), ("YWJjZA", 4), ("YQ=x", 2), ("YQ==YQ==", 4), ("YW=", 3)],
)
def test_what_is_not_base64_is_refused_with_the_byte_that_go_names(text: str, byte: int) -> None:
    with pytest.raises(DecodeError) as caught:
        go_base64(text)
    assert str(caught.value) == f"illegal base64 data at input byte {byte}"


@pytest.mark.parametrize("text", ["", "YQ==", "YWI=", "YWJj", "YQ\n==", "Y\r\nWJj\n"])
def test_line_breaks_do_not_count_in_base64(text: str) -> None:
    assert go_base64(text) == base64.b64decode(text.replace("\r", "").replace("\n", ""))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b'{"a', "unexpected end of JSON input"),
        (b"{a", "invalid character 'a' looking for beginning of object key string"),
        (b"<a/>", "invalid character '<' looking for beginning of value"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"1 2", "invalid character '2' after top-level value"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        (b"[" * 100_000, "exceeded max depth"),
    ],
)
def test_what_is_not_json_is_refused_in_the_words_of_go(raw: bytes, why: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse(raw)
    assert str(caught.value) == why


def test_texts_that_utf_8_cannot_hold_are_replaced() -> None:
    assert parse(rb'{"a\ud800": ["\udc00"]}') == {"a\ufffd": ["\ufffd"]}
    assert parse(b'{"a": "\xff"}') == {"a": "\ufffd"}


def test_yaml_becomes_what_json_can_hold() -> None:
    assert from_yaml(b"a: 2001-01-01\n2: x\ntrue: [yes]\n") == {"a": "2001-01-01", "2": "x", "true": [True]}
    for raw, why in ((b"a: .nan", "unsupported value"), (b"a: [", "did not find expected node content")):
        with pytest.raises(DecodeError, match=why):
            from_yaml(raw)
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    with pytest.raises(DecodeError, match="excessive aliasing"):
        from_yaml(bomb.encode())


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"),
        (b"{", "couldn't get version/kind; json parse error: unexpected end of JSON input ({)"),
        (b"[]", "cannot unmarshal array into Go value of type struct"),
        (b"5", "(35)"),
        (b'{"kind": 5}', "number into Go struct field .kind of type string"),
    ],
)
def test_a_body_that_is_no_object_is_shown(raw: bytes, why: str) -> None:
    with pytest.raises(StatusError) as caught:
        Body(raw, "application/json").object("ConfigMap")
    assert caught.value.http_status == 400
    assert caught.value.message.startswith("the object provided is unrecognized (must be of type ConfigMap): ")
    assert why in caught.value.message


@pytest.mark.parametrize("media", ["application/xml", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_in_an_unknown_format_is_refused(media: str) -> None:
    with pytest.raises(StatusError, match="accepted media types include: application/json, application/yaml") as caught:
        Body(b"{}", media).object("ConfigMap")
    assert caught.value.http_status == 415


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        (
            CONFIG_MAPS,
            {"apiVersion": "v1", "kind": "Secret"},
            'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): '
            "unknown conversion",
        ),
        (
            CONFIG_MAPS,
            {"apiVersion": "v2", "kind": "ConfigMap"},
            'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version '
            '"v2" in scheme "pkg/api/legacyscheme/scheme.go:30"',
        ),
        (INFERENCE_SERVICES, {"apiVersion": "serving.kserve.io/v1beta1"}, "Object 'Kind' is missing in"),
    ],
)
def test_another_kind_or_version_is_refused(kind: Kind, given: dict[str, Any], why: str) -> None:
    with pytest.raises(StatusError) as caught:
        check_type(kind, given)
    assert caught.value.http_status == 400
    assert caught.value.message.startswith(why)


def test_kind_and_version_may_be_left_out_of_own_kinds() -> None:
    given: dict[str, Any] = json.loads('{"metadata": {"name": "a"}}')
    check_type(CONFIG_MAPS, given)
    assert (given["kind"], given["apiVersion"]) == ("ConfigMap", "v1")
