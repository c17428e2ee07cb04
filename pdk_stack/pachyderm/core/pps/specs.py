"""Pipeline specs: defaults, and validation with Pachyderm's error messages.

Follows ``CreatePipelineInTransaction``, ``setPipelineDefaults`` and ``validatePipelineRequest`` of
``src/server/pps/server/api_server.go``.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter

from google.protobuf.message import Message
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.core.cron import parse_cron
from pdk_stack.pachyderm.core.pfs.globs import compile_glob
from pdk_stack.pachyderm.core.pfs.objectstore import parse_url
from pdk_stack.pachyderm.core.pps.inputs import leaves
from pdk_stack.pachyderm.errors import Fault, Unimplemented
from pdk_stack.pachyderm.names import DEFAULT_PROJECT, check_name, clean_path, is_file_name

MAX_NAME = 51
MAX_POD_NAME = 63
DEFAULT_IMAGE = "ubuntu:20.04"
DEFAULT_TRIES = 3
# The Kubernetes service types that Pachyderm allows.
SERVICE_TYPES = ("ClusterIP", "LoadBalancer", "NodePort")
REPROCESS_UNTIL_SUCCESS, REPROCESS_EVERY_JOB = "until_success", "every_job"


def complete(request: pps_pb2.CreatePipelineRequest) -> pps_pb2.CreatePipelineRequest:
    """Return a copy of a spec with Pachyderm's defaults."""
    spec = pps_pb2.CreatePipelineRequest()
    spec.CopyFrom(request)
    spec.pipeline.project.name = spec.pipeline.project.name or DEFAULT_PROJECT
    if spec.HasField("transform") and not spec.transform.image:
        spec.transform.image = DEFAULT_IMAGE
    spec.output_branch = spec.output_branch or "master"
    spec.datum_tries = spec.datum_tries or DEFAULT_TRIES
    spec.reprocess_spec = spec.reprocess_spec or REPROCESS_UNTIL_SUCCESS
    if spec.HasField("service"):
        spec.service.type = spec.service.type or "NodePort"
    if spec.spout.HasField("service"):
        spec.spout.service.type = spec.spout.service.type or "NodePort"
    project = spec.pipeline.project.name
    sort_inputs(spec.input)
    triggers: Counter[str] = Counter()
    for leaf in leaves(spec.input):
        leaf.project = leaf.project or project
        if isinstance(leaf, pps_pb2.PFSInput):
            if leaf.HasField("trigger") and not leaf.branch:
                triggers[leaf.repo] += 1
                leaf.branch = f"{spec.pipeline.name}-trigger-{triggers[leaf.repo]}"
                leaf.trigger.branch = leaf.trigger.branch or "master"
            leaf.branch = leaf.branch or "master"
            leaf.name = leaf.name or leaf.repo
            leaf.repo_type = leaf.repo_type or "user"
            if leaf.glob:
                leaf.glob = clean_path(leaf.glob)
        else:
            leaf.repo = leaf.repo or f"{spec.pipeline.name}_{leaf.name}"
            if not leaf.HasField("start"):
                leaf.start.GetCurrentTime()
    return spec


def sort_inputs(message: pps_pb2.Input) -> None:
    """Sort combined inputs by name, as the server does: a datum's ID depends on the order (``pps.SortInput``)."""
    for group in (message.join, message.group, message.cross, message.union):
        for each in group:
            sort_inputs(each)
        ordered = sorted(group, key=_input_name)
        del group[:]
        group.extend(ordered)


def _input_name(message: pps_pb2.Input) -> str:
    """Return an input's name; for a combination, that of its first part."""
    for group in (message.cross, message.join, message.group, message.union):
        if group:
            return _input_name(group[0])
    return str(message.pfs.name)


def validate(spec: pps_pb2.CreatePipelineRequest) -> None:
    """Validate a spec, with defaults filled in, by Pachyderm's rules.

    Raises:
        Fault: The spec breaks a rule.
    """
    name, project = spec.pipeline.name, spec.pipeline.project.name
    if not name:
        raise Fault("invalid pipeline spec: request.Pipeline.Name cannot be empty")
    try:
        check_name(name)
    except Refusal as error:
        raise Fault(f"invalid pipeline name: {error.message}") from error
    if not name[0].isalnum():
        raise Fault("pipeline names must start with an alphanumeric character")
    if len(name) > MAX_NAME:
        raise Fault(f"pipeline name is {len(name) - MAX_NAME} characters longer than the {MAX_NAME} max: {name}")
    if len(f"{project}-{name}-v99") > MAX_POD_NAME:
        raise Fault(f"pipeline name {project}/{name} is too long: its pods' names exceed {MAX_POD_NAME}")
    if spec.HasField("tf_job"):
        raise Fault("embedding TFJobs in pipelines is not supported yet")
    if not spec.HasField("transform"):
        raise Fault("pipeline must specify a transform")
    if spec.reprocess_spec not in (REPROCESS_UNTIL_SUCCESS, REPROCESS_EVERY_JOB):
        raise Fault(
            f"invalid pipeline spec: ReprocessSpec must be one of '{REPROCESS_UNTIL_SUCCESS}' or "
            f"'{REPROCESS_EVERY_JOB}'"
        )
    if spec.autoscaling and spec.HasField("spout"):
        raise Fault("autoscaling can't be used with spouts (spouts aren't triggered externally)")
    _validate_kind(spec)
    if spec.HasField("egress"):
        _validate_egress(spec.egress)
    if spec.HasField("determined"):
        raise Unimplemented(
            "the embedded Pachyderm makes no users in Determined; leave the field determined out and take the "
            "credentials from a secret"
        )
    for label, text in (("PodSpec", spec.pod_spec), ("PodPatch", spec.pod_patch)):
        if text:
            try:
                json.loads(text)
            except ValueError as error:
                raise Fault(f"malformed {label}: {error}") from error
    for each in spec.transform.secrets:
        if not each.env_var and not each.mount_path:
            raise Fault(f"secret {each.name} must specify env_var or mount_path")
        if each.env_var and not each.key:
            raise Fault(f"secret {each.name} has env_var set but is missing key")
    if not spec.transform.cmd:
        raise Fault("invalid pipeline spec: transform.cmd must be set; the embedded Pachyderm knows no entry points")
    if spec.HasField("spout") and not spec.spout.HasField("service"):
        if list(leaves(spec.input)):
            raise Fault("spout pipelines (without a service) must not have an input")
        return
    _validate_input(spec.input)


def _validate_kind(spec: pps_pb2.CreatePipelineRequest) -> None:
    """Validate the rules for services and spouts."""
    is_spout, is_service = spec.HasField("spout"), spec.HasField("service")
    if spec.s3_out and (is_spout or is_service):
        raise Fault("s3 output is not supported in spouts or services")
    if is_service and spec.parallelism_spec.constant not in (0, 1):
        raise Fault("services can only be run with a constant parallelism of 1")
    if is_spout and spec.spout.HasField("service") and list(leaves(spec.input)):
        raise Fault("spouts with a service take no input in the embedded Pachyderm; leave the input out")
    for service in (spec.service, spec.spout.service):
        if service.type not in ("", *SERVICE_TYPES):
            raise Fault(f"the following service type {service.type} is not allowed")


def _validate_egress(egress: pps_pb2.Egress) -> None:
    if egress.HasField("sql_database"):
        raise Unimplemented("egress to SQL databases is not implemented by the embedded Pachyderm; send files to s3://")
    parse_url(egress.URL or egress.object_storage.url)


def _validate_input(message: pps_pb2.Input) -> None:
    found = list(leaves(message))
    if not found:
        raise Fault("invalid pipeline input: no input set")
    _validate_shape(message)
    seen: set[str] = set()
    in_union = _names_may_repeat(message)
    for leaf in found:
        if not leaf.name:
            raise Fault("invalid pipeline input: input must specify a name")
        if leaf.name in ("out", ".env"):
            raise Fault(
                f'invalid pipeline input: input cannot be named "{leaf.name}", as pachyderm already '
                f"creates /pfs/{leaf.name} to collect job output"
            )
        if not is_file_name(leaf.name):
            # Pachyderm's server accepts such names: on a cluster, they stay inside the worker's container.
            raise Fault(f'invalid pipeline input: input name "{leaf.name}" must be one file name, without "/"')
        if leaf.name in seen and not in_union:
            raise Fault(f'invalid pipeline input: conflicting input names: "{leaf.name}"')
        seen.add(leaf.name)
        if isinstance(leaf, pps_pb2.CronInput):
            parse_cron(leaf.spec)
            continue
        if not leaf.repo:
            raise Fault("invalid pipeline input: input must specify a repo")
        if leaf.commit:
            raise Fault(
                "invalid pipeline input: input cannot come from a commit; use a branch with head pointing to the commit"
            )
        if not leaf.glob:
            raise Fault("invalid pipeline input: input must specify a glob")
        compile_glob(leaf.glob)
        if leaf.s3:
            _validate_s3(leaf)


def _validate_s3(leaf: pps_pb2.PFSInput) -> None:
    if leaf.glob != "/":
        raise Fault(
            "invalid pipeline input: inputs that set 's3' to 'true' must also set 'glob', to \"/\", as the S3 "
            "gateway is only able to expose data at the commit level"
        )
    for flag in ("lazy", "empty_files"):
        if getattr(leaf, flag):
            raise Fault(
                f"invalid pipeline input: input cannot specify both 's3' and '{flag}', as 's3' requires input data "
                "to be accessed via Pachyderm's S3 gateway rather than the file system"
            )


def _validate_shape(message: pps_pb2.Input) -> None:
    kinds = [message.HasField("pfs"), message.HasField("cron")]
    kinds += [bool(group) for group in (message.join, message.group, message.cross, message.union)]
    if sum(kinds) > 1:
        raise Fault("invalid pipeline input: multiple input types set")
    if not any(kinds):
        raise Fault("invalid pipeline input: no input set")
    for group in (message.join, message.group, message.cross, message.union):
        for each in group:
            _validate_shape(each)
    for label, group in (("join", message.join), ("group", message.group), ("union", message.union)):
        if any(getattr(leaf, "s3", False) for each in group for leaf in leaves(each)):
            raise Fault(f"invalid pipeline input: S3 inputs in {label} expressions are not supported")
    for label, group, field in (("join", message.join, "join_on"), ("group", message.group, "group_by")):
        for each in group:
            for leaf in leaves(each):
                if isinstance(leaf, pps_pb2.PFSInput) and not getattr(leaf, field):
                    raise Fault(f"invalid pipeline input: {label} input must specify a {field}")


def _names_may_repeat(message: pps_pb2.Input) -> bool:
    """Whether inputs may share a name: in a union they may, because each datum holds only one of them."""
    return bool(message.union)


def details_of(
    spec: pps_pb2.CreatePipelineRequest, salt: str = "", created_at: int = 0
) -> pps_pb2.PipelineInfo.Details:
    """Return the stored details of a spec.

    Args:
        spec: The complete spec.
        salt: The salt of the pipeline's previous version, which keeps its datums' hashes; empty makes a random one.
        created_at: Creation time of this version, in nanoseconds since the epoch.
    """
    details = pps_pb2.PipelineInfo.Details(salt=spec.salt or salt or secrets.token_hex(16))
    _copy_shared(spec, details)
    details.created_at.FromNanoseconds(created_at)
    return details


def request_of(project: str, name: str, details: pps_pb2.PipelineInfo.Details) -> pps_pb2.CreatePipelineRequest:
    """Build the spec that would recreate a pipeline.

    Args:
        project: The pipeline's project.
        name: The pipeline's name.
        details: The stored details of its spec.
    """
    spec = pps_pb2.CreatePipelineRequest(salt=details.salt)
    spec.pipeline.name, spec.pipeline.project.name = name, project
    _copy_shared(details, spec)
    return spec


def _copy_shared(source: Message, target: Message) -> None:
    """Copy the fields that both message types have, except the salt, which has its own rules."""
    known = {field.name for field in target.DESCRIPTOR.fields} - {"salt"}
    for field, value in source.ListFields():
        if field.name not in known:
            continue
        if field.label == field.LABEL_REPEATED:
            getattr(target, field.name).extend(value)
        elif field.message_type is not None:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)
