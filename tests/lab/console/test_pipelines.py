"""The graph of all pipelines: what reads what, where boxes stand, and how states look."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.console.pages import pipelines as page
from pdk_nb.console.web import Pages
from pdk_nb.display.diagrams import Edge, Layered, Node
from pdk_nb.names import Names
from pdk_nb.platforms import mldm
from pdk_nb.platforms.mldm import PipelineEntry
from tests.support.console import COOKIE, ask


def info(name: str, project: str = "p", job: str = "JOB_STATE_UNKNOWN", **inputs: Any) -> pps_pb2.PipelineInfo:
    """A pipeline as Pachyderm lists it."""
    found = pps_pb2.PipelineInfo(state="PIPELINE_RUNNING", last_job_state=job, details={"input": inputs})  # type: ignore[arg-type]
    found.pipeline.name, found.pipeline.project.name = name, project
    return found


class Client:
    """Pachyderm with some pipelines."""

    def __init__(self, *pipelines: pps_pb2.PipelineInfo) -> None:
        self.pipelines = pipelines
        self.asked: list[tuple[bool, list[str]]] = []

    def list_pipeline(self, *, details: bool, projects_filter: list[Any]) -> list[pps_pb2.PipelineInfo]:
        names = [each.name for each in projects_filter]
        self.asked.append((details, names))
        return [each for each in self.pipelines if not names or each.pipeline.project.name in names]

    def list_project(self) -> list[Any]:
        names = {each.pipeline.project.name for each in self.pipelines}
        return [SimpleNamespace(project=SimpleNamespace(name=name)) for name in names]


NESTED = {
    "cross": [
        {"pfs": {"project": "p", "repo": "data"}},
        {"union": [{"pfs": {"project": "other", "repo": "labels"}}, {"pfs": {"project": "p", "repo": "data"}}]},
        {"join": [{"pfs": {"project": "p", "repo": "first"}}], "group": []},
        {"cron": {"project": "p", "repo": "second_tick"}},
    ]
}


def test_all_inputs_are_found_once_however_deep() -> None:
    client: Any = Client(
        info("second", **NESTED), info("first", job="JOB_SUCCESS", pfs={"project": "p", "repo": "data"})
    )
    first, second = mldm.all_pipelines(client, ["p"])
    assert (first.name, first.state, first.job) == ("first", "RUNNING", "SUCCESS")
    assert second.inputs == (("p", "data"), ("other", "labels"), ("p", "first"), ("p", "second_tick"))
    assert second.job == ""
    assert client.asked == [(True, ["p"])]


def test_a_page_asks_for_details_only_when_something_has_changed() -> None:
    train = info("train", pfs={"project": "p", "repo": "data"})
    client: Any = Client(train)
    before = mldm.pipelines_signature(client)
    assert mldm.pipelines_signature(client) == before and client.asked == [(False, [])] * 2
    for name, value in (
        ("last_job_state", pps_pb2.JOB_FAILURE),
        ("state", pps_pb2.PIPELINE_CRASHING),
        ("version", 7),
        ("reason", "no image"),
    ):
        setattr(train, name, value)
        assert mldm.pipelines_signature(client) != before
        before = mldm.pipelines_signature(client)


def test_a_pipeline_and_its_output_are_one_box_and_other_projects_are_named() -> None:
    entries = [
        PipelineEntry("p", "train", "RUNNING", "", "RUNNING", (("p", "data"), ("other", "labels"))),
        PipelineEntry("p", "deploy", "CRASHING", "no image", "SUCCESS", (("p", "train"),)),
        PipelineEntry("p", "idle", "PAUSED", "", "FAILURE", (("p", "train"),)),
    ]
    found = page.graph(entries, "p")
    nodes = {node.key: node for node in found.placed()}
    assert set(nodes) == {"p/data", "other/labels", "p/train", "p/deploy", "p/idle"}
    assert nodes["other/labels"].kind == "repo in other" and nodes["p/data"].kind == "repo"
    assert [nodes[f"p/{name}"].state for name in ("train", "deploy", "idle")] == ["running", "failed", "waiting"]
    assert [nodes[f"p/{name}"].note for name in ("train", "deploy", "idle")] == ["job running", "crashing", "paused"]
    assert nodes["p/data"].link == "/data/p/data" and nodes["p/train"].link == "/jobs?project=p&pipeline=train"
    assert {(edge.start, edge.state) for edge in found.edges if edge.end == "p/train"} == {
        ("p/data", "running"),
        ("other/labels", "running"),
    }
    assert [nodes[key].column for key in ("p/data", "p/train", "p/deploy")] == [0, 1, 2]
    assert page.graph(entries, "").placed()[0].kind == "repo in p"


def diagram(count: int, fan: int) -> Layered:
    """A tree of boxes, each with so many followers."""
    nodes = [Node(str(number), "pipeline", f"p-{number}", link="/x") for number in range(count)]
    return Layered(nodes, [Edge(str((number - 1) // fan), str(number)) for number in range(1, count)])


@pytest.mark.parametrize(("count", "fan"), [(1, 1), (4, 1), (21, 20), (20, 3), (101, 100), (100, 2), (100, 9)])
def test_boxes_never_overlap_and_no_arrow_crosses_one(count: int, fan: int) -> None:
    found = diagram(count, fan)
    placed = found.placed()
    assert len({(node.column, node.row) for node in placed}) == count
    drawn = found.draw()
    boxes = [
        tuple(float(value) for value in each)
        for each in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', drawn.body)
    ]
    assert len(boxes) == count
    assert all(x + width <= drawn.width and y + height <= drawn.height for x, y, width, height in boxes)
    ways = re.findall(r'<path d="M([\d.]+) ([\d.]+)((?:[HV][\d.]+)+)" fill="none"', drawn.body)
    assert len(ways) == count - 1
    for x, y, steps in ways:
        at = (float(x), float(y))
        for direction, value in re.findall(r"([HV])([\d.]+)", steps):
            to = (float(value), at[1]) if direction == "H" else (at[0], float(value))
            for left, top, width, height in boxes:
                inside_x = min(at[0], to[0]) < left + width and max(at[0], to[0]) > left
                inside_y = min(at[1], to[1]) < top + height and max(at[1], to[1]) > top
                assert not (inside_x and inside_y), (at, to, (left, top))
            at = to


def test_a_wide_layer_takes_several_columns_so_that_the_page_stays_short() -> None:
    placed = diagram(101, 100).placed()
    assert 1 + max(node.column for node in placed) <= 7
    assert 1 + max(node.row for node in placed) <= 17
    # A small graph stays as it is: one column for each layer.
    assert [node.column for node in diagram(4, 3).placed()] == [0, 1, 1, 1]


def test_a_circle_ends() -> None:
    nodes = [Node(each, "pipeline", each) for each in "abc"]
    assert Layered(nodes, [Edge("a", "b"), Edge("b", "c"), Edge("c", "a"), Edge("a", "a"), Edge("x", "a")]).draw().body
    assert "empty" in Layered([], title="Pipelines").draw().description


def test_the_page_shows_one_project_or_all() -> None:
    names = Names()
    own = info("train", names.project, job="JOB_SUCCESS", pfs={"project": names.project, "repo": names.data_repo})
    session: Any = SimpleNamespace(names=names, pachyderm=Client(own, info("<other>", "other")))
    pages = Pages(session)
    text = ask(pages, "/pipelines", **COOKIE).text
    assert "pipeline=train" in text and "&lt;other&gt;" not in text
    assert "job success" in text
    text = ask(pages, "/pipelines?project=%2A", **COOKIE).text
    assert "pipeline=train" in text and "&lt;other&gt;" in text and "<other>" not in text
    assert "has no pipelines yet" in ask(pages, "/pipelines?project=nobody", **COOKIE).text
