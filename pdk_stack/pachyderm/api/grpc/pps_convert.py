"""Conversion between protocol messages and internal objects, for PPS."""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from typing import Any

from google.protobuf import duration_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.common.service import LOOPBACK
from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.later_messages import MESSAGES
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import SPEC_REPO, RepoKey
from pdk_stack.pachyderm.core.pps import pipelines, records
from pdk_stack.pachyderm.core.pps.datums import Datum
from pdk_stack.pachyderm.core.pps.images import Images
from pdk_stack.pachyderm.core.pps.inputs import leaves
from pdk_stack.pachyderm.core.pps.jobs import Job, Stats, get_job, meta_commit
from pdk_stack.pachyderm.core.pps.pipelines import Pipeline
from pdk_stack.pachyderm.core.pps.running import RunningDatum, RunningDatums
from pdk_stack.pachyderm.errors import Fault, NotFound
from pdk_stack.pachyderm.names import DEFAULT_PROJECT

# Pipeline details that a job's details repeat.
_SHARED = (
    "transform",
    "parallelism_spec",
    "egress",
    "service",
    "spout",
    "resource_requests",
    "resource_limits",
    "sidecar_resource_limits",
    "sidecar_resource_requests",
    "input",
    "salt",
    "datum_set_spec",
    "datum_timeout",
    "job_timeout",
    "datum_tries",
    "scheduling_spec",
    "pod_spec",
    "pod_patch",
)


def pipeline_name(project: str, name: str) -> pps_pb2.Pipeline:
    """Build the message for a pipeline's name."""
    return pps_pb2.Pipeline(name=name, project=pfs_pb2.Project(name=project))


def duration(seconds: float) -> duration_pb2.Duration:
    """Convert seconds to a Duration."""
    found = duration_pb2.Duration()
    found.FromNanoseconds(int(seconds * 1e9))
    return found


def process_stats(stats: Stats | None) -> pps_pb2.ProcessStats:
    """Build a ``ProcessStats`` message; without stats, an empty one."""
    if stats is None:
        return pps_pb2.ProcessStats()
    return pps_pb2.ProcessStats(
        download_time=duration(stats.download_s),
        process_time=duration(stats.process_s),
        upload_time=duration(stats.upload_s),
        download_bytes=stats.download_bytes,
        upload_bytes=stats.upload_bytes,
    )


def read_stats(message: pps_pb2.ProcessStats) -> Stats:
    """Read a ``ProcessStats`` message."""
    download, process, upload = (
        getattr(message, f"{name}_time").ToNanoseconds() / 1e9 for name in ("download", "process", "upload")
    )
    return Stats(download, process, upload, message.download_bytes, message.upload_bytes)


def project_of(message: pps_pb2.Pipeline) -> str:
    """Return the project of a pipeline's name, or the default project."""
    return message.project.name or DEFAULT_PROJECT


def job_of_message(connection: sqlite3.Connection, message: Any, missing: str = "must specify a job") -> Job:
    """Return the job that a message's field ``job`` names.

    Args:
        connection: The connection to read from.
        message: The message.
        missing: What to say where the field isn't set.

    Raises:
        NotFound: The job doesn't exist.
        Fault: The field isn't set.
    """
    if not message.HasField("job"):
        raise Fault(missing)
    job = message.job
    return get_job(connection, project_of(job.pipeline), job.pipeline.name, job.id)


def job_info(connection: sqlite3.Connection, job: Job, details: bool, running: RunningDatums) -> pps_pb2.JobInfo:
    """Build a job's ``JobInfo``."""
    info = pps_pb2.JobInfo(
        job=pps_pb2.Job(pipeline=pipeline_name(job.project, job.pipeline), id=job.id),
        pipeline_version=job.version,
        restart=job.restart,
        data_processed=job.processed,
        data_skipped=job.skipped,
        data_total=job.total,
        data_failed=job.failed,
        data_recovered=job.recovered,
        stats=process_stats(job.stats),
        state=job.state,
        reason=job.reason,
        created=pfs_convert.stamp(job.created),
        started=pfs_convert.stamp(job.started),
        finished=pfs_convert.stamp(job.finished),
        output_commit=pfs_convert.commit_of_pk(connection, job.output),
    )
    if details:
        _fill_details(connection, job, info)
        info.details.worker_status.extend(_worker_status(job, each) for each in running.of_job(job.pk))
    return info


def _worker_status(job: Job, active: RunningDatum) -> pps_pb2.WorkerStatus:
    return pps_pb2.WorkerStatus(
        worker_id=active.worker,
        job_id=job.id,
        datum_status=pps_pb2.DatumStatus(
            started=pfs_convert.stamp(active.started),
            data=[pps_pb2.InputFile(path=each.found.path, hash=each.found.entry.hash) for each in active.datum.inputs],
        ),
    )


def _fill_details(connection: sqlite3.Connection, job: Job, info: pps_pb2.JobInfo) -> None:
    try:
        pipeline = pipelines.pipeline_by_pk(connection, job.pipeline_pk, job.version)
    except NotFound:
        return
    for name in _SHARED:
        field = pipeline.details.DESCRIPTOR.fields_by_name[name]
        value = getattr(pipeline.details, name)
        if field.message_type is None:
            setattr(info.details, name, value)
        elif pipeline.details.HasField(name):
            getattr(info.details, name).CopyFrom(value)
    for leaf in leaves(info.details.input):
        leaf.commit = job.id


def pipeline_info(connection: sqlite3.Connection, pipeline: Pipeline) -> pps_pb2.PipelineInfo:
    """Build a pipeline's ``PipelineInfo`` with the details of its spec."""
    spec_repo = RepoKey(pipeline.project, pipeline.name, SPEC_REPO)
    row = connection.execute(
        "SELECT state FROM jobs WHERE pipeline = ? ORDER BY pk DESC LIMIT 1", (pipeline.pk,)
    ).fetchone()
    info = pps_pb2.PipelineInfo(
        pipeline=pipeline_name(pipeline.project, pipeline.name),
        version=pipeline.version,
        stopped=pipeline.stopped,
        state=pipeline.state,
        reason=pipeline.reason,
        last_job_state=row["state"] if row else 0,
        parallelism=pipeline.details.parallelism_spec.constant or 1,
        type=_type(pipeline.details),
        details=pipeline.details,
        details_json=pipeline.user_spec,
        spec_commit=pfs_pb2.Commit(
            repo=pfs_convert.repo(spec_repo),
            id=pipeline.spec_commit,
            branch=pfs_pb2.Branch(repo=pfs_convert.repo(spec_repo), name="master"),
        ),
    )
    if pipeline.effective_spec:
        # The client library's message lacks this field, so it goes in as an unknown one.
        newer = MESSAGES["PipelineInfo"](effective_spec_json=pipeline.effective_spec)
        info.MergeFromString(newer.SerializeToString())
    return info


def add_workers(pipeline: Pipeline, info: pps_pb2.PipelineInfo) -> None:
    """Add what runs at the moment to a pipeline's ``PipelineInfo``."""
    running = pipeline.state == pps_pb2.PIPELINE_RUNNING
    if running and info.details.HasField("service"):
        info.details.service.ip = LOOPBACK
    info.details.workers_requested = info.parallelism
    info.details.workers_available = info.parallelism if running else 0


def _type(details: pps_pb2.PipelineInfo.Details) -> int:
    kinds = pps_pb2.PipelineInfo
    if details.HasField("spout"):
        return int(kinds.PIPELINE_TYPE_SPOUT)
    return int(kinds.PIPELINE_TYPE_SERVICE if details.HasField("service") else kinds.PIPELINE_TYPE_TRANSFORM)


def datum_info(
    connection: sqlite3.Connection, job: Job, asked: Job, row: sqlite3.Row, images: Images
) -> pps_pb2.DatumInfo:
    """Build the ``DatumInfo`` of a datum.

    Args:
        connection: The connection to read from.
        job: The job that processed it.
        asked: The job that the client asks about, which skipped it if that is another one.
        row: The datum.
        images: The images that can run.
    """
    info = pps_pb2.DatumInfo(
        datum=pps_pb2.Datum(
            job=pps_pb2.Job(pipeline=pipeline_name(job.project, job.pipeline), id=job.id), id=row["id"]
        ),
        state=row["state"] if job == asked else pps_pb2.SKIPPED,
        stats=process_stats(Stats.load(row["stats"])),
    )
    if row["state"] in (pps_pb2.FAILED, pps_pb2.RECOVERED):
        info.stats.ClearField("upload_time")
    with suppress(NotFound):
        pipeline = pipelines.pipeline_by_pk(connection, job.pipeline_pk, job.version)
        info.image_id = images.identity(pipeline.details.transform.image)
    for commit_pk, path in json.loads(row["inputs"]):
        try:
            commit = commit_by_pk(connection, commit_pk)
        except NotFound:
            continue
        found = tree_of(connection, commit).find(path)
        if found is not None:
            info.data.append(pfs_convert.FileInfos(commit)(found))
    return info


def pfs_state(connection: sqlite3.Connection, job: Job, datum: str) -> pfs_pb2.File:
    """Build the name of the folder that keeps what a datum's code had below ``/pfs``.

    Args:
        connection: The connection to read from.
        job: The datum's job.
        datum: The datum's ID.
    """
    found = pfs_pb2.File(path=records.pfs_folder(datum))
    if job.output is not None:
        with suppress(NotFound):
            commit = meta_commit(connection, commit_by_pk(connection, job.output))
            if commit is not None:
                found.commit.CopyFrom(pfs_convert.commit(commit))
    return found


def datum_of_input(datum: Datum) -> pps_pb2.DatumInfo:
    """Build the ``DatumInfo`` of a datum that an input would produce."""
    return pps_pb2.DatumInfo(
        datum=pps_pb2.Datum(id=datum.id),
        state=pps_pb2.UNKNOWN,
        stats=pps_pb2.ProcessStats(),
        data=[pfs_convert.FileInfos(each.commit)(each.found) for each in datum.inputs],
    )
