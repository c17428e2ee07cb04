"""The limits of Pachyderm's community edition (``validateEnterpriseChecks``, ``src/server/enterprise/limits``)."""

from __future__ import annotations

import sqlite3

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pps.pipelines import get_pipeline
from pdk_stack.pachyderm.errors import Fault, NotFound

PIPELINES = 16
PARALLELISM = 8
_ADVICE = (
    "Use the command `pachctl license activate` to enter your key.\n\n"
    "Pachyderm offers readily available activation keys for proofs-of-concept, startups, academic, nonprofit, or "
    "open-source projects. Tell us about your project to get one.\n\n"
    "Learn about Pachyderm Enterprise here:\n\n"
    "https://www.pachyderm.com/trial"
)


def check_limits(connection: sqlite3.Connection, spec: pps_pb2.CreatePipelineRequest) -> None:
    """Refuse a new pipeline that needs a license; a pipeline that exists may be updated whatever its number.

    Args:
        connection: The connection to read from.
        spec: The pipeline's spec.

    Raises:
        Fault: There are too many pipelines, or the spec asks for too many workers.
    """
    try:
        get_pipeline(connection, spec.pipeline.project.name, spec.pipeline.name)
    except NotFound:
        pass
    else:
        return
    # The server counts names: pipelines of the same name in two projects count once.
    number = connection.execute("SELECT COUNT(DISTINCT name) AS number FROM pipelines").fetchone()["number"]
    if number >= PIPELINES:
        raise _refused(f"create more than {PIPELINES} total pipelines (you have {number})")
    if spec.parallelism_spec.constant > PARALLELISM:
        raise _refused(f"create pipelines with parallelism more than {PARALLELISM}")


def _refused(action: str) -> Fault:
    return Fault(f"Pachyderm Community Edition requires an activation key to {action}. {_ADVICE}")
