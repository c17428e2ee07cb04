"""A full disk: the request is refused with a reason, and the store stays whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.common.errors import StorageFull
from pdk_stack.pachyderm.core.pfs import repos, files
from pdk_stack.pachyderm.core.pfs.check import check
from pdk_stack.pachyderm.core.pfs.lookup import get_commit
from pdk_stack.pachyderm.core.pfs.types import CommitRef, RepoKey

engine = Engine(Path(sys.argv[1]))
repo = RepoKey("default", "data")
with engine.change() as change:
    repos.create_repo(change.connection, repo, "", False)

def put(path, size):
    with engine.upload() as upload:
        upload.add(path, bytes([len(path)]) * size)
        return engine.modify(CommitRef(repo, branch="master"), upload)

put("/first", 1 << 20)
refused = 0
for number in range(1, 40):
    try:
        put("/" + "x" * number, 2 << 20)
    except StorageFull:
        refused += 1
assert refused > 20, refused
# Many small commits until the database itself has no room.
try:
    for number in range(100_000):
        put(f"/small{number}", 1)
    raise SystemExit("the disk never became full")
except StorageFull:
    pass
with engine.read() as connection, engine.blobs.reader(connection) as content:
    assert list(check(connection, engine.blobs)) == []
engine.close()
again = Engine(Path(sys.argv[1]))
with again.read() as connection, again.blobs.reader(connection) as content:
    commit = get_commit(connection, CommitRef(repo, branch="master"))
    found = files.one_file(connection, files.FileRef(commit, "/first"))
    assert b"".join(content.read(found.entry.blobs)) == bytes([6]) * (1 << 20)
    assert list(check(connection, again.blobs)) == []
print("whole")
"""


def test_a_full_disk(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare to make a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    prepare = f'mount -t tmpfs -o size=8m none "{disk}" && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", prepare, "sh"]
    probe = subprocess.run([*command, "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"a small disk cannot be made here: {probe.stderr.strip()}")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run(
        [*command, sys.executable, str(script), str(disk)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.stdout.strip() == "whole", done.stderr[-3000:]
