"""The way of ``pachyderm_sdk``: run by test_sdk.py with an interpreter that has the SDK. Prints ``done``."""

from __future__ import annotations

import io
import sys

import grpc
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps


def main(host: str, port: int) -> None:
    """Walk through PFS and PPS."""
    client = Client(host=host, port=port)
    assert client.get_version().major == 2
    project = pfs.Project(name="sdk-pets")
    client.pfs.create_project(project=project)
    assert client.pfs.project_exists(project)
    repo = pfs.Repo(name="data", project=project, type="user")
    client.pfs.create_repo(repo=repo)
    branch = pfs.Branch(repo=repo, name="master")
    pipeline = pps.Pipeline(name="upper", project=project)
    client.pps.create_pipeline(
        pipeline=pipeline,
        input=pps.Input(pfs=pps.PfsInput(project=project.name, repo="data", glob="/*")),
        transform=pps.Transform(
            image="ubuntu",
            cmd=["sh"],
            stdin=["for f in /pfs/data/*; do tr a-z A-Z < $f > /pfs/out/$(basename $f); done"],
        ),
    )
    with client.pfs.commit(branch=branch) as commit:
        commit.put_file_from_bytes(path="/a.txt", data=b"cat")
        commit.put_file_from_file(path="/b.txt", file=io.BytesIO(b"dog"))
    commit.wait()
    jobs = list(client.pps.list_job(pipeline=pipeline))
    assert any(job.job.id == commit.id for job in jobs), "the job is there with its commit"
    info = client.pps.inspect_job(job=pps.Job(pipeline=pipeline, id=commit.id), wait=True)
    assert info.state == pps.JobState.JOB_SUCCESS, info.reason
    out = pfs.Commit.from_uri(f"sdk-pets/upper@{commit.id}")
    with client.pfs.pfs_file(pfs.File(commit=out, path="/b.txt")) as source:
        assert source.read() == b"DOG"
    # By the job's id the input is found too.
    data = pfs.Commit.from_uri(f"sdk-pets/data@{commit.id}")
    paths = [each.file.path for each in client.pfs.walk_file(file=pfs.File(commit=data, path="/"))]
    assert paths == ["/", "/a.txt", "/b.txt"], paths
    with client.pfs.commit(branch=branch) as second:
        second.put_file_from_bytes(path="/c.txt", data=b"bird")
    second.wait()
    changed = [
        each.new_file.file.path
        for each in client.pfs.diff_file(
            new_file=pfs.File(commit=second, path="/"), old_file=pfs.File(commit=commit, path="/")
        )
    ]
    assert changed == ["/", "/c.txt"], changed
    info = client.pps.inspect_job(job=pps.Job(pipeline=pipeline, id=second.id), wait=True)
    assert (info.data_processed, info.data_skipped) == (1, 2), info
    with client.pfs.pfs_tar_file(pfs.File(commit=second, path="/")) as archive:
        assert len([member for member in archive if member.isfile()]) == 3
    assert not client.pfs.path_exists(pfs.File(commit=second, path="/none"))
    assert not client.pfs.repo_exists(pfs.Repo(name="none", project=project, type="user"))
    try:
        client.pfs.inspect_repo(repo=pfs.Repo(name="none", project=project, type="user"))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
    client.pps.create_pipeline_v2(
        create_pipeline_request_json='{"pipeline": {"name": "v2", "project": {"name": "sdk-pets"}}, '
        '"input": {"pfs": {"repo": "data", "glob": "/", "project": "sdk-pets"}}, '
        '"transform": {"image": "ubuntu", "cmd": ["true"]}}'
    )
    client.pps.rerun_pipeline(pipeline=pps.Pipeline(name="v2", project=project), reprocess=True)
    assert client.pps.inspect_pipeline(pipeline=pps.Pipeline(name="v2", project=project)).version == 2
    for name in ("v2", "upper"):
        client.pps.delete_pipeline(pipeline=pps.Pipeline(name=name, project=project))
    client.pfs.delete_repo(repo=repo)
    client.pfs.delete_project(project=project)
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
