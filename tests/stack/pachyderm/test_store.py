"""The store without a socket: trees against a simple model, blobs, garbage, durability."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pdk_shared.errors import StackError
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import commit_sets, files, filesets, repos
from pdk_stack.pachyderm.core.pfs.check import check
from pdk_stack.pachyderm.core.pfs.files import FileRef
from pdk_stack.pachyderm.core.pfs.globs import InvalidGlob, compile_glob, glob_tree
from pdk_stack.pachyderm.core.pfs.lookup import get_commit
from pdk_stack.pachyderm.core.pfs.types import Commit, CommitRef, RepoKey
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import clean_path
from pdk_stack.pachyderm.store import garbage
from pdk_stack.pachyderm.store import tree_edits as edits
from pdk_stack.pachyderm.store.nodes import StoredNodes
from pdk_stack.pachyderm.store.schema import SCHEMA
from pdk_stack.pachyderm.store.tree import Tree

REPO = RepoKey("default", "data")
NAMES = st.sampled_from(["a", "b", "ab", "a.b", "b-1", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
OPERATIONS = st.one_of(
    st.tuples(st.just("add"), PATHS, st.binary(max_size=8)),
    st.tuples(st.just("delete"), PATHS, st.just(b"")),
    st.tuples(st.just("delete tree"), PATHS, st.just(b"")),
    st.tuples(st.just("copy"), PATHS, PATHS),
)


class Model:
    """A dictionary of files; directories exist through them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def apply(self, operation: tuple[str, str, object]) -> None:
        kind, path, value = operation
        if kind == "add":
            assert isinstance(value, bytes)
            self.files[path] = self.files.get(path, b"") + value
        elif kind == "delete":
            self.files.pop(path, None)
        elif kind == "delete tree":
            self.files = {key: text for key, text in self.files.items() if not key.startswith(path + "/")}

    def listing(self) -> list[str]:
        """Everything in it, as a walk gives it."""
        if not self.files:
            return []
        found = {"/"}
        for path in self.files:
            found.add(path)
            parts = path.split("/")[1:-1]
            for end in range(1, len(parts) + 1):
                found.add("/" + "/".join(parts[:end]) + "/")
        return sorted(found)

    @property
    def clashes(self) -> bool:
        """Whether a path is a file and a directory, as far as the server notices: it compares neighbors only."""
        return any(second.startswith(first + "/") for first, second in pairwise(sorted(self.files)))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    found = Engine(tmp_path_factory.mktemp("store"))
    with found.change() as change:
        repos.create_repo(change.connection, REPO, "", False)
    return found


def write(engine: Engine, files: dict[str, bytes], branch: str = "master", repo: RepoKey = REPO) -> Commit:
    with engine.upload() as upload:
        for path, content in files.items():
            upload.delete(path)
            upload.add(path, content)
        return engine.modify(CommitRef(repo, branch=branch), upload)


@settings(max_examples=120, deadline=None)
@given(steps=st.lists(st.lists(OPERATIONS, max_size=6), min_size=1, max_size=4))
def test_trees_behave_like_a_dictionary(engine: Engine, steps: list[list[tuple[str, str, object]]]) -> None:
    model, key = Model(), None
    nodes: dict[bytes, bytes] = {}
    contents: dict[bytes, bytes] = {}
    with engine.read() as connection:
        for step in steps:
            before = Tree(StoredNodes(connection, nodes), key)
            earlier = dict(model.files)
            changes: list[edits.TreeEdit] = []
            for kind, path, value in step:
                if kind == "add":
                    assert isinstance(value, bytes)
                    blob = value.hex().encode().ljust(32, b"-")
                    contents[blob] = value
                    changes.append(edits.Add(path, "default", (blob,) if value else (), len(value)))
                elif kind == "copy":
                    assert isinstance(value, str)
                    if value not in earlier or key is None:
                        continue
                    changes.append(edits.Copy(path, "default", False, key, value))
                    model.files[path] = earlier[value]
                    continue
                else:
                    tree = kind == "delete tree"
                    changes.append(edits.Delete(path + "/" * tree, None if tree else "default"))
                model.apply((kind, path, value))
            editor = edits.TreeEditor(StoredNodes(connection, nodes), key)
            # Changes survive the way through the database.
            editor.apply(edits.load_edit(edits.dump_edit(change)) for change in changes)
            result = editor.finish()
            assert bool(result.problem) == model.clashes
            assert before.key == key
            if result.problem:
                # The commit fails with these words, and the next one starts from the last good tree.
                model.files = earlier
                continue
            nodes.update(result.nodes)
            key = result.root.node
            tree_now = Tree(StoredNodes(connection, nodes), key)
            root = tree_now.root()
            walked = list(tree_now.walk(root)) if root else []
            assert [found.path for found in walked] == model.listing()
            for found in walked:
                looked_up = tree_now.find(found.path)
                assert looked_up is not None and looked_up.path == found.path
                if not found.is_dir:
                    data = b"".join(contents[blob] for blob in found.entry.blobs)
                    assert data == model.files[found.path]
                    assert found.entry.size == len(data)
            assert (root.entry.size if root else 0) == sum(map(len, model.files.values()))


def simple_match(pattern: list[str], path: list[str]) -> bool:
    """``*`` and ``?`` inside one part, ``**`` over any number of characters of parts."""
    from fnmatch import fnmatchcase

    return len(pattern) == len(path) and all(
        fnmatchcase(part, wanted) for wanted, part in zip(pattern, path, strict=True)
    )


@settings(max_examples=200, deadline=None)
@example(paths={"/a", "/a.b", "/a/a"}, pattern=["a"])
@given(
    paths=st.sets(PATHS, max_size=8),
    pattern=st.lists(st.sampled_from(["*", "a", "a*", "?", "*b", "[ab]", "b-?"]), min_size=1, max_size=3),
)
def test_globs_find_what_a_simple_matcher_finds(engine: Engine, paths: set[str], pattern: list[str]) -> None:
    model = Model()
    model.files = {path: b"" for path in paths}
    assume(not model.clashes)
    with engine.read() as connection:
        editor = edits.TreeEditor(StoredNodes(connection), None)
        editor.apply(edits.Add(path, "default", (), 0) for path in sorted(paths))
        result = editor.finish()
        tree = Tree(StoredNodes(connection, result.nodes), result.root.node)
        found = [each.path for each in glob_tree(tree, "/" + "/".join(pattern))]
    expected = [path for path in model.listing() if path != "/" and simple_match(pattern, path.strip("/").split("/"))]
    assert found == expected


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("/", ["/"], ["/a"]),
        ("/**", ["/a", "/a/b/c"], []),
        ("/a/**.jpg", ["/a/b/c.jpg", "/a/x.jpg"], ["/b/x.jpg"]),
        ("/{cat,dog}*", ["/cat.1", "/dogs"], ["/bird"]),
        ("/[!a]*", ["/b1"], ["/a1"]),
        ("/@(a|b)", ["/a", "/b"], ["/ab"]),
        ("/*(ab)", ["/ab", "/abab"], ["/a"]),
        ("/+(a)b", ["/ab", "/aaab"], ["/b"]),
        ("/?(a)b", ["/b", "/ab"], ["/aab"]),
        ("/!(cat)", ["/dog", "/catfish"], ["/cat"]),
        ("/!(cat).jpg", ["/dog.jpg"], ["/cat.jpg", "/dog.png"]),
        ("/!(cat).jpg", ["/dog.jpg"], ["/catfish.jpg"]),
        ("/[!a]b", ["//b", "/bb"], ["/ab"]),
        # The prefix that the server looks for contains the backslash.
        ("/a\\*", [], ["/a*", "/ab"]),
        ("/*\\*", ["/a*"], ["/ab"]),
        ("a.b", ["/a.b"], ["/aXb"]),
        ("/{a,b", ["/a", "/b"], ["/{a,b"]),
        ("/@(a", ["/a"], ["/b"]),
        ("/a}b)c|d,", ["/a}b)c|d,"], []),
        ("/[[:digit:]]x", ["/7x"], ["/ax"]),
        ("**", ["/a", "/a/b"], ["/"]),
    ],
)
def test_the_glob_language(pattern: str, yes: list[str], no: list[str]) -> None:
    glob = compile_glob(pattern)
    assert [path for path in yes if not glob.match(path)] == []
    assert [path for path in no if glob.match(path)] == []


def test_captures_and_bad_globs() -> None:
    assert compile_glob("/*-(*).(jpg|png)").expand("/x-cat.png", "$1_${2}") == "cat_png"
    assert compile_glob("/(*).txt").expand("/a.txt", "$$1 $1 $2 $0 $x") == "$1 a  /a.txt $x"
    for bad, words in (
        ("/[a", "unexpected end of input"),
        ("/^(a)", "unimplemented quatifier ^"),
        ("/[z-a]", "error parsing regexp: "),
    ):
        with pytest.raises(InvalidGlob) as caught:
            compile_glob(bad)
        assert caught.value.message.startswith(words)


@given(st.text(alphabet="ab./", max_size=12))
def test_clean_path_is_stable_and_absolute(text: str) -> None:
    cleaned = clean_path(text)
    assert cleaned.startswith("/") and clean_path(cleaned) == cleaned
    assert "//" not in cleaned and not {".", ".."} & set(cleaned.split("/"))


def test_equal_content_is_stored_once(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    with engine.change() as change:
        repos.create_repo(change.connection, REPO, "", False)
    data = bytes(range(256)) * 400
    write(engine, {"/a": data, "/b": data})
    size = sum(each.stat().st_size for each in (tmp_path / "blobs").rglob("*") if each.is_file())
    assert size == len(data)
    write(engine, {"/c": data})
    again = sum(each.stat().st_size for each in (tmp_path / "blobs").rglob("*") if each.is_file())
    assert again == len(data)
    engine.close()


def test_garbage_goes_and_everything_else_stays(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    other = RepoKey("default", "other")
    with engine.change() as change:
        for key in (REPO, other):
            repos.create_repo(change.connection, key, "", False)
    kept = write(engine, {"/kept": b"k" * 5000, "/dropped-later": b"d" * 50_000})
    write(engine, {"/gone": b"g" * 70_000}, repo=other)
    with engine.upload() as upload:
        upload.delete("/dropped-later")
        newest = engine.modify(CommitRef(REPO, branch="master"), upload)
    with engine.change() as change:
        repos.delete_repo(change.connection, other, force=False)
        commit_sets.remove_set(change, kept.id, drop=False)
    with engine.read() as connection:
        assert garbage.is_due(connection)
    found = garbage.collect(engine.database, engine.blobs, timeout=1)
    assert found is not None and found.blobs == 2 and found.bytes == 120_000
    with engine.read() as connection, engine.blobs.reader(connection) as content:
        assert not garbage.is_due(connection)
        assert list(check(connection, engine.blobs)) == []
        entry = files.one_file(connection, FileRef(newest, "/kept")).entry
        assert b"".join(content.read(entry.blobs)) == b"k" * 5000
        assert b"".join(content.read(entry.blobs, 4990, 5)) == b"k" * 5
    engine.close()


def test_garbage_waits_for_those_who_read(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    with engine.blobs.in_use():
        assert garbage.collect(engine.database, engine.blobs, timeout=0.05) is None
    assert garbage.collect(engine.database, engine.blobs, timeout=0.05) is not None
    engine.close()


def test_a_change_that_fails_leaves_nothing(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    with pytest.raises(RuntimeError), engine.change() as change:
        repos.create_repo(change.connection, REPO, "", False)
        raise RuntimeError
    with engine.read() as connection:
        assert repos.list_repos(connection, "", []) == []
    with engine.upload() as upload:
        upload.add("/x", b"x" * 1000)
        with pytest.raises(Fault, match="repo default/data not found"):
            engine.modify(CommitRef(REPO, branch="master"), upload)
    assert list(engine.blobs.packs()) == []
    engine.close()


def test_readers_see_a_snapshot(engine: Engine) -> None:
    write(engine, {"/snapshot": b"1"}, branch="snap")
    with engine.read() as connection:
        before = connection.execute("SELECT COUNT(*) FROM commits").fetchone()[0]
        write(engine, {"/snapshot": b"2"}, branch="snap")
        assert connection.execute("SELECT COUNT(*) FROM commits").fetchone()[0] == before


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    Engine(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "pachyderm.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StackError, match="version 99"):
        Engine(tmp_path)


def test_a_state_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    with engine.change() as change:
        repos.create_repo(change.connection, REPO, "", False)
    write(engine, {"/kept": b"from before"})
    engine.close()
    with closing(sqlite3.connect(tmp_path / "pachyderm.db")) as connection:
        # Version 1 knew no file sets.
        connection.executescript(
            "DROP TRIGGER fileset_gone; DROP TABLE fileset_changes; DROP TABLE filesets;"
            "ALTER TABLE pipeline_versions DROP COLUMN effective_spec; PRAGMA user_version = 1;"
        )
    engine = Engine(tmp_path)
    with engine.database.write() as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA.version
        commit = get_commit(connection, CommitRef(REPO, branch="master"))
        key = filesets.of_commit(connection, commit)
        found = files.walk_file(connection, FileRef(filesets.as_commit(connection, key), "/"))
        assert [each.path for each in found] == ["/", "/kept"]
    engine.close()
