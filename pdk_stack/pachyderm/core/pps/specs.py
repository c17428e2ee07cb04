"""Pipeline specs: defaults, and validation with Pachyderm's error messages.

Follows ``validatePipelineRequest``, ``setPipelineDefaults`` and ``validatePipeline`` of
``src/server/pps/server/api_server.go``, and ``staticallyValidate`` of ``defaults.go`` there.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter

from google.protobuf.message import Message
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.cron import parse_cron
from pdk_stack.pachyderm.core.pps.inputs import has_s3, leaves, visit
from pdk_stack.pachyderm.errors import Fault, Unimplemented, wrapped
from pdk_stack.pachyderm.names import DEFAULT_PROJECT, check_name, clean_path, go_quoted

MAX_NAME = 51
MAX_CONTROLLER_NAME = 63
DEFAULT_IMAGE = "ubuntu:20.04"
DEFAULT_TRIES = 3
# The Kubernetes service types that Pachyderm allows.
SERVICE_TYPES = ("ClusterIP", "LoadBalancer", "NodePort")
REPROCESS_UNTIL_SUCCESS, REPROCESS_EVERY_JOB = "until_success", "every_job"
_NO_OPERATOR = "cannot omit key/value comparison operator; specify EQUAL or EXISTS"


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
    if spec.HasField("input"):
        _complete_input(spec)
    return spec


def _complete_input(spec: pps_pb2.CreatePipelineRequest) -> None:
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


def validate_merged(spec: pps_pb2.CreatePipelineRequest) -> None:
    """Validate a spec right after the defaults were merged into it (``staticallyValidate``).

    Raises:
        Fault: The spec breaks a rule.
    """
    if spec.HasField("tf_job"):
        raise Fault("embedding TFJobs in pipelines is not supported yet")
    if spec.reprocess_spec not in ("", REPROCESS_UNTIL_SUCCESS, REPROCESS_EVERY_JOB):
        raise Fault(
            f'invalid pipeline spec: ReprocessSpec must be one of "{REPROCESS_UNTIL_SUCCESS}" or '
            f'"{REPROCESS_EVERY_JOB}"'
        )
    number = len(spec.tolerations)
    wrong = [position for position, each in enumerate(spec.tolerations, 1) if each.operator == pps_pb2.EMPTY]
    if wrong:
        raise Fault("\n".join(f"toleration {position}/{number}: {_NO_OPERATOR}" for position in wrong))
    for label, text in (("PodSpec", spec.pod_spec), ("PodPatch", spec.pod_patch)):
        if text and not _is_json(text):
            raise Fault(f"malformed {label}")
    if spec.service.type not in ("", *SERVICE_TYPES):
        raise Fault(f"the following service type {spec.service.type} is not allowed")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def validate(spec: pps_pb2.CreatePipelineRequest) -> None:
    """Validate a spec, with defaults filled in, by Pachyderm's rules.

    Raises:
        Fault: The spec breaks a rule.
        Unimplemented: It needs something that the embedded Pachyderm doesn't have.
    """
    _validate_name(spec.pipeline.project.name, spec.pipeline.name)
    if spec.s3_out and (spec.HasField("service") or spec.HasField("spout")):
        raise Fault("s3 output is not supported in spouts or services")
    if not spec.HasField("transform"):
        raise Fault("pipeline must specify a transform")
    if spec.autoscaling and spec.HasField("spout"):
        raise Fault("autoscaling can't be used with spouts (spouts aren't triggered externally)")
    if not spec.pipeline.name[0].isalnum():
        raise Fault("pipeline names must start with an alphanumeric character")
    if spec.HasField("input"):
        _validate_names(set(), spec.input)
        for each in visit(spec.input):
            _validate_input(each)
    if spec.HasField("egress"):
        _validate_egress(spec.egress)
    if spec.HasField("service") and spec.HasField("parallelism_spec") and spec.parallelism_spec.constant != 1:
        raise Fault("services can only be run with a constant parallelism of 1")
    if spec.HasField("spout") and not spec.spout.HasField("service") and spec.HasField("input"):
        raise Fault("spout pipelines (without a service) must not have an input")


def _validate_name(project: str, name: str) -> None:
    with wrapped("invalid pipeline name"):
        check_name(name)
    if len(name) > MAX_NAME:
        raise Fault(
            f"pipeline name {go_quoted(name)} is {len(name) - MAX_NAME} characters longer than the {MAX_NAME} max"
        )
    controller = f"{project}-{name}-v99".replace("_", "-").lower()
    if len(controller) > MAX_CONTROLLER_NAME:
        raise Fault(
            f"Kubernetes name {go_quoted(controller)} is {len(controller) - MAX_CONTROLLER_NAME} characters longer "
            f"than the {MAX_CONTROLLER_NAME} max"
        )


def _validate_egress(egress: pps_pb2.Egress) -> None:
    """Validate an egress; what an object store's URL means shows only when a job sends files there."""
    if not egress.HasField("sql_database"):
        return
    target = egress.sql_database
    if not target.HasField("secret"):
        raise Fault("egress.sql_database.secret is required")
    if not target.secret.name or not target.secret.key:
        raise Fault("egress.sql_database.secret.name and egress.sql_database.secret.key are required")
    raise Unimplemented("egress to SQL databases is not implemented by the embedded Pachyderm; send files to s3://")


def _validate_names(names: set[str], message: pps_pb2.Input) -> None:
    """Check that inputs' names differ where one datum can hold both inputs; add them to ``names``."""
    if message.HasField("pfs") or message.HasField("cron"):
        _add_name(names, message.pfs.name if message.HasField("pfs") else message.cron.name)
    elif message.union:
        # A datum holds only one part of a union, so its parts may share names.
        within = [set(names) for _ in message.union]
        for found, each in zip(within, message.union, strict=True):
            _validate_names(found, each)
        names.update(*within)
    else:
        for each in message.cross or message.join or message.group:
            _validate_names(names, each)


def _add_name(names: set[str], name: str) -> None:
    if not name:
        raise Fault("input must specify a name")
    if name in ("out", ".env"):
        raise Fault(f"input cannot be named {name}")
    if name in names:
        raise Fault(f'name "{name}" was used more than once')
    names.add(name)


def _validate_input(message: pps_pb2.Input) -> None:
    if message.HasField("pfs"):
        _validate_pfs(message.pfs)
    kinds = [message.HasField("pfs")]
    for label in ("cross", "join", "group", "union"):
        kinds.append(bool(getattr(message, label)))
        if sum(kinds) > 1:
            raise Fault("multiple input types set")
        if kinds[-1] and label != "cross" and has_s3(message):
            raise Fault(f"S3 inputs in {label} expressions are not supported")
    if message.HasField("cron"):
        if any(kinds):
            raise Fault("multiple input types set")
        with wrapped("error parsing cron-spec"):
            parse_cron(message.cron.spec)
    elif not any(kinds):
        raise Fault("no input set")


def _validate_pfs(leaf: pps_pb2.PFSInput) -> None:
    if not leaf.repo:
        raise Fault("input must specify a repo")
    if not leaf.s3 and not leaf.glob:
        raise Fault("input must specify a glob")
    if leaf.s3 and leaf.glob != "/":
        raise Fault(
            "inputs that set 's3' to 'true' must also set 'glob', to \"/\", as the S3 gateway is only able to expose "
            "data at the commit level"
        )
    for flag in ("lazy", "empty_files"):
        if leaf.s3 and getattr(leaf, flag):
            raise Fault(
                f"input cannot specify both 's3' and '{flag}', as 's3' requires input data to be accessed via "
                "Pachyderm's S3 gateway rather than the file system"
            )
    if leaf.commit:
        raise Fault("input cannot come from a commit; use a branch with head pointing to the commit")


def details_of(
    spec: pps_pb2.CreatePipelineRequest, salt: str = "", created_at: int = 0
) -> pps_pb2.PipelineInfo.Details:
    """Return the stored details of a spec.

    Args:
        spec: The complete spec.
        salt: The salt of the pipeline's previous version, which keeps its datums' hashes; empty takes the spec's own,
            or a random one if the spec has none or asks to reprocess.
        created_at: Creation time of this version, in nanoseconds since the epoch.
    """
    own = "" if spec.reprocess else spec.salt
    details = pps_pb2.PipelineInfo.Details(salt=salt or own or secrets.token_hex(16))
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
