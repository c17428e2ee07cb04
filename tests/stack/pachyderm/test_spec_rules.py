"""Rules for specs, names and requests, as tables: what Pachyderm's server accepts, and its words where it refuses."""

from __future__ import annotations

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc.validation import check_message, check_request
from pdk_stack.pachyderm.core.pps import go_json
from pdk_stack.pachyderm.core.pps.images import Image, Images
from pdk_stack.pachyderm.core.pps.specs import complete, validate, validate_merged
from pdk_stack.pachyderm.errors import Fault, InvalidArgument
from pdk_stack.pachyderm.names import go_quoted, parse_ancestry

Json = dict[str, object]


def leaf(name: str, **more: object) -> Json:
    return {"pfs": {"repo": "data", "name": name, "glob": "/*", **more}}


def spec(**changes: object) -> pps_pb2.CreatePipelineRequest:
    content: Json = {
        "pipeline": {"name": "p"},
        "transform": {"image": "ubuntu", "cmd": ["sh"]},
        "input": leaf("in"),
        **changes,
    }
    given = {key: value for key, value in content.items() if value is not None}
    return json_format.ParseDict(given, pps_pb2.CreatePipelineRequest())


TWO = [leaf("x"), leaf("y")]
S3 = leaf("in", s3=True, glob="/")
SERVICE, SPOUT = {"internal_port": 80}, {"service": {"internal_port": 80}}
DIFFERENT_NAMES = 'name "x" was used more than once'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        # Names
        ({"pipeline": {"name": "a b"}}, "invalid pipeline name: name (a b) invalid: only alphanumeric characters, "),
        ({"pipeline": {"name": "p" * 51}}, ""),
        ({"pipeline": {"name": "p" * 52}}, f'pipeline name "{"p" * 52}" is 1 characters longer than the 51 max'),
        (
            {"pipeline": {"name": "p_" * 20, "project": {"name": "Q" * 20}}},
            f'Kubernetes name "{"q" * 20}-{"p-" * 20}-v99" is 2 characters longer than the 63 max',
        ),
        ({"pipeline": {"name": "-p"}}, "pipeline names must start with an alphanumeric character"),
        ({"pipeline": {"name": "1p"}}, ""),
        # Inputs
        ({"input": None}, ""),
        ({"input": {}}, "no input set"),
        ({"input": {"pfs": {}}}, "input must specify a name"),
        ({"input": leaf("in", repo="")}, "input must specify a repo"),
        ({"input": leaf("in", glob="")}, "input must specify a glob"),
        ({"input": leaf("in", glob="/[a")}, ""),
        ({"input": leaf("in", commit="1" * 32)}, "input cannot come from a commit; use a branch with head"),
        ({"input": leaf("out")}, "input cannot be named out"),
        ({"input": leaf(".env")}, "input cannot be named .env"),
        ({"input": leaf("a/b")}, ""),
        ({"input": {**leaf("in"), "cron": {"name": "tick", "spec": "@daily"}}}, "multiple input types set"),
        ({"input": {"cross": TWO, "union": TWO}}, "multiple input types set"),
        ({"input": {"cross": [leaf("x"), leaf("x")]}}, DIFFERENT_NAMES),
        ({"input": {"cross": [leaf("x"), {}]}}, "no input set"),
        ({"input": {"union": [leaf("x"), leaf("x")]}}, ""),
        ({"input": {"cross": [leaf("x"), {"union": [leaf("x"), leaf("y")]}]}}, DIFFERENT_NAMES),
        ({"input": {"cross": [{"union": [leaf("y"), leaf("x")]}, leaf("x")]}}, DIFFERENT_NAMES),
        ({"input": {"union": [{"cross": TWO}, {"cross": TWO}]}}, ""),
        ({"input": {"join": TWO}}, ""),
        ({"input": {"group": TWO}}, ""),
        ({"input": {"join": [{"cross": TWO}, leaf("z", join_on="$1")]}}, ""),
        ({"input": S3}, ""),
        ({"input": leaf("in", s3=True)}, "inputs that set 's3' to 'true' must also set 'glob', to \"/\""),
        ({"input": leaf("in", s3=True, glob="/", lazy=True)}, "input cannot specify both 's3' and 'lazy'"),
        ({"input": leaf("in", s3=True, glob="/", empty_files=True)}, "cannot specify both 's3' and 'empty_files'"),
        ({"input": {"union": [leaf("x"), S3]}}, "S3 inputs in union expressions are not supported"),
        ({"input": {"join": [leaf("x"), {"cross": [S3]}]}}, "S3 inputs in join expressions are not supported"),
        ({"input": {"cross": [leaf("x"), S3]}}, ""),
        ({"input": {"cron": {"spec": "@daily"}}}, "input must specify a name"),
        ({"input": {"cron": {"name": "tick", "spec": "0 0 0 1 1 *"}}}, "error parsing cron-spec: "),
        ({"input": {"cron": {"name": "tick", "spec": "@daily", "commit": "1"}}}, ""),
        # Kinds
        ({"transform": None}, "pipeline must specify a transform"),
        ({"transform": {"image": "ubuntu"}}, ""),
        ({"service": SERVICE}, ""),
        ({"service": SERVICE, "parallelism_spec": {"constant": 1}}, ""),
        ({"service": SERVICE, "parallelism_spec": {}}, "services can only be run with a constant parallelism of 1"),
        ({"service": SERVICE, "s3_out": True}, "s3 output is not supported in spouts or services"),
        ({"spout": {}}, "spout pipelines (without a service) must not have an input"),
        ({"spout": {}, "input": None}, ""),
        ({"spout": SPOUT}, ""),
        ({"spout": {}, "input": None, "autoscaling": True}, "autoscaling can't be used with spouts"),
        # Egress
        ({"egress": {"URL": "nothing://x"}}, ""),
        ({"egress": {}}, ""),
        ({"egress": {"sql_database": {"url": "x"}}}, "egress.sql_database.secret is required"),
        (
            {"egress": {"sql_database": {"url": "x", "secret": {"name": "s"}}}},
            "egress.sql_database.secret.name and egress.sql_database.secret.key are required",
        ),
        # What nobody checks before a pod is made
        ({"resource_requests": {"memory": "lots"}}, ""),
        ({"datum_tries": -1}, ""),
        ({"datum_set_spec": {"number": 2, "size_bytes": 10}}, ""),
    ],
)
def test_what_a_spec_may_say(changes: Json, words: str) -> None:
    completed = complete(spec(**changes))
    if not words:
        validate(completed)
        return
    with pytest.raises(Fault) as caught:
        validate(completed)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"tf_job": {"tf_job": "{}"}}, "embedding TFJobs in pipelines is not supported yet"),
        ({"reprocess_spec": "every_job"}, ""),
        (
            {"reprocess_spec": "never"},
            'invalid pipeline spec: ReprocessSpec must be one of "until_success" or "every_job"',
        ),
        (
            {"tolerations": [{"operator": "EXISTS"}, {}]},
            "toleration 2/2: cannot omit key/value comparison operator; specify EQUAL or EXISTS",
        ),
        ({"pod_spec": "["}, "malformed PodSpec"),
        ({"pod_patch": "{"}, "malformed PodPatch"),
        ({"pod_patch": "{}"}, ""),
        ({"service": {"type": "Other"}}, "the following service type Other is not allowed"),
        ({"service": {"type": "ClusterIP"}}, ""),
    ],
)
def test_what_a_merged_spec_may_say(changes: Json, words: str) -> None:
    if not words:
        validate_merged(spec(**changes))
        return
    with pytest.raises(Fault) as caught:
        validate_merged(spec(**changes))
    assert caught.value.message == words


def test_a_service_and_its_pipeline_get_defaults() -> None:
    found = complete(spec(service={}, input=None))
    assert (found.service.type, found.output_branch, found.datum_tries) == ("NodePort", "master", 3)
    assert not found.HasField("input")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a", ("a", 0)),
        ("a^", ("a", 1)),
        ("a^^^", ("a", 3)),
        ("a~2", ("a", 2)),
        ("a.1", ("a", -1)),
        ("a^0", ("a", 0)),
        ("^", ("", 1)),
        ("a^x", 'invalid ancestry syntax "a^x", cannot mix ^ and x characters'),
        ("a^1.1", 'invalid ancestry syntax "a^1.1", cannot mix ^ and 1 characters'),
        ("a^~", 'invalid ancestry syntax "a^~", cannot mix ^ and ~ characters'),
    ],
)
def test_references_to_ancestors(text: str, found: tuple[str, int] | str) -> None:
    if isinstance(found, tuple):
        assert parse_ancestry(text) == found
        return
    with pytest.raises(Fault) as caught:
        parse_ancestry(text)
    assert caught.value.message == found


def test_texts_are_quoted_as_in_go() -> None:
    assert go_quoted('a"b\\c\n\x01\x7fä') == '"a\\"b\\\\c\\n\\x01\\x7fä"'


INNER = "embedded message failed validation | caused by: "
NO_NAME = "invalid Pipeline.Name: value length must be at least 1 bytes"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (pps_pb2.InspectPipelineRequest(), "invalid InspectPipelineRequest.Pipeline: value is required"),
        (pps_pb2.InspectJobSetRequest(), "invalid InspectJobSetRequest.JobSet: value is required"),
        (pfs_pb2.InspectProjectRequest(), "invalid InspectProjectRequest.Project: value is required"),
        (
            pps_pb2.CreatePipelineRequest(pipeline=pps_pb2.Pipeline()),
            f"invalid CreatePipelineRequest.Pipeline: {INNER}{NO_NAME}",
        ),
        (
            pps_pb2.InspectJobRequest(job=pps_pb2.Job(pipeline=pps_pb2.Pipeline())),
            f"invalid InspectJobRequest.Job: {INNER}invalid Job.Pipeline: {INNER}{NO_NAME}",
        ),
        (
            pps_pb2.PipelineInfos(pipeline_info=[pps_pb2.PipelineInfo(pipeline=pps_pb2.Pipeline())]),
            f"invalid PipelineInfos.PipelineInfo[0]: {INNER}invalid PipelineInfo.Pipeline: {INNER}{NO_NAME}",
        ),
        (pps_pb2.CreatePipelineRequest(), ""),
        (pps_pb2.InspectPipelineRequest(pipeline=pps_pb2.Pipeline(name="p")), ""),
        (pps_pb2.StopJobRequest(), ""),
    ],
)
def test_fields_that_a_request_must_have(message: Message, words: str) -> None:
    if not words:
        assert check_request(message) is message and check_message(message) is message
        return
    for check, what in ((check_request, "request"), (check_message, "recv")):
        with pytest.raises(InvalidArgument) as caught:
            check(message)
        assert caught.value.message == f"validate {what}: {words}"


def test_each_message_of_a_stream_is_checked_as_it_comes() -> None:
    checked = check_request(iter([pps_pb2.StopJobRequest(), pps_pb2.InspectPipelineRequest(), b"decoded by hand"]))
    assert next(checked) == pps_pb2.StopJobRequest()
    with pytest.raises(InvalidArgument, match="validate recv: "):
        next(checked)
    assert next(checked) == b"decoded by hand"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "proto: syntax error (line 1:1): unexpected token "),
        ("{", "proto: unexpected EOF"),
        ("[]", "proto: syntax error (line 1:1): unexpected token ["),
        ('{"colour": 1}', 'proto: (line 1:2): unknown field "colour"'),
        ('{\n  "transform": {"colour": 1}}', 'proto: (line 2:17): unknown field "colour"'),
        ('{"description": 5}', "proto: (line 1:17): invalid value for string type: 5"),
        ('{"datumTries": "x"}', 'proto: (line 1:16): invalid value for int64 type: "x"'),
        ('{"transform": 5}', "proto: syntax error (line 1:15): unexpected token 5"),
    ],
)
def test_words_for_a_text_that_is_no_message(text: str, words: str) -> None:
    with pytest.raises(Fault) as caught:
        go_json.parse_message(text, pps_pb2.CreatePipelineRequest())
    assert caught.value.message == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "unexpected end of JSON input"),
        ('{"a": tr', "unexpected end of JSON input"),
        ("nonsense", "invalid character 'o' in literal null (expecting 'u')"),
        ('{"a": x}', "invalid character 'x' looking for beginning of value"),
    ],
)
def test_words_for_a_text_that_is_no_json(text: str, words: str) -> None:
    assert go_json.syntax_error(text) == words


def test_json_as_go_writes_it() -> None:
    assert go_json.compact({"b": ["<a&b>"], "a": 0.01}) == '{"a":0.01,"b":["\\u003ca\\u0026b\\u003e"]}'


def test_an_image_is_known_by_what_replaces_it() -> None:
    one, other = Images({"train": Image("train", "/a", ())}), Images({"train": Image("train", "/b", ())})
    assert one.identity("train:1").startswith("docker.io/library/train@sha256:")
    assert one.identity("me/train:1").startswith("docker.io/me/train@sha256:")
    assert one.identity("host:5000/me/train:1").startswith("host:5000/me/train@sha256:")
    assert one.identity("train:1") == one.identity("train:2") != other.identity("train:1")
