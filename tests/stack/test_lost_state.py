"""A service whose database is lost refuses to start, and deletes nothing of what is left."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pdk_shared.errors import StackError
from pdk_stack.determined.store.documents import Store
from pdk_stack.kubernetes.core.tls import ensure_certificates
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.maintenance import Maintenance

# For each service: what opens its store, the database's name, and a file that shows earlier use.
SERVICES: dict[str, tuple[Callable[[Path], Engine | Store | ObjectStore], str, str]] = {
    "pachyderm": (Engine, "pachyderm.db", "blobs/ab/abcdef"),
    "determined": (lambda folder: Store(folder / "master.sqlite"), "master.sqlite", "checkpoints/1234/state"),
    "kubernetes": (lambda folder: ObjectStore(folder / "objects.sqlite"), "objects.sqlite", "pki/server.crt"),
}


@pytest.mark.parametrize("service", SERVICES)
def test_an_empty_database_beside_state_is_refused(tmp_path: Path, service: str) -> None:
    start, database, other = SERVICES[service]
    start(tmp_path).close()
    (tmp_path / other).parent.mkdir(parents=True)
    (tmp_path / other).write_bytes(b"content")
    start(tmp_path).close()
    (tmp_path / database).write_bytes(b"")
    with pytest.raises(StackError, match="has lost its content") as caught:
        start(tmp_path)
    assert caught.value.where == str(tmp_path / database)
    assert "pdk-nb down --purge" in caught.value.fix
    assert (tmp_path / other).read_bytes() == b"content"


@pytest.mark.parametrize("service", SERVICES)
def test_another_releases_database_says_what_to_do(tmp_path: Path, service: str) -> None:
    start, database, _ = SERVICES[service]
    start(tmp_path).close()
    with sqlite3.connect(tmp_path / database) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] >= 1
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StackError, match="version 99") as caught:
        start(tmp_path)
    assert "pdk-nb down --purge" in caught.value.fix and "reset" not in caught.value.fix


def test_content_that_the_database_does_not_know_is_kept_aside(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    pack = engine.blobs.path("abcdef")
    pack.parent.mkdir(parents=True)
    pack.write_bytes(b"unknown")
    maintenance = Maintenance(engine)
    maintenance.start()
    maintenance.stop()
    assert not pack.exists()
    assert (tmp_path / "quarantine" / "abcdef").read_bytes() == b"unknown"
    engine.close()


@pytest.mark.parametrize("name", ["ca.crt", "server.crt", "server.key"])
def test_a_damaged_certificate_is_named(tmp_path: Path, name: str) -> None:
    ensure_certificates(tmp_path)
    (tmp_path / name).write_text("damaged")
    with pytest.raises(StackError, match="certificate") as caught:
        ensure_certificates(tmp_path)
    assert caught.value.where == str(tmp_path / name)
