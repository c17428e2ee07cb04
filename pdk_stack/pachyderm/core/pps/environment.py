"""Environment variables of user code (``UserCodeEnv`` in ``src/server/worker/driver/driver.go``, and the pod's own)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.common.errors import Refusal
from pdk_stack.common.polling import poll
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.datums import Datum
from pdk_stack.pachyderm.core.pps.images import Image, search_path
from pdk_stack.pachyderm.core.pps.pipelines import Pipeline
from pdk_stack.pachyderm.core.pps.process import base_environment
from pdk_stack.pachyderm.errors import Fault

# Some clients require credentials even if the gateway doesn't.
NO_CREDENTIALS = "default"
SECRETS_POLL_S = 0.5


@dataclass(frozen=True)
class Setting:
    """The environment that a pipeline version's code runs in.

    Attributes:
        context: The workers' shared context.
        pipeline: The pipeline, in the version to run.
        image: The local replacement for its image.
        secrets: Environment variables from secrets.
        s3_endpoint: The gateway for the job's own buckets, or empty.
    """

    context: Context
    pipeline: Pipeline
    image: Image
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    s3_endpoint: str = ""

    def worker_name(self, index: int) -> str:
        """Return the name that a worker's pod would have on a cluster."""
        return pod_name(self.pipeline, index)


def pod_name(pipeline: Pipeline, index: int) -> str:
    """Return the name that the pod of a pipeline's worker would have on a cluster."""
    return f"{pipeline.project}-{pipeline.name}-v{pipeline.version}-{index}"


def secret_environment(context: Context, transform: pps_pb2.Transform) -> dict[str, str]:
    """Return the environment variables that a pipeline takes from secrets (``validateSecret``).

    Raises:
        Fault: A secret or one of its keys is missing, or a variable names no key.
    """
    variables: dict[str, str] = {}
    for each in transform.secrets:
        if each.env_var and not each.key:
            raise Fault(f"secret {each.name} has env_var set but is missing key")
        found = context.secrets.find(each.name)
        if found is None:
            raise Fault(f"missing Kubernetes secret {each.name}")
        if not each.env_var:
            continue
        if each.key not in found.data:
            raise Fault(f"Kubernetes secret {each.name} missing key {each.key}")
        variables[each.env_var] = found.data[each.key].decode(errors="replace")
    return variables


def wait_for_secrets(
    context: Context, transform: pps_pb2.Transform, stop: threading.Event, complain: Callable[[str], None]
) -> dict[str, str] | None:
    """Wait until all secrets exist, and return the environment variables from them.

    Args:
        context: The workers' shared context.
        transform: The transform that names the secrets.
        stop: Ends the wait.
        complain: Receives what is missing, each time that it changes.

    Returns:
        The variables, or None if ``stop`` ended the wait.
    """
    told = ""

    def ask() -> tuple[dict[str, str]] | None:
        nonlocal told
        try:
            return (secret_environment(context, transform),)
        except Refusal as error:
            if error.message != told:
                told = error.message
                complain(told)
            return None

    found = poll(ask, None, SECRETS_POLL_S, stop)
    return found[0] if found else None


def worker_environment(setting: Setting, worker: str, worker_port: int = 0) -> dict[str, str]:
    """Build the environment of a worker's container, independent of the datum.

    Args:
        setting: The environment that the code runs in.
        worker: The worker's name.
        worker_port: The port that serves ``NextDatum``; 0 if there is none.
    """
    context, pipeline = setting.context, setting.pipeline
    transform = pipeline.details.transform
    variables = base_environment()
    variables["PATH"] = search_path(setting.image)
    variables.update(context.worker_environment)
    variables.update(transform.env)
    variables.update(setting.secrets)
    variables.update(
        PACH_IN_WORKER="true",
        PACH_NAMESPACE=context.namespace,
        PPS_PIPELINE_NAME=pipeline.name,
        PPS_PROJECT_NAME=pipeline.project,
        PPS_SPEC_COMMIT=pipeline.spec_commit,
        PPS_POD_NAME=worker,
        PPS_WORKER_IP=context.host,
        PPS_WORKER_GRPC_PORT=str(worker_port or 1080),
        PEER_PORT=str(context.grpc_port),
        PACHD_PEER_SERVICE_HOST=context.host,
        PACHD_PEER_SERVICE_PORT=str(context.grpc_port),
        PACHD_SERVICE_HOST=context.host,
        PACHD_SERVICE_PORT=str(context.grpc_port),
    )
    token = context.tokens.of_pipeline(pipeline.pk)
    if token:
        variables["PACH_TOKEN"] = token
    if setting.s3_endpoint:
        variables.update(
            S3_ENDPOINT=setting.s3_endpoint,
            S3GATEWAY_PORT=setting.s3_endpoint.rpartition(":")[2],
            AWS_ACCESS_KEY_ID=token or NO_CREDENTIALS,
            AWS_SECRET_ACCESS_KEY=token or NO_CREDENTIALS,
        )
    return variables


def datum_environment(datum: Datum, job_id: str, root: str) -> dict[str, str]:
    """Build the environment variables that describe a datum.

    Args:
        datum: The datum.
        job_id: The ID of its job and output commit.
        root: The path of the datum's folder; ``/pfs`` on a cluster.
    """
    variables = {"PACH_JOB_ID": job_id, "PACH_OUTPUT_COMMIT_ID": job_id, "PACH_DATUM_ID": datum.id}
    for each in datum.inputs:
        name = each.leaf.name
        variables[name] = f"{root}/{name}{'' if each.path == '/' else each.path}"
        variables[f"{name}_COMMIT"] = each.commit.id
        if each.join_on:
            variables[f"PACH_DATUM_{name}_JOIN_ON"] = each.join_on
        if each.group_by:
            variables[f"PACH_DATUM_{name}_GROUP_BY"] = each.group_by
    return variables
