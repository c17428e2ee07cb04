"""Corrections: the tray without a cluster, and its commit in a real daemon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb.feedback import Tray
from pdk_nb.labels import LabelRule
from pdk_nb.names import Names
from pdk_nb.platforms import mldm
from pdk_shared.errors import DataError
from tests.stack.pachyderm.server import Server
from tests.support.serving_tools import BLUE, RED

CLASSES = ("dog", "cat")
NAMES = Names(participant="ada")


def tray_of(client: Any = None) -> Tray:
    return Tray(SimpleNamespace(names=NAMES, pachyderm=client))  # type: ignore[arg-type]


def test_a_later_correction_of_a_picture_replaces_the_earlier_one() -> None:
    tray = tray_of()
    assert (len(tray), tray.summary()) == (0, "The tray is empty.")
    tray.add("a.png", RED, "cat", CLASSES)
    tray.add("b.png", BLUE, "cat", CLASSES)
    tray.add("a.png", RED, "dog", CLASSES)
    assert tray.summary() == "2 pictures in the tray (cat: 1, dog: 1)."
    moment = datetime(2026, 1, 31, 9, 5, tzinfo=timezone.utc)
    assert tray.description(moment) == "feedback from ada, 2026-01-31 09:05 UTC: a.png is dog, b.png is cat"
    tray.clear()
    assert not tray


def test_a_file_name_that_contradicts_the_class_does_not_decide() -> None:
    tray = tray_of()
    tray.add("cat.1003.jpg", RED, "dog", CLASSES)
    (correction,) = tray.corrections
    assert correction.path.startswith("dog/")
    assert correction.path.endswith(".png")  # what the bytes are, whatever the name says
    assert LabelRule(CLASSES).name(f"/feedback/{correction.path}") == "dog"


@pytest.mark.parametrize(
    ("label", "classes", "says"),
    [("bird", CLASSES, "doesn't learn 'bird'"), ("chien*", ("chien*", "chat"), "folder can't be named")],
)
def test_a_class_that_cannot_be_kept_is_refused(label: str, classes: tuple[str, ...], says: str) -> None:
    tray = tray_of()
    with pytest.raises(DataError, match=says):
        tray.add("a.png", RED, label, classes)
    assert not tray


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path).start()
    yield found
    found.kill()


def test_the_tray_becomes_one_commit_and_a_new_class_moves_a_picture(server: Server) -> None:
    client = server.client()
    with pytest.raises(DataError, match="tray is empty"):
        tray_of(client).commit()
    client.create_project(NAMES.project)
    client.create_repo(NAMES.data_repo, project_name=NAMES.project)

    def files() -> list[str]:
        return sorted(mldm.files(client, mldm.commit_of(NAMES.project, NAMES.data_repo, branch="master")))

    tray = tray_of(client)
    tray.add("a.png", RED, "cat", CLASSES)
    tray.add("b.png", BLUE, "cat", CLASSES)
    red, blue = (each.path.partition("/")[2] for each in tray.corrections)
    seen: list[tuple[int, int]] = []
    first = tray.commit(lambda done, total: seen.append((done, total)))
    assert (not tray, seen) == (True, [(1, 2), (2, 2)])
    assert files() == sorted([f"/feedback/cat/{red}", f"/feedback/cat/{blue}"])
    info = next(client.inspect_commit(mldm.commit_of(NAMES.project, NAMES.data_repo, id=first)))
    assert info.description.startswith("feedback from ada, ")
    assert info.HasField("finished")
    tray.add("a.png", RED, "dog", CLASSES)
    assert tray.commit() != first
    assert files() == sorted([f"/feedback/dog/{red}", f"/feedback/cat/{blue}"])


def test_a_commit_that_fails_leaves_no_open_commit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client = server.client()
    client.create_project(NAMES.project)
    client.create_repo(NAMES.data_repo, project_name=NAMES.project)
    tray = tray_of(client)
    tray.add("a.png", RED, "cat", CLASSES)

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tray.commit(interrupted)
    assert len(tray) == 1
    assert mldm.commits(client, NAMES.project, NAMES.data_repo) == []
    assert tray.commit() == mldm.head(client, NAMES.project, NAMES.data_repo)
