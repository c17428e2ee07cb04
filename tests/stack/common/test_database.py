"""Transactions: all or nothing, also on a full disk; readers see snapshots; waiters wake after the commit."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdk_shared.errors import StackError
from pdk_stack.common.database import Database, Schema
from pdk_stack.common.errors import StorageFull

SCHEMA = Schema(2, "CREATE TABLE things (name TEXT, body TEXT);", {1: "ALTER TABLE things ADD COLUMN body TEXT;"})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "state" / "things.db", SCHEMA)
    yield opened
    opened.close()


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return [row["name"] for row in connection.execute("SELECT name FROM things ORDER BY rowid")]


def add(database: Database, name: str, body: str = "") -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO things VALUES (?, ?)", (name, body))


def test_the_file_is_private(database: Database) -> None:
    assert database.path.stat().st_mode & 0o077 == 0


def test_an_error_undoes_the_whole_change(database: Database) -> None:
    with pytest.raises(ValueError, match="no"), database.write() as connection:
        connection.execute("INSERT INTO things VALUES ('a', '')")
        raise ValueError("no")
    assert names(database) == []
    add(database, "b")
    assert names(database) == ["b"]


def test_an_inner_change_belongs_to_the_outer_one(database: Database) -> None:
    with pytest.raises(ValueError, match="no"), database.write():
        add(database, "inner")
        assert names(database) == ["inner"], "a change sees what it has written"
        raise ValueError("no")
    assert names(database) == []


def test_readers_see_the_last_commit(database: Database) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO things VALUES ('open', '')")
        seen: list[list[str]] = []
        reader = threading.Thread(target=lambda: seen.append(names(database)))
        reader.start()
        reader.join(5)
        assert seen == [[]]
    assert names(database) == ["open"]


def test_a_snapshot_stays_as_it_was(database: Database) -> None:
    add(database, "first")
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM things").fetchone()[0] == 1
        add_in_thread = threading.Thread(target=add, args=(database, "second"))
        add_in_thread.start()
        add_in_thread.join(5)
        assert connection.execute("SELECT count(*) FROM things").fetchone()[0] == 1
    assert names(database) == ["first", "second"]


@pytest.mark.parametrize("caught_inside", [False, True])
def test_a_full_disk_is_named_and_changes_nothing(database: Database, caught_inside: bool) -> None:
    add(database, "before")
    called: list[str] = []
    rung = database.bell.count
    with database.write() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    rung = database.bell.count
    with pytest.raises(StorageFull, match="no space left"), database.write() as connection:
        database.after_commit(lambda: called.append("never"))
        try:
            connection.execute("INSERT INTO things VALUES ('big', ?)", ("x" * 1_000_000,))
        except sqlite3.OperationalError:
            # SQLite has given the transaction up; whoever carries on must not believe that it counts.
            if not caught_inside:
                raise
    assert names(database) == ["before"]
    assert not called
    assert database.bell.count == rung
    with database.write() as connection:
        connection.execute("PRAGMA max_page_count = 100000")
    add(database, "after")
    assert names(database) == ["before", "after"]


def test_after_a_commit_what_was_wanted_is_called_once_and_in_order(database: Database) -> None:
    called: list[str] = []
    with database.write():
        database.after_commit(lambda: called.append("one"))
        with database.write():
            database.after_commit(lambda: called.append("two"))
        assert called == []
    assert called == ["one", "two"]
    add(database, "x")
    assert called == ["one", "two"]


def test_the_bell_rings_when_the_change_can_be_seen(database: Database) -> None:
    seen = database.bell.count
    found: list[list[str]] = []

    def wait() -> None:
        database.bell.wait(seen, 10)
        found.append(names(database))

    waiter = threading.Thread(target=wait)
    waiter.start()
    add(database, "a")
    waiter.join(5)
    assert found == [["a"]]


def test_an_older_file_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE things (name TEXT); INSERT INTO things VALUES ('kept'); PRAGMA user_version = 1;"
        )
    old.close()
    database = Database(path, SCHEMA)
    add(database, "new", "body")
    assert names(database) == ["kept", "new"]


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 9")
    newer.close()
    with pytest.raises(StackError, match="version 9; this release reads 2") as caught:
        Database(path, SCHEMA)
    assert "what to do" in str(caught.value)


def test_many_threads_lose_no_write(database: Database) -> None:
    def work(number: int) -> None:
        for index in range(20):
            add(database, f"{number}-{index}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(set(names(database))) == 120


@pytest.mark.parametrize("content", [b"no database at all" * 300, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.db"
    path.write_bytes(content)
    with pytest.raises(StackError, match="The database") as caught:
        Database(path, SCHEMA)
    assert caught.value.where == str(path)
    assert "pdk-nb down --purge" in caught.value.fix


def test_damage_that_shows_later_is_named_too(database: Database) -> None:
    for number in range(200):
        add(database, f"{number}", "x" * 500)
    database.close()
    whole = database.path.read_bytes()
    database.path.write_bytes(whole[:8192] + b"\xa5" * (len(whole) - 8192))
    damaged = Database(database.path, SCHEMA)
    with pytest.raises(StackError, match="The database is damaged") as caught:
        names(damaged)
    damaged.close()
    assert caught.value.where == str(database.path)


def test_a_place_that_cannot_hold_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="cannot be opened"):
        Database(tmp_path / "file" / "things.db", SCHEMA)
    (tmp_path / "things.db").mkdir()
    with pytest.raises(StackError, match="cannot be opened"):
        Database(tmp_path / "things.db", SCHEMA)


@pytest.mark.parametrize("lost", ["truncated", "deleted", "without tables"])
def test_an_empty_database_beside_content_is_refused_and_all_stays(tmp_path: Path, lost: str) -> None:
    path, blob = tmp_path / "things.db", tmp_path / "blobs" / "ab" / "abc"
    Database(path, SCHEMA, beside=[tmp_path / "blobs"]).close()
    blob.parent.mkdir(parents=True)
    Database(path, SCHEMA, beside=[tmp_path / "blobs"]).close()
    blob.write_bytes(b"pictures")
    Database(path, SCHEMA, beside=[tmp_path / "blobs"]).close()
    path.unlink()
    if lost == "truncated":
        path.touch()
    elif lost == "without tables":
        with sqlite3.connect(path) as empty:
            empty.execute("PRAGMA user_version = 0")
            empty.execute("VACUUM")
        empty.close()
    with pytest.raises(StackError, match="has lost its content") as caught:
        Database(path, SCHEMA, beside=[tmp_path / "blobs"])
    assert caught.value.where == str(path)
    assert "pdk-nb down --purge" in caught.value.fix
    assert blob.read_bytes() == b"pictures"


def test_an_empty_database_beside_its_own_log_is_refused(tmp_path: Path) -> None:
    path, log = tmp_path / "things.db", tmp_path / "things.db-wal"
    path.touch()
    log.write_bytes(b"the last changes")
    with pytest.raises(StackError, match="has lost its content"):
        Database(path, SCHEMA)
    assert log.read_bytes() == b"the last changes"
