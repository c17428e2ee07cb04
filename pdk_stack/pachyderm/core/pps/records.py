"""Records of a job's datums: the datums, their results, and the meta repo's files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace

from google.protobuf import json_format
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.lookup import ancestors, commit_by_pk
from pdk_stack.pachyderm.core.pps.datums import Datum
from pdk_stack.pachyderm.core.pps.jobs import Job, Stats, job_by_pk
from pdk_stack.pachyderm.core.pps.worker import DatumResult
from pdk_stack.pachyderm.names import clean_path
from pdk_stack.pachyderm.store.tree_edits import Add, Copy, TreeEdit

INHERITED = (int(pps_pb2.SUCCESS), int(pps_pb2.SKIPPED))
_COUNTER = {int(pps_pb2.SUCCESS): "processed", int(pps_pb2.RECOVERED): "recovered"}


def base_hashes(connection: sqlite3.Connection, job: Job) -> dict[str, str] | None:
    """Map datum ID to hash for the output that the new commit starts with; None if unknown."""
    if job.output is None:
        return None
    output = commit_by_pk(connection, job.output)
    for commit in ancestors(connection, output)[1:]:
        if commit.error or not commit.finished:
            continue
        row = connection.execute(
            "SELECT pk FROM jobs WHERE output = ? AND state = ?",
            (commit.pk, int(pps_pb2.JOB_SUCCESS)),
        ).fetchone()
        if row is None:
            return None
        rows = connection.execute(
            "SELECT id, hash FROM datums WHERE job = ? AND state IN (?, ?)", (row["pk"], *INHERITED)
        )
        return {each["id"]: each["hash"] for each in rows}
    return {}


def write_datums(connection: sqlite3.Connection, job: Job, datums: Iterable[Datum], kept: set[str]) -> None:
    """Record a job's datums before processing.

    Args:
        connection: The change's connection.
        job: The job.
        datums: All its datums.
        kept: IDs of the datums to skip.
    """
    connection.execute("DELETE FROM datums WHERE job = ?", (job.pk,))
    connection.executemany(
        "INSERT INTO datums (job, position, id, hash, state, inputs) VALUES (?, ?, ?, ?, ?, ?)",
        (
            (
                job.pk,
                position,
                datum.id,
                datum.hash,
                int(pps_pb2.SKIPPED if datum.id in kept else pps_pb2.STARTING),
                json.dumps([[each.commit.pk, each.found.path] for each in datum.inputs]),
            )
            for position, datum in enumerate(datums)
        ),
    )
    connection.execute(
        "UPDATE jobs SET total = (SELECT COUNT(*) FROM datums WHERE job = jobs.pk), skipped = ?, stats = ?"
        " WHERE pk = ?",
        (len(kept), Stats().dump(), job.pk),
    )


def record(engine: Engine, job: Job, datum: Datum, result: DatumResult) -> None:
    """Record a datum's result, and count it in its job."""
    counter = _COUNTER.get(result.state, "failed")
    with engine.change() as change:
        connection = change.connection
        connection.execute(
            "UPDATE datums SET state = ?, stats = ? WHERE job = ? AND id = ?",
            (result.state, result.stats.dump(), job.pk, datum.id),
        )
        row = connection.execute("SELECT stats FROM jobs WHERE pk = ?", (job.pk,)).fetchone()
        if row is None:
            return
        connection.execute(
            f"UPDATE jobs SET {counter} = {counter} + 1, stats = ? WHERE pk = ?",
            (((Stats.load(row["stats"]) or Stats()) + result.stats).dump(), job.pk),
        )


def finished_datums(connection: sqlite3.Connection, job: Job, datum: str = "") -> Iterator[tuple[Job, sqlite3.Row]]:
    """Yield a job's datums that are done, by ID, each with the job that processed it.

    For a skipped datum, that is an earlier job.

    Args:
        connection: The connection to read from.
        job: The job.
        datum: Only the datum with this ID; empty means all.
    """
    rows = connection.execute(
        "SELECT * FROM datums WHERE job = ? AND (? = '' OR id = ?) AND state != ? ORDER BY id",
        (job.pk, datum, datum, int(pps_pb2.STARTING)),
    )
    for row in rows.fetchall():
        source = None
        if row["state"] == pps_pb2.SKIPPED:
            source = connection.execute(
                "SELECT datums.* FROM datums JOIN jobs ON jobs.pk = datums.job"
                " WHERE jobs.pipeline = ? AND jobs.pk < ? AND datums.id = ? AND datums.hash = ? AND datums.state = ?"
                " ORDER BY jobs.pk DESC LIMIT 1",
                (job.pipeline_pk, job.pk, row["id"], row["hash"], int(pps_pb2.SUCCESS)),
            ).fetchone()
        if source is None:
            yield job, row
        else:
            yield job_by_pk(connection, source["job"]), source


def pfs_folder(datum: str) -> str:
    """Return the folder of the meta repo that keeps what a datum's code had below ``/pfs``, by the datum's ID."""
    return f"/pfs/{datum}"


def datum_files(datum: Datum, output: Iterable[TreeEdit]) -> Iterator[TreeEdit]:
    """Yield the edits that put a datum's inputs and its output into the meta repo; no content is stored twice.

    Args:
        datum: The datum.
        output: The edits of the output commit that made its output.
    """
    folder = pfs_folder(datum.id)
    for each in datum.inputs:
        # What the code read through the gateway, or saw only the names of, isn't there on a cluster either.
        if each.commit.tree is None or getattr(each.leaf, "s3", False) or getattr(each.leaf, "empty_files", False):
            continue
        target = clean_path(f"{folder}/{each.leaf.name}/{each.path}")
        yield Copy(target, datum.id, False, each.commit.tree, each.path)
    for edit in output:
        if isinstance(edit, Add):
            yield replace(edit, path=clean_path(f"{folder}/out/{edit.path}"))


def meta_file(job: Job, datum: Datum, result: DatumResult) -> tuple[str, bytes]:
    """Build path and content of a datum's file in the meta repo (``Datum.uploadMetaFile``, message ``datum.Meta``)."""
    stats = pps_pb2.ProcessStats(download_bytes=result.stats.download_bytes, upload_bytes=result.stats.upload_bytes)
    for name in ("download", "process", "upload"):
        seconds = getattr(result.stats, f"{name}_s")
        getattr(stats, f"{name}_time").FromNanoseconds(int(seconds * 1e9))
    content = {
        "job": {"pipeline": {"name": job.pipeline, "project": {"name": job.project}}, "id": job.id},
        "inputs": [
            {
                "fileInfo": {
                    "file": {
                        "commit": {
                            "repo": {
                                "name": each.commit.repo.name,
                                "type": each.commit.repo.type,
                                "project": {"name": each.commit.repo.project},
                            },
                            "id": each.commit.id,
                        },
                        "path": each.found.path,
                    },
                    "fileType": "DIR" if each.found.is_dir else "FILE",
                    "sizeBytes": str(each.found.entry.size),
                },
                "name": each.leaf.name,
                "joinOn": each.join_on,
                "groupBy": each.group_by,
            }
            for each in datum.inputs
        ],
        "hash": datum.hash,
        "stats": json_format.MessageToDict(stats),
        "state": {int(pps_pb2.SUCCESS): "PROCESSED", int(pps_pb2.RECOVERED): "RECOVERED"}.get(result.state, "FAILED"),
        "reason": result.reason,
    }
    return f"/meta/{datum.id}/meta", json.dumps(content).encode()
