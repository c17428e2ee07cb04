"""The variables that user code finds (``UserCodeEnv`` of ``src/server/worker/driver/driver.go`` and the pod's own)."""

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
from pdk_stack.pachyderm.errors import NotFound, existing

# Some clients want any credentials, also where the gateway asks for none.
NO_CREDENTIALS = "default"
SECRETS_POLL_S = 0.5


@dataclass(frozen=True)
class Setting:
    """What all code of a pipeline's version runs in.

    Attributes:
        context: What all workers share.
        pipeline: The pipeline, in the version that runs.
        image: What stands for its image.
        secrets: Variables from secrets.
        s3_endpoint: The gateway of the job's own buckets, or empty.
    """

    context: Context
    pipeline: Pipeline
    image: Image
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    s3_endpoint: str = ""

    def worker_name(self, index: int) -> str:
        """The name that a worker's pod would have."""
        pipeline = self.pipeline
        return f"{pipeline.project}-{pipeline.name}-v{pipeline.version}-{index}"


def secret_environment(context: Context, transform: pps_pb2.Transform) -> dict[str, str]:
    """The variables that a pipeline takes from secrets.

    Raises:
        NotFound: A secret or one of its keys is missing.
    """
    variables: dict[str, str] = {}
    for each in transform.secrets:
        if not each.env_var:
            continue
        found = existing(context.secrets.find(each.name), f"missing Kubernetes secret {each.name}")
        if each.key not in found.data:
            raise NotFound(f"Kubernetes secret {each.name} missing key {each.key}")
        variables[each.env_var] = found.data[each.key].decode(errors="replace")
    return variables


def wait_for_secrets(
    context: Context, transform: pps_pb2.Transform, stop: threading.Event, complain: Callable[[str], None]
) -> dict[str, str] | None:
    """The variables from secrets, once all of them are there.

    Args:
        context: What all workers share.
        transform: Names the secrets.
        stop: Ends the wait.
        complain: Is told what is missing, each time that this changes.

    Returns:
        The variables, or None when the wait was ended.
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
    """What a worker's container holds, whatever datum it processes.

    Args:
        setting: What the code runs in.
        worker: The worker's name.
        worker_port: Where it answers ``NextDatum``; 0 where it does not.
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
            AWS_ACCESS_KEY_ID=token or NO_CREDENTIALS,
            AWS_SECRET_ACCESS_KEY=token or NO_CREDENTIALS,
        )
    return variables


def datum_environment(datum: Datum, job_id: str, root: str) -> dict[str, str]:
    """What the code learns of its datum.

    Args:
        datum: The datum.
        job_id: Id of its job, and of the output commit.
        root: Where the datum's folder appears, ``/pfs`` on a cluster.
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
