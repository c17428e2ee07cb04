"""Steps that tests of pipelines share."""

from __future__ import annotations

from collections.abc import Callable

import python_pachyderm
from python_pachyderm.proto.v2.pps import pps_pb2

Name = Callable[[str], str]
Client = python_pachyderm.Client


def create(client: Client, pipeline: str, source: dict[str, object], script: str, **more: object) -> None:
    content: dict[str, object] = {
        "pipeline": {"name": pipeline},
        **({"input": source} if source else {}),
        "transform": {"image": "ubuntu", "cmd": ["sh"], "stdin": [script], **more.pop("transform", {})},  # type: ignore[dict-item]
        **more,
    }
    client.create_pipeline_from_request(python_pachyderm.parse_dict_pipeline_spec(content))


def pfs(repo: str, glob: str = "/*", **more: object) -> dict[str, object]:
    return {"pfs": {"repo": repo, "name": "data", "glob": glob, **more}}


def put(client: Client, repo: str, **files: str) -> str:
    """One commit; its id."""
    with client.modify_file_client((repo, "master")) as modify:
        for path, text in files.items():
            modify.put_file_from_bytes(f"/{path}", text.encode())
    return str(next(client.inspect_commit((repo, "master"))).commit.id)


def wait(client: Client, pipeline: str, job: str) -> pps_pb2.JobInfo:
    return next(client.inspect_job(job, pipeline, wait=True, details=True))


def files(client: Client, pipeline: str, commit: str) -> dict[str, str]:
    found = client.walk_file((pipeline, commit), "/")
    return {
        each.file.path: client.get_file((pipeline, commit), each.file.path).read().decode()
        for each in found
        if not each.file.path.endswith("/")
    }


def log_line(client: Client, pipeline: str, job: str, words: str) -> str:
    """Wait for a line of a job's log."""
    for line in client.get_job_logs(pipeline, job, follow=True):
        if words in line.message:
            return str(line.message)
    raise AssertionError(f"the log ended without {words!r}")
