"""Repos, branches, commits and files through the unmodified client: what works, and with which words not."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest
import python_pachyderm
from python_pachyderm.service import pfs_proto

Name = Callable[[str], str]
Client = python_pachyderm.Client


@pytest.fixture
def repo(client: Client, name: Name) -> str:
    found = name("data")
    client.create_repo(found)
    return found


def put(client: Client, repo: str, branch: str = "master", **files: str) -> str:
    with client.modify_file_client((repo, branch)) as modify:
        for path, text in files.items():
            modify.put_file_from_bytes(f"/{path}", text.encode())
    return str(next(client.inspect_commit((repo, branch))).commit.id)


def refusal(work: Callable[[], object]) -> tuple[str, str]:
    """Code and words of a refused call."""
    with pytest.raises(grpc.RpcError) as caught:
        found = work()
        if isinstance(found, Iterator):
            list(found)
    return caught.value.code().name, caught.value.details()


def test_words_of_missing_and_existing_things(client: Client, repo: str, name: Name) -> None:
    commit = put(client, repo, a="1")
    none = "0" * 12 + "4" + "0" * 19
    cases: list[tuple[Callable[[], object], str, str]] = [
        (lambda: client.inspect_repo("no"), "NOT_FOUND", "repo default/no not found"),
        (lambda: client.create_repo(repo), "ALREADY_EXISTS", f"repo default/{repo} already exists"),
        (
            lambda: client.create_repo("a b"),
            "UNKNOWN",
            "name (a b) invalid: only alphanumeric characters, underscores, and dashes are allowed",
        ),
        (
            lambda: client.create_repo("r", project_name="no"),
            "NOT_FOUND",
            'cannot find project "no": project "no" not found',
        ),
        (
            lambda: client.create_project("default"),
            "ALREADY_EXISTS",
            'project "default" already exists\nproject default already exists',
        ),
        (lambda: client.inspect_project("no"), "NOT_FOUND", 'error getting project "no": project "no" not found'),
        (
            lambda: client.inspect_branch(repo, "no"),
            "NOT_FOUND",
            f"inspect branch in transaction: branch (id=0, branch=default/{repo}@no) not found\n"
            f'branch "no" not found in repo default/{repo}',
        ),
        (lambda: client.inspect_commit((repo, none)), "NOT_FOUND", f"commit default/{repo}@{none} not found"),
        (lambda: client.inspect_commit(none), "NOT_FOUND", f"no commits found for commitset {none}"),
        (
            lambda: client.inspect_file((repo, "master"), "/no"),
            "NOT_FOUND",
            f"file /no not found in repo default/{repo} at commit ",
        ),
        (
            lambda: client.walk_file((repo, "master"), "/no"),
            "NOT_FOUND",
            f"commit/{commit} does not contain item: (/no)",
        ),
        (
            lambda: client.inspect_pipeline("no"),
            "NOT_FOUND",
            'pipeline was not inspected: couldn\'t find up to date spec for pipeline "default/no": '
            "repo (id=0, project=default, name=no, type=spec) not found\n"
            "branch (id=0, branch=default/no.spec@master) not found\n"
            'branch "master" not found in repo default/no.spec\npipeline "default/no" not found',
        ),
        (
            lambda: client.finish_commit((repo, commit)),
            "UNKNOWN",
            f"commit default/{repo}@{commit} has already finished",
        ),
        (
            lambda: client.put_file_bytes((repo, commit), "/x", b""),
            "UNKNOWN",
            f"commit default/{repo}@{commit} has already finished",
        ),
        (
            lambda: client.squash_commit(commit),
            "UNKNOWN",
            "cannot squash a commit that has no children as that would cause data loss, use the drop operation "
            f"instead: default/{repo}@{commit}",
        ),
        (lambda: client.create_branch(repo, none), "UNKNOWN", "create branch: branch name cannot be a UUID V4"),
    ]
    for work, code, words in cases:
        assert refusal(work) == (code, words)
    for path, words in (("/no", "file /no not found in repo"), ("/", "Use GetFileTAR instead")):
        with pytest.raises(ConnectionError) as caught:
            client.get_file((repo, "master"), path)
        assert words in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/cat (1).jpg", "path (/cat (1).jpg) invalid: globbing character (() not allowed in path"),
        ("/a@b", "path (/a@b) invalid: globbing character (@) not allowed in path"),
        ("/a*", "path (/a*) invalid: globbing character (*) not allowed in path"),
        ("/k\u00e4tzchen", "path (/k\u00e4tzchen) invalid: only printable ASCII characters allowed"),
        ("/a/../b", "path (/a/../b) invalid: relative file paths are not allowed"),
    ],
)
def test_paths_that_pachyderm_refuses(client: Client, repo: str, path: str, words: str) -> None:
    assert refusal(lambda: client.put_file_bytes((repo, "master"), path, b"")) == ("UNKNOWN", words)
    assert list(client.list_commit(repo)) == []


def test_spaces_are_fine(client: Client, repo: str) -> None:
    client.put_file_bytes((repo, "master"), "/my photos/cat 1.jpg", b"cat")
    assert client.get_file((repo, "master"), "/my photos/cat 1.jpg").read() == b"cat"


def test_a_request_is_all_or_nothing(client: Client, repo: str) -> None:
    with pytest.raises(grpc.RpcError), client.modify_file_client((repo, "master")) as modify:
        modify.put_file_from_bytes("/good", b"1")
        modify.put_file_from_bytes("/bad*", b"2")
    assert list(client.list_commit(repo, all=True)) == []


def test_append_overwrite_delete_copy(client: Client, repo: str) -> None:
    commit = (repo, "master")
    client.put_file_bytes(commit, "/a", b"one")
    client.put_file_bytes(commit, "/a", b"two", append=True)
    assert client.get_file(commit, "/a").read() == b"onetwo"
    client.put_file_bytes(commit, "/a", b"new")
    assert client.get_file(commit, "/a").read() == b"new"
    with client.modify_file_client(commit) as modify:
        modify.put_file_from_bytes("/d/x", b"x")
        modify.put_file_from_bytes("/d/y", b"y")
    client.copy_file(commit, "/d", commit, "/e")
    client.delete_file(commit, "/d")  # without the slash only a file of that name would go
    assert [each.file.path for each in client.walk_file(commit, "/d")] == ["/d/", "/d/x", "/d/y"]
    client.delete_file(commit, "/d/")
    assert [each.file.path for each in client.walk_file(commit, "/")] == ["/", "/a", "/e/", "/e/x", "/e/y"]
    assert client.get_file((repo, "master~2"), "/d/x").read() == b"x"


def test_ancestry(client: Client, repo: str) -> None:
    ids = [put(client, repo, a=str(number)) for number in range(4)]
    for text, expected in (
        ("master", 3),
        ("master^", 2),
        ("master^^", 1),
        ("master~3", 0),
        ("master^2", 1),
        ("master.1", 0),
        ("master.4", 3),
        (f"{ids[3]}~1", 2),
    ):
        reference = pfs_proto.Commit(id=text, branch=pfs_proto.Branch(repo=pfs_proto.Repo(name=repo, type="user")))
        assert next(client.inspect_commit(reference)).commit.id == ids[expected], text
    assert refusal(lambda: client.inspect_commit((repo, "master~9")))[0] == "NOT_FOUND"


def test_an_open_commit_shows_what_was_written(client: Client, repo: str) -> None:
    put(client, repo, old="1")
    with client.commit(repo, "master") as commit:
        client.put_file_bytes(commit, "/new", b"2")
        found = {each.file.path: each for each in client.list_file(commit, "/")}
        assert sorted(found) == ["/new", "/old"]
        assert not found["/new"].HasField("committed")
        assert refusal(lambda: client.start_commit(repo, "master"))[1] == (
            f"parent commit default/{repo}@{commit.id} has not been finished"
        )
    assert next(client.inspect_commit(commit)).finished.nanos


def test_waiting_and_subscribing(client: Client, repo: str, server: object) -> None:
    commit = client.start_commit(repo, "master")
    seen: list[str] = []

    def follow() -> None:
        for info in client.subscribe_commit(repo, "master", state=pfs_proto.CommitState.FINISHED):
            seen.append(info.commit.id)
            return

    thread = threading.Thread(target=follow)
    thread.start()
    waiter = threading.Thread(target=lambda: client.wait_commit(commit))
    waiter.start()
    waiter.join(0.3)
    assert waiter.is_alive() and seen == []
    client.finish_commit(commit)
    waiter.join(10)
    thread.join(10)
    assert seen == [commit.id]


def test_listing_commits(client: Client, repo: str) -> None:
    ids = [put(client, repo, a=str(number)) for number in range(5)]
    listed = [info.commit.id for info in client.list_commit(repo)]
    assert listed == ids[::-1]
    assert [info.commit.id for info in client.list_commit(repo, reverse=True)] == ids
    assert [info.commit.id for info in client.list_commit(repo, number=2)] == ids[:2:-1]
    between = client.list_commit(repo, to_commit=(repo, ids[3]), from_commit=(repo, ids[0]))
    assert [info.commit.id for info in between] == [ids[3], ids[2], ids[1]]


def test_branches_fork_and_move(client: Client, repo: str) -> None:
    first = put(client, repo, a="1")
    put(client, repo, a="2")
    client.create_branch(repo, "other", head_commit=(repo, first))
    assert client.get_file((repo, "other"), "/a").read() == b"1"
    put(client, repo, "other", b="3")
    assert [each.file.path for each in client.list_file((repo, "other"), "/")] == ["/a", "/b"]
    assert [each.branch.name for each in client.list_branch(repo)] == ["other", "master"]
    client.delete_branch(repo, "other")
    assert [each.branch.name for each in client.list_branch(repo)] == ["master"]


def test_provenance_is_propagated(client: Client, repo: str, name: Name) -> None:
    down = name("down")
    client.create_repo(down)
    client.create_branch(
        down, "master", provenance=[pfs_proto.Branch(repo=pfs_proto.Repo(name=repo, type="user"), name="master")]
    )
    commit = put(client, repo, a="1")
    open_commit = next(client.inspect_commit((down, commit)))
    assert [each.repo.name for each in open_commit.direct_provenance] == [repo]
    assert not open_commit.HasField("finished")
    assert refusal(lambda: client.start_commit(down, "master")) == (
        "UNKNOWN",
        f"parent commit default/{down}@{commit} has not been finished",
    )
    client.finish_commit((down, commit))
    assert refusal(lambda: client.start_commit(down, "master")) == (
        "UNKNOWN",
        f"cannot start a commit on an output branch: default/{down}@master",
    )
    assert [each.commit.id for each in client.wait_commit(commit)] == [commit, commit]
    assert "subvenance" in refusal(lambda: client.delete_repo(repo))[1]
    assert (
        "multiple branches from the same repo"
        in refusal(
            lambda: client.create_branch(
                down, "more", provenance=[pfs_proto.Branch(repo=pfs_proto.Repo(name=repo, type="user"), name="master")]
            )
        )[1]
    )


def test_squash_and_drop(client: Client, repo: str) -> None:
    first, second, third = (put(client, repo, **{key: key}) for key in "abc")
    client.squash_commit(second)
    assert [each.file.path for each in client.list_file((repo, "master"), "/")] == ["/a", "/b", "/c"]
    assert next(client.inspect_commit((repo, third))).parent_commit.id == first
    assert refusal(lambda: client.drop_commit(first))[1] == (
        f"cannot drop a commit that has children: default/{repo}@{first}"
    )
    client.drop_commit(third)
    assert next(client.inspect_commit((repo, "master"))).commit.id == first


def test_differences(client: Client, repo: str) -> None:
    put(client, repo, same="1", changed="old", removed="x")
    with client.modify_file_client((repo, "master")) as modify:
        modify.put_file_from_bytes("/changed", b"new")
        modify.put_file_from_bytes("/added", b"+")
        modify.delete_file("/removed")
    found = [(each.new_file.file.path, each.old_file.file.path) for each in client.diff_file((repo, "master"), "/")]
    assert found == [("/", "/"), ("/added", ""), ("/changed", "/changed"), ("", "/removed")]
    # As on a cluster, the flag has no effect.
    shallow = client.diff_file((repo, "master"), "/", shallow=True)
    assert [(each.new_file.file.path, each.old_file.file.path) for each in shallow] == found


def test_globs_and_pages(client: Client, repo: str) -> None:
    with client.modify_file_client((repo, "master")) as modify:
        for number in range(12):
            modify.put_file_from_bytes(f"/d/{number:02d}.jpg", b"")
        modify.put_file_from_bytes("/d/notes.txt", b"")
    commit = (repo, "master")
    assert len(list(client.glob_file(commit, "/d/*.jpg"))) == 12
    assert [each.file.path for each in client.glob_file(commit, "/**/0[0-1].*")] == ["/d/00.jpg", "/d/01.jpg"]
    assert [each.file.path for each in client.glob_file(commit, "/")] == ["/"]
    page = client.list_file(commit, "/d", pagination_marker=pfs_proto.File(path="/d/03.jpg"), number=2)
    assert [each.file.path for each in page] == ["/d/04.jpg", "/d/05.jpg"]
    page = client.list_file(commit, "/d", number=2, reverse=True)
    assert [each.file.path for each in page] == ["/d/notes.txt", "/d/11.jpg"]
    assert refusal(lambda: client.list_file(commit, "/d", reverse=True)) == (
        "UNKNOWN",
        "number must be > 0 when reverse is true",
    )


def test_a_page_begins_after_its_marker_whatever_that_is(client: python_pachyderm.Client) -> None:
    client.create_repo("markers")
    names = ["a", "a-b", "a/x", "b", "b.txt", "b/y", "ba", "c/z", "d"]
    with client.commit("markers", "master") as commit:
        for name in names:
            client.put_file_bytes(commit, f"/f/{name}" if "/" in name else f"/f/{name}.x", b"1")
    everything = [info.file.path for info in client.list_file(commit, "/f")]
    markers = [*everything, "/f/aa", "/f", "/g/a.x", "/f/zz", "/f/a", "/"]
    for marker in markers:
        bound = marker.rstrip("/") or "/"
        wanted = [path for path in everything if path.rstrip("/") > bound]
        for number in (0, 2):
            found = client.list_file(commit, "/f", pagination_marker=pfs_proto.File(path=marker), number=number)
            assert [info.file.path for info in found] == (wanted[:number] if number else wanted), marker


def test_tar_of_a_part_with_long_names(client: Client, repo: str) -> None:
    long = "/d/" + "n" * 150
    with client.modify_file_client((repo, "master")) as modify:
        modify.put_file_from_bytes(long, b"x" * 1000)
        modify.put_file_from_bytes("/other", b"")
    with client.get_file_tar((repo, "master"), "/d") as archive:
        found = {member.name: member.size for member in archive}
    assert found == {"d": 0, long.lstrip("/"): 1000} or found == {"/d": 0, long: 1000}


def test_files_from_urls(client: Client, repo: str) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/cat.jpg" else 404)
            self.end_headers()
            self.wfile.write(b"picture" if self.path == "/cat.jpg" else b"")

        def log_message(self, *args: object) -> None:
            """Quiet."""

    source = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=source.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{source.server_port}"
    try:
        client.put_file_url((repo, "master"), "/cat.jpg", f"{base}/cat.jpg")
        assert client.get_file((repo, "master"), "/cat.jpg").read() == b"picture"
        code, words = refusal(lambda: client.put_file_url((repo, "master"), "/no", f"{base}/no"))
        assert (code, words) == ("UNKNOWN", f'error retrieving content from "{base}/no": 404 Not Found')
    finally:
        source.shutdown()
        source.server_close()


def test_transactions_are_one_commit_set(client: Client, repo: str, name: Name) -> None:
    other = name("other")
    with client.transaction() as transaction:
        client.create_repo(other)
        one = client.start_commit(repo, "master")
        two = client.start_commit(other, "master")
        assert one.id == two.id == transaction.id
        assert other not in [each.repo.name for each in client.list_repo()]
    assert {each.commit.repo.name for each in client.inspect_commit(one.id)} == {repo, other}
    for commit in (one, two):
        client.finish_commit(commit)
    started = client.start_transaction()
    client.delete_transaction(started)
    assert refusal(lambda: client.delete_transaction(started))[0] == "NOT_FOUND"


def test_delete_everything(own_server: Callable[..., object]) -> None:
    client = own_server().client()  # type: ignore[attr-defined]
    client.create_project("pets")
    client.create_repo("data", project_name="pets")
    client.delete_all()
    assert list(client.list_repo()) == []
    assert [each.project.name for each in client.list_project()] == ["default"]
