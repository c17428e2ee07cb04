"""Pachyderm's beginner tutorial from end to end, with both official clients: edges of pictures, then a montage.

One datum per picture; a second commit processes only what is new; provenance, logs, and deleting in order.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
import python_pachyderm
from PIL import Image, ImageDraw
from python_pachyderm.proto.v2.pps import pps_pb2

from tests.stack.pachyderm.steps import Client, Name

EDGES = """
import os
from PIL import Image, ImageFilter
for name in os.listdir("/pfs/images"):
    print("edges of", name)
    picture = Image.open(os.path.join("/pfs/images", name)).convert("L").filter(ImageFilter.FIND_EDGES)
    picture.save(os.path.join("/pfs/out", name.rsplit(".", 1)[0] + ".png"))
"""
MONTAGE = """
import glob
from PIL import Image
found = [Image.open(path).convert("RGB") for path in sorted(glob.glob("/pfs/images/*") + glob.glob("/pfs/edges/*"))]
sheet = Image.new("RGB", (64 * max(1, len(found)), 64))
for number, each in enumerate(found):
    sheet.paste(each.resize((64, 64)), (64 * number, 0))
sheet.save("/pfs/out/montage.png")
"""
NAMES = ("liberty", "kitten", "robot")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        picture = Image.new("RGB", (48, 48), (200, 220, 240))
        ImageDraw.Draw(picture).ellipse((6, 6, 30 + number, 30 + number), fill=(10 * number, 40, 60))
        picture.save(folder / f"{name}.jpg")
    return folder


def test_with_python_pachyderm(client: Client, name: Name, pictures: Path) -> None:
    project = name("video-to-frame")
    client.create_project(project)
    client.create_repo("images", "the pictures", project_name=project)

    def commit(*names: str) -> str:
        branch = {"repo": "images", "branch": "master", "project": project}
        with client.commit("images", "master", project_name=project) as opened:
            for each in names:
                with (pictures / f"{each}.jpg").open("rb") as source:
                    client.put_file_bytes(opened, f"/{each}.jpg", source)
        return str(client.wait_commit(next(client.inspect_commit(branch)).commit)[0].commit.id)

    def create(pipeline: str, code: str, source: dict[str, object]) -> None:
        spec = {
            "pipeline": {"name": pipeline, "project": {"name": project}},
            "transform": {"image": "python:3.11", "cmd": ["python", "-c", code]},
            "input": source,
        }
        client.create_pipeline_from_request(python_pachyderm.parse_dict_pipeline_spec(spec))

    def job(pipeline: str, key: str) -> pps_pb2.JobInfo:
        return next(client.inspect_job(key, pipeline, wait=True, details=True, project_name=project))

    def file(repo: str, key: str, path: str) -> Image.Image:
        source = client.get_file({"repo": repo, "id": key, "project": project}, path)
        return Image.open(io.BytesIO(source.read()))

    first = commit("liberty")
    create("edges", EDGES, {"pfs": {"repo": "images", "glob": "/*"}})
    # The pipeline has a job for the data that is there already.
    earliest = job("edges", next(client.list_job("edges", project_name=project)).job.id)
    assert (earliest.state, earliest.data_processed) == (pps_pb2.JOB_SUCCESS, 1)
    pair = [{"pfs": {"repo": repo, "glob": "/"}} for repo in ("images", "edges")]
    create("montage", MONTAGE, {"cross": pair})
    second = commit("kitten", "robot")
    later = job("edges", second)
    assert (later.state, later.data_total, later.data_processed, later.data_skipped) == (pps_pb2.JOB_SUCCESS, 3, 2, 1)
    edges = {"repo": "edges", "id": second, "project": project}
    assert [each.file.path for each in client.list_file(edges, "/")] == ["/kitten.png", "/liberty.png", "/robot.png"]
    assert file("edges", second, "/robot.png").size == (48, 48)
    assert job("montage", second).state == pps_pb2.JOB_SUCCESS
    assert file("montage", second, "/montage.png").size == (64 * 6, 64)

    # Logs: what the code printed, of the new datums only.
    lines = [each.message for each in client.get_job_logs("edges", second, project_name=project) if each.user]
    assert sorted(lines) == ["edges of kitten.jpg", "edges of robot.jpg"]
    # Provenance: the set of the second commit, inputs before outputs; the datums say what they were made from.
    members = [each.commit.repo.name for each in client.inspect_commit(second) if each.commit.repo.type == "user"]
    assert members == ["images", "edges", "montage"]
    datums = {each.data[0].file.path: each.state for each in client.list_datum("edges", second, project_name=project)}
    assert datums == {
        "/kitten.jpg": pps_pb2.SUCCESS,
        "/liberty.jpg": pps_pb2.SKIPPED,
        "/robot.jpg": pps_pb2.SUCCESS,
    }
    (branch,) = [each for each in client.list_branch("montage", project_name=project) if each.branch.name == "master"]
    upstream = {each.repo.name for each in branch.provenance if each.repo.type == "user"}
    assert upstream == {"images", "edges"}

    # A picture that is taken away takes its output along.
    with client.modify_file_client({"repo": "images", "branch": "master", "project": project}) as modify:
        modify.delete_file("/liberty.jpg")
    third = str(next(client.inspect_commit({"repo": "images", "branch": "master", "project": project})).commit.id)
    assert (job("edges", third).data_processed, job("edges", third).data_skipped) == (0, 2)
    edges["id"] = third
    assert [each.file.path for each in client.list_file(edges, "/")] == ["/kitten.png", "/robot.png"]
    assert first != second != third

    # What others need cannot go first.
    with pytest.raises(grpc.RpcError, match="subvenance"):
        client.delete_pipeline("edges", project_name=project)
    with pytest.raises(grpc.RpcError, match="subvenance"):
        client.delete_repo("images", project_name=project)
    with pytest.raises(grpc.RpcError, match="cannot delete project"):
        client.delete_project(project)
    for pipeline in ("montage", "edges"):
        client.delete_pipeline(pipeline, project_name=project)
    client.delete_repo("images", project_name=project)
    client.delete_project(project)
    assert project not in [each.project.name for each in client.list_project()]


def test_with_the_sdk(run_sdk: Callable[..., str], pictures: Path) -> None:
    (pictures / "edges.py").write_text(EDGES)
    (pictures / "montage.py").write_text(MONTAGE)
    assert run_sdk("sdk_tutorial.py", str(pictures)).strip().endswith("done")
