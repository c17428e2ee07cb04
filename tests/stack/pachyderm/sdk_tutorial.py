"""The beginner tutorial with ``pachyderm_sdk``: run by test_tutorial.py in the SDK's environment. Prints ``done``.

Arguments: host, port, and a folder with three pictures and the code of both pipelines.
"""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps


def main(host: str, port: int, folder: Path) -> None:
    """Project, repo, pictures, two pipelines, a second commit, provenance, logs, delete in order."""
    client = Client(host=host, port=port)
    project = pfs.Project(name="sdk-tutorial")
    client.pfs.create_project(project=project)
    images = pfs.Repo(name="images", project=project, type="user")
    client.pfs.create_repo(repo=images)
    master = pfs.Branch(repo=images, name="master")

    def commit(*names: str) -> str:
        with client.pfs.commit(branch=master) as opened:
            for name in names:
                with (folder / f"{name}.jpg").open("rb") as source:
                    opened.put_file_from_file(path=f"/{name}.jpg", file=source)
        opened.wait_all()
        return str(opened.id)

    def create(name: str, source: pps.Input) -> pps.Pipeline:
        pipeline = pps.Pipeline(name=name, project=project)
        code = (folder / f"{name}.py").read_text()
        client.pps.create_pipeline(
            pipeline=pipeline,
            transform=pps.Transform(image="python:3.11", cmd=["python", "-c", code]),
            input=source,
        )
        return pipeline

    def whole(repo: str, glob: str) -> pps.Input:
        return pps.Input(pfs=pps.PfsInput(project=project.name, repo=repo, glob=glob))

    edges = create("edges", whole("images", "/*"))
    montage = create("montage", pps.Input(cross=[whole("images", "/"), whole("edges", "/")]))
    first = commit("liberty")
    job = client.pps.inspect_job(job=pps.Job(pipeline=edges, id=first), wait=True)
    assert (job.state, job.data_processed) == (pps.JobState.JOB_SUCCESS, 1), job
    second = commit("kitten", "robot")
    job = client.pps.inspect_job(job=pps.Job(pipeline=edges, id=second), wait=True, details=True)
    assert (job.data_total, job.data_processed, job.data_skipped) == (3, 2, 1), job
    last = client.pps.inspect_job(job=pps.Job(pipeline=montage, id=second), wait=True)
    assert last.state == pps.JobState.JOB_SUCCESS, last.reason
    out = pfs.Commit(repo=pfs.Repo(name="montage", project=project, type="user"), id=second)
    with client.pfs.pfs_file(pfs.File(commit=out, path="/montage.png")) as source:
        assert source.read().startswith(b"\x89PNG")
    # Provenance: the whole set, and what the output was made from.
    members = [each.commit.repo for each in client.pfs.inspect_commit_set(commit_set=pfs.CommitSet(id=second))]
    assert [each.name for each in members if each.type == "user"] == ["images", "edges", "montage"], members
    direct = [each.repo for each in client.pfs.inspect_commit(commit=out).direct_provenance]
    assert {each.name for each in direct if each.type == "user"} == {"images", "edges"}, direct
    datums = client.pps.list_datum(job=pps.Job(pipeline=edges, id=second))
    states = {each.data[0].file.path: each.state for each in datums}
    assert states["/liberty.jpg"] == pps.DatumState.SKIPPED, states
    lines = [each.message for each in client.pps.get_logs(job=pps.Job(pipeline=edges, id=second)) if each.user]
    assert sorted(lines) == ["edges of kitten.jpg", "edges of robot.jpg"], lines
    # What others need cannot go first.
    for refused in (
        lambda: client.pps.delete_pipeline(pipeline=edges),
        lambda: client.pfs.delete_repo(repo=images),
        lambda: client.pfs.delete_project(project=project),
    ):
        try:
            refused()
        except grpc.RpcError as error:
            assert "subvenance" in error.details() or "still exists" in error.details(), error.details()
        else:
            raise AssertionError("deleted although others need it")
    for pipeline in (montage, edges):
        client.pps.delete_pipeline(pipeline=pipeline)
    client.pfs.delete_repo(repo=images)
    client.pfs.delete_project(project=project)
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
