"""Looking through repos, commits, folders, and differences, page by page, against an embedded Pachyderm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import python_pachyderm

from pdk_nb.platforms import mldm
from pdk_shared.errors import NotFound
from tests.support.processes import ServiceProcess

TOKEN = "t0ken-of-the-test"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    service = ServiceProcess("pachyderm", tmp_path_factory.mktemp("pachd"), {"root_token": TOKEN}).start()
    address = urlsplit(service.ready["pachd"])
    yield python_pachyderm.Client(host=address.hostname, port=address.port, auth_token=TOKEN)
    service.stop()


@pytest.fixture(scope="module")
def ids(client: Any) -> list[str]:
    """Three commits: five files, then one added, one changed, and one removed, then nothing."""
    client.create_project("pets")
    client.create_repo("photos", "Photos", project_name="pets")
    found = []
    with client.commit("photos", "master", project_name="pets") as commit:
        for name in "abcd":
            client.put_file_bytes(commit, f"/dog/{name}.jpg", name.encode())
        client.put_file_bytes(commit, "/README.md", b"read me")
    found.append(commit.id)
    with client.commit("photos", "master", project_name="pets", description="the second") as commit:
        client.put_file_bytes(commit, "/cat/new.jpg", b"a new one")
        client.delete_file(commit, "/dog/a.jpg")
        client.delete_file(commit, "/dog/b.jpg")
        client.put_file_bytes(commit, "/dog/b.jpg", b"changed")
    found.append(commit.id)
    with client.commit("photos", "master", project_name="pets") as commit:
        pass
    return [*found, commit.id]


def test_repos_of_all_projects(client: Any, ids: list[str]) -> None:
    client.create_repo("other", project_name="default")
    found = mldm.all_repos(client)
    assert [(each.project, each.name) for each in found] == [("default", "other"), ("pets", "photos")]
    photos = found[1]
    assert (photos.description, photos.branches) == ("Photos", ("master",))
    assert photos.created > 1.7e9 and photos.bytes > 0
    assert mldm.branches(client, "pets", "photos") == [("master", ids[-1])]


def test_history_goes_on_where_the_page_before_ended(client: Any, ids: list[str]) -> None:
    first = mldm.history(client, "pets", "photos", 2)
    assert [each.id for each in first.items] == ids[:0:-1] and first.more
    rest = mldm.history(client, "pets", "photos", 2, first.items[-1].id)
    assert [each.id for each in rest.items] == [ids[0]] and not rest.more
    assert mldm.history(client, "pets", "photos", 3).more is False
    second = first.items[1]
    assert (second.description, second.origin, second.parent) == ("the second", "user", ids[0])
    assert second.finished >= second.started > 1.7e9
    assert mldm.inspect(client, "pets", "photos", ids[1]) == dataclasses.replace(second, bytes=second.bytes)


def test_a_folder_comes_page_by_page_and_folders_are_told_from_files(client: Any, ids: list[str]) -> None:
    commit = mldm.commit_of("pets", "photos", id=ids[0])
    top = mldm.folder(client, commit, "/", 10)
    assert [(each.path, each.is_folder, each.bytes) for each in top.items] == [
        ("/README.md", False, 7),
        ("/dog/", True, 4),
    ]
    page = mldm.folder(client, commit, "/dog", 3)
    assert [each.name for each in page.items] == ["a.jpg", "b.jpg", "c.jpg"] and page.more
    page = mldm.folder(client, commit, "/dog", 3, page.items[-1].path)
    assert [each.name for each in page.items] == ["d.jpg"] and not page.more
    assert mldm.folder(client, commit, "/nothing", 3).items == ()
    everything = mldm.below(client, commit, 7)
    assert [each.path for each in everything.items if not each.is_folder] == [
        "/README.md",
        *(f"/dog/{name}.jpg" for name in "abcd"),
    ]
    assert not everything.more
    few = mldm.below(client, commit, 3)
    assert len(few.items) == 3 and few.more
    assert mldm.file_size(client, commit, "/README.md") == 7
    with pytest.raises(NotFound, match="folder"):
        mldm.file_size(client, commit, "/dog")


def test_changes_with_the_parent_and_with_any_other_commit(client: Any, ids: list[str]) -> None:
    commits = [mldm.commit_of("pets", "photos", id=id) for id in ids]

    def changed(new: int, old: int | None, number: int = 10) -> set[tuple[str, str]]:
        found = mldm.changes(client, commits[new], None if old is None else commits[old], number)
        return {(each.kind, each.path) for each in found.items}

    second = {("added", "/cat/new.jpg"), ("removed", "/dog/a.jpg"), ("changed", "/dog/b.jpg")}
    assert changed(1, 0) == changed(1, None) == changed(2, 0) == second
    assert changed(2, 1) == set()
    assert {kind for kind, _ in changed(0, None)} == {"added"} and len(changed(0, None)) == 5
    assert mldm.changes(client, commits[0], None, 4).more


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, id: mldm.branches(client, "pets", "nothing"),
        lambda client, id: mldm.history(client, "pets", "nothing", 5),
        lambda client, id: mldm.inspect(client, "pets", "photos", "0" * 32),
        lambda client, id: mldm.file_size(client, mldm.commit_of("pets", "photos", id=id), "/nothing"),
    ],
    ids=["branches", "history", "inspect", "file_size"],
)
def test_what_is_not_there_is_said(client: Any, ids: list[str], ask: Any) -> None:
    with pytest.raises(NotFound):
        ask(client, ids[0])
