"""Rules for what clients do to pipelines: limits, missing ones, versions, deletion, and the words of refusals."""

from __future__ import annotations

import json
from collections.abc import Callable

import grpc
import pytest
from python_pachyderm.proto.v2.enterprise import enterprise_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.service import Service

from pdk_stack.pachyderm.api.grpc.later_messages import MESSAGES
from tests.stack.pachyderm.server import Server
from tests.stack.pachyderm.steps import Client, Name, create, pfs, put, wait

Refused = Callable[[grpc.RpcError], tuple[str, str]]


def named(pipeline: str) -> pps_pb2.Pipeline:
    return pps_pb2.Pipeline(name=pipeline, project=pfs_pb2.Project(name="default"))


def state(client: Client) -> enterprise_pb2.GetStateResponse:
    return client._req(Service.ENTERPRISE, "GetState", req=enterprise_pb2.GetStateRequest())


def test_the_community_edition_has_limits(own_server: Callable[..., Server]) -> None:
    client = own_server().client()
    client.create_repo("data")
    assert state(client).state == enterprise_pb2.NONE
    for number in range(16):
        create(client, f"p{number}", pfs("data"), "true", autoscaling=True)
    beyond = "requires an activation key to create"
    with pytest.raises(grpc.RpcError, match=rf"{beyond} more than 16 total pipelines \(you have 16\)"):
        create(client, "p16", pfs("data"), "true")
    # A pipeline that exists may be updated, also beyond the limits.
    create(client, "p1", pfs("data"), "true", parallelism_spec={"constant": 9}, update=True)
    client.delete_pipeline("p0")
    with pytest.raises(grpc.RpcError, match=f"{beyond} pipelines with parallelism more than 8"):
        create(client, "p16", pfs("data"), "true", parallelism_spec={"constant": 9})
    create(client, "p16", pfs("data"), "true", parallelism_spec={"constant": 8})


def test_a_cluster_with_authentication_is_activated_and_has_no_limits(own_server: Callable[..., Server]) -> None:
    client = own_server(token="sesame").client()
    client.create_repo("data")
    found = state(client)
    assert found.state == enterprise_pb2.ACTIVE and found.info.expires.seconds > 0
    for number in range(17):
        create(client, f"p{number}", pfs("data"), "true", autoscaling=True, parallelism_spec={"constant": 9})


@pytest.mark.parametrize("call", ["DeletePipeline", "StopPipeline"])
@pytest.mark.parametrize("must_exist", [False, True])
def test_a_missing_pipeline_is_an_error_only_where_it_must_exist(server: Server, call: str, must_exist: bool) -> None:
    request = MESSAGES[f"{call}Request"](pipeline=named("none"), must_exist=must_exist)
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        method = channel.unary_unary(f"/pps_v2.API/{call}", lambda message: message.SerializeToString())
        if not must_exist:
            assert method(request, timeout=30) == b""
            return
        with pytest.raises(grpc.RpcError, match='pipeline "default/none" not found') as caught:
            method(request, timeout=30)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert caught.value.details().startswith("error stopping" if call == "DeletePipeline" else "pipeline was not ins")


@pytest.mark.parametrize(
    ("call", "request_message", "code", "words"),
    [
        ("StartPipeline", pps_pb2.StartPipelineRequest(), "UNKNOWN", "request.Pipeline cannot be nil"),
        ("StopPipeline", pps_pb2.StopPipelineRequest(), "UNKNOWN", "request.Pipeline cannot be nil"),
        ("CreatePipeline", pps_pb2.CreatePipelineRequest(), "UNKNOWN", "request.Pipeline cannot be nil"),
        ("RunPipeline", pps_pb2.RunPipelineRequest(pipeline=named("x")), "UNKNOWN", "unimplemented"),
        ("RunCron", pps_pb2.RunCronRequest(pipeline=named("x")), "NOT_FOUND", "pipeline was not inspected: "),
        ("InspectPipeline", pps_pb2.InspectPipelineRequest(), "INVALID_ARGUMENT", "Pipeline: value is required"),
        ("ListPipeline", pps_pb2.ListPipelineRequest(pipeline=named("x")), "NOT_FOUND", "could not list pipeline info"),
        ("ListPipeline", pps_pb2.ListPipelineRequest(jqFilter="select("), "UNKNOWN", "unexpected token <EOF>"),
        ("StopJob", pps_pb2.StopJobRequest(), "UNKNOWN", "Job must be specified"),
        ("DeleteJob", pps_pb2.DeleteJobRequest(), "UNKNOWN", "job cannot be nil"),
        ("InspectJob", pps_pb2.InspectJobRequest(), "UNKNOWN", "must specify a job"),
        ("ListJob", pps_pb2.ListJobRequest(pipeline=named("x")), "NOT_FOUND", 'pipeline "default/x" not found'),
        ("SubscribeJob", pps_pb2.SubscribeJobRequest(), "UNKNOWN", "pipeline must be specified"),
        ("InspectDatum", pps_pb2.InspectDatumRequest(), "UNKNOWN", "must specify a datum"),
        ("ListDatum", pps_pb2.ListDatumRequest(), "UNKNOWN", "must specify a job"),
        ("ListDatum", pps_pb2.ListDatumRequest(reverse=True), "UNKNOWN", "number must be > 0 when reverse is set"),
        ("ListDatum", pps_pb2.ListDatumRequest(input=pps_pb2.Input()), "UNKNOWN", "unrecognized input type: "),
        (
            "ListDatum",
            pps_pb2.ListDatumRequest(input=pps_pb2.Input(cron=pps_pb2.CronInput(name="t", spec="@daily"))),
            "UNKNOWN",
            "can't list datums with a cron input",
        ),
        (
            "ListDatum",
            pps_pb2.ListDatumRequest(input=pps_pb2.Input(pfs=pps_pb2.PFSInput(repo="no", glob="/"))),
            "UNKNOWN",
            'branch "master" not found in repo default/no',
        ),
        (
            "CreateSecret",
            pps_pb2.CreateSecretRequest(file=b"nonsense"),
            "UNKNOWN",
            "failed to unmarshal secret: invalid character 'o' in literal null (expecting 'u')",
        ),
        (
            "CreateSecret",
            pps_pb2.CreateSecretRequest(file=b'{"metadata": {"name": "s", "labels": {"suite": "other"}}}'),
            "UNKNOWN",
            "invalid suite label set on secret: suite=other",
        ),
        ("DeleteSecret", pps_pb2.DeleteSecretRequest(secret=pps_pb2.Secret(name="no")), "UNKNOWN", '"no" not found'),
        ("InspectSecret", pps_pb2.InspectSecretRequest(secret=pps_pb2.Secret(name="no")), "UNKNOWN", '"no" not found'),
    ],
)
def test_words_and_codes_of_refusals(
    client: Client, refused: Refused, call: str, request_message: object, code: str, words: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        found = client._req(Service.PPS, call, req=request_message)
        list(found)
    assert refused(caught.value)[0] == code and words in refused(caught.value)[1]


def test_order_of_the_checks_of_secrets(client: Client, name: Name) -> None:
    repo = name("data")
    client.create_repo(repo)
    for secret, words in (
        ({"name": "none", "env_var": "X"}, "secret none has env_var set but is missing key"),
        ({"name": "none"}, "missing Kubernetes secret none"),
    ):
        with pytest.raises(grpc.RpcError, match=words) as caught:
            create(client, name("p"), pfs(repo), "true", transform={"secrets": [secret]})
        assert caught.value.code() == grpc.StatusCode.UNKNOWN


def test_a_pipeline_shows_the_spec_that_the_defaults_make(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("p")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "true", datum_tries=5)
    create(client, pipeline, pfs(repo), "true", datum_tries=5, update=True)
    request = pps_pb2.InspectPipelineRequest(pipeline=named(pipeline))
    info = client._req(Service.PPS, "InspectPipeline", req=request)
    assert not info.HasField("details")
    newer = MESSAGES["PipelineInfo"].FromString(info.SerializeToString())
    user, effective = json.loads(info.details_json), json.loads(newer.effective_spec_json)
    assert user["update"] and user["datumTries"] == "5" and "outputBranch" not in user
    assert effective == {
        **user,
        "outputBranch": "master",
        "reprocessSpec": "until_success",
        "resourceRequests": {"cpu": 1, "memory": "256Mi", "disk": "1Gi"},
        "sidecarResourceRequests": {"cpu": 1, "memory": "256Mi", "disk": "1Gi"},
    }


def test_a_name_with_a_suffix_is_the_name_of_a_version(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("p")
    client.create_repo(repo)
    with pytest.raises(grpc.RpcError, match="cannot inspect future pipelines"):
        list(client.inspect_pipeline(f"{pipeline}.1"))
    create(client, f"{pipeline}^", pfs(repo), "true")
    assert [each.version for each in client.inspect_pipeline(pipeline)] == [1]
    with pytest.raises(grpc.RpcError, match="has only 1 versions, not enough to find ancestor 1"):
        create(client, f"{pipeline}~1", pfs(repo), "true")


def test_an_update_keeps_the_salt_and_reprocessing_makes_a_new_one(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("p")
    client.create_repo(repo)

    def salt(**more: object) -> str:
        create(client, pipeline, pfs(repo), "true", **more)
        return str(next(client.inspect_pipeline(pipeline, details=True)).details.salt)

    assert salt(salt="pepper") == "pepper" == salt(update=True, salt="other") == salt(update=True)
    assert salt(update=True, reprocess=True, salt="pepper") != "pepper"


def test_another_output_branch_needs_another_pipeline(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("p")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "true")
    with pytest.raises(grpc.RpcError, match="multiple branches from the same repo"):
        create(client, pipeline, pfs(repo), "true", update=True, output_branch="other")
    with pytest.raises(grpc.RpcError, match="cannot be in the provenance of its own branch"):
        create(client, pipeline, pfs(pipeline), "true", update=True)


def test_what_reads_a_pipeline_keeps_it(client: Client, name: Name) -> None:
    repo, upper, lower = name("data"), name("upper"), name("lower")
    client.create_repo(repo)
    create(client, upper, pfs(repo), "true")
    # Not only the output branch counts.
    create(client, lower, pfs(upper, branch="other"), "true")
    with pytest.raises(grpc.RpcError, match="other has .* as subvenance"):
        client.delete_pipeline(upper)
    # As on a cluster, the attempt has stopped it.
    assert next(client.inspect_pipeline(upper)).stopped
    client.delete_pipeline(upper, force=True)
    assert upper not in [each.pipeline.name for each in client.list_pipeline()]


def test_a_spec_repo_is_not_for_clients(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("p")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "true")
    commit = pfs_pb2.Commit(
        branch=pfs_pb2.Branch(name="master", repo=pfs_pb2.Repo(name=pipeline, type="spec", project={"name": "default"}))
    )
    commit.repo.CopyFrom(commit.branch.repo)
    requests = [
        pfs_pb2.ModifyFileRequest(set_commit=commit),
        pfs_pb2.ModifyFileRequest(add_file=pfs_pb2.AddFile(path="/x", raw={"value": b"x"})),
    ]
    with pytest.raises(grpc.RpcError, match=f'pipeline "default/{pipeline}" not found'):
        client._req(Service.PFS, "ModifyFile", req=iter(requests))
    assert next(client.inspect_pipeline(pipeline)).version == 1


def test_a_pipeline_without_a_command_fails_and_its_jobs_are_killed(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("empty")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "", transform={"cmd": []})
    job = wait(client, pipeline, put(client, repo, a="1"))
    assert (job.state, job.reason) == (pps_pb2.JOB_KILLED, "job stopped")
    info = next(client.inspect_pipeline(pipeline))
    assert (info.state, info.reason) == (pps_pb2.PIPELINE_FAILURE, "nothing to run: no transform.cmd")


def test_who_stops_a_pipeline_is_named_in_its_jobs(own_server: Callable[..., Server]) -> None:
    for token, user in (("", "unknown_username"), ("sesame", "pach:root")):
        client = own_server(**({"token": token} if token else {})).client()
        client.create_repo("data")
        create(client, "slow", pfs("data"), "sleep 60")
        job = put(client, "data", a="1")
        client.stop_pipeline("slow")
        assert wait(client, "slow", job).reason == f"all jobs killed because pipeline was stopped for user {user}"
