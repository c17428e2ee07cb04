"""Lists of jobs and pipelines: filters, history, pages, older versions."""

from __future__ import annotations

import grpc
import pytest
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.service import Service

from tests.stack.pachyderm.steps import Client, Name, create, pfs, put, wait


def jobs(client: Client, **request: object) -> list[pps_pb2.JobInfo]:
    return list(client._req(Service.PPS, "ListJob", req=pps_pb2.ListJobRequest(**request)))


def pipelines(client: Client, **request: object) -> list[pps_pb2.PipelineInfo]:
    return list(client._req(Service.PPS, "ListPipeline", req=pps_pb2.ListPipelineRequest(**request)))


def test_filters_history_and_versions(client: Client, name: Name) -> None:
    repo, good, bad = name("data"), name("good"), name("bad")
    client.create_repo(repo)
    create(client, good, pfs(repo), "true")
    create(client, bad, pfs(repo), "false", datum_tries=1)
    first = put(client, repo, a="1")
    for pipeline in (good, bad):
        wait(client, pipeline, first)
    create(client, good, pfs(repo), "echo again", update=True)
    second = put(client, repo, b="2")
    wait(client, good, second)

    mine = pps_pb2.Pipeline(name=good, project=pfs_pb2.Project(name="default"))
    # Without history only the present version's jobs; with it those of older ones too.
    present = jobs(client, pipeline=mine)
    assert second in [each.job.id for each in present] and first not in [each.job.id for each in present]
    assert {each.pipeline_version for each in present} == {2}
    assert {each.pipeline_version for each in jobs(client, pipeline=mine, history=-1)} == {1, 2}
    # jq filters, as ``pachctl list job --state failure`` sends them.
    state = f'.job.pipeline.name == "{bad}" and .state == "JOB_FAILURE"'
    assert [each.job.id for each in jobs(client, jqFilter=state, details=True)][-1] == first
    image = f'select(.details.transform.image == "ubuntu" and .pipeline.name == "{good}")'
    assert [each.pipeline.name for each in pipelines(client, jqFilter=image)] == [good]
    for broken, words in ((".a |", "error parsing jq filter"), (".state + 1", "error applying jq filter")):
        with pytest.raises(grpc.RpcError, match=words):
            jobs(client, jqFilter=broken)
    # As of the first commit set the pipeline had its first version.
    (then,) = pipelines(client, pipeline=mine, commit_set=pfs_pb2.CommitSet(id=first))
    assert then.version == 1
    # The ancestry syntax names older versions too.
    (older,) = client.inspect_pipeline(f"{good}^")
    assert older.version == 1
    with pytest.raises(grpc.RpcError, match="has only 2 versions, not enough to find ancestor 5"):
        list(client.inspect_pipeline(f"{good}~5"))


def test_pages_of_job_sets(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("paged")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "true")
    made = [put(client, repo, **{f"f{number}": "1"}) for number in range(3)]
    wait(client, pipeline, made[-1])
    mine = f'.job.pipeline.name == "{pipeline}"'

    def page(**request: object) -> list[pps_pb2.JobSetInfo]:
        message = pps_pb2.ListJobSetRequest(jqFilter=mine, **request)
        return list(client._req(Service.PPS, "ListJobSet", req=message))

    first = page(number=2)
    assert [each.job_set.id for each in first] == [made[2], made[1]]
    rest = page(paginationMarker=first[-1].jobs[0].created)
    assert [each.job_set.id for each in rest][0] == made[0]
    backwards = page(reverse=True)
    assert [each.job_set.id for each in backwards][-1] == made[2]


def test_words_of_missing_jobs_and_datums(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("words")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "true")
    job = next(client.list_job(pipeline)).job.id
    none = "0" * 12 + "4" + "0" * 19
    for work, words in (
        (lambda: list(client.inspect_job(none, pipeline)), f"jobs default/{pipeline}@{none} not found"),
        (lambda: client.stop_job(none, pipeline), f"jobs default/{pipeline}@{none} not found"),
        (lambda: client.inspect_datum(pipeline, job, "0" * 64), f"datum {'0' * 64} not found in job"),
        (lambda: list(client.inspect_pipeline("no")), 'pipeline "default/no" not found'),
    ):
        with pytest.raises(grpc.RpcError, match=words):
            work()
    # A set that doesn't exist has no jobs.
    assert not list(client.inspect_job(none))


def test_the_daemons_own_log(client: Client) -> None:
    lines = list(client._req(Service.PPS, "GetLogs", req=pps_pb2.GetLogsRequest(tail=500)))
    assert any("pachd starts: release 2.8" in line.message for line in lines)
    assert not any(line.pipeline_name for line in lines)


TEMPLATE = """
function(repo, suffix="") {
  pipeline: { name: "upper" + suffix },
  input: { pfs: { repo: repo, glob: "/*" } },
  transform: { cmd: ["tr"] },
}
"""


def test_specs_from_a_template(client: Client) -> None:
    def render(template: str, **args: str) -> pps_pb2.RenderTemplateResponse:
        request = pps_pb2.RenderTemplateRequest(template=template, args=args)
        return client._req(Service.PPS, "RenderTemplate", req=request)

    (spec,) = render(TEMPLATE, repo="data", suffix="-1").specs
    assert (spec.pipeline.name, spec.input.pfs.repo) == ("upper-1", "data")
    assert len(render(f"[({TEMPLATE.strip()})('a'), ({TEMPLATE.strip()})('b')]").specs) == 2
    for template, words in (
        (TEMPLATE, "template err: .*repo"),
        ("import '/etc/passwd'", "imports are not done"),
        ("{ nonsense: 1 }", "gives no pipeline spec"),
        ("1", "not a json object or list: 1"),
    ):
        with pytest.raises(grpc.RpcError, match=words):
            render(template)
