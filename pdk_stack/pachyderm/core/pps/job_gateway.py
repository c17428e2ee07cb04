"""A job's own S3 gateway, for specs with ``s3`` inputs or ``s3_out`` (``s3g_sidecar.go``).

Buckets are named after the inputs and show the job's commits; ``out`` is the job's output commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pfs.commits import stage
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk
from pdk_stack.pachyderm.core.pfs.types import Bucket
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.inputs import branch_of, leaves
from pdk_stack.pachyderm.core.pps.jobs import Job
from pdk_stack.pachyderm.core.pps.pipelines import Details, Pipeline
from pdk_stack.pachyderm.store.tree_edits import Delete

OUTPUT_BUCKET = "out"


def uses_s3(details: Details) -> bool:
    """Whether a pipeline's jobs need their own gateway."""
    return details.s3_out or any(isinstance(leaf, pps_pb2.PFSInput) and leaf.s3 for leaf in leaves(details.input))


@contextmanager
def job_gateway(context: Context, pipeline: Pipeline, job: Job) -> Iterator[str]:
    """Serve a job's buckets for the duration of the block; yield the URL, or an empty string if it needs no gateway."""
    details = pipeline.details
    if not uses_s3(details):
        yield ""
        return
    buckets = {
        leaf.name: Bucket(leaf.name, branch_of(leaf), job.id, writable=False)
        for leaf in leaves(details.input)
        if isinstance(leaf, pps_pb2.PFSInput) and leaf.s3
    }
    if details.s3_out:
        buckets[OUTPUT_BUCKET] = Bucket(OUTPUT_BUCKET, pipeline.output, job.id, writable=True)
        with context.engine.change() as change:
            # The output starts empty, even if a killed daemon's job already wrote to it.
            change.connection.execute("DELETE FROM staged WHERE commit_pk = ?", (job.output,))
            output = commit_by_pk(change.connection, job.output or 0)
            stage(change, output, [Delete("/", None)])
    tokens = context.tokens
    accepts = (lambda key: tokens.pipeline(key) == pipeline.pk) if tokens.on else None
    with context.serve_buckets(buckets, accepts) as address:
        yield address
