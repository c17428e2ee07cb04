"""Pachyderm: connection, login, and the lab's project and pipelines."""

from __future__ import annotations

from pdk_nb.doctor.context import Context
from pdk_nb.doctor.finding import Finding, Findings
from pdk_nb.platforms import mldm
from pdk_shared.errors import PdkError

FAILED = ("FAILURE", "CRASHING")


def examine(context: Context) -> Findings:
    """All findings of this group."""
    known = context.settings
    known.require("mldm_host", "mldm_port")
    where = f"{known.mldm_host}:{known.mldm_port}"
    why = "It holds repos, commits, and pipelines."
    try:
        context.reach(known.mldm_host, known.mldm_port)
        version = mldm.version(mldm.open_client(known))
    except PdkError as error:
        found = context.discovery.pachyderm()
        fix = "kubectl get services --all-namespaces | grep pach"
        if found and (found.host, found.port) != (known.mldm_host, known.mldm_port):
            fix = context.set_values(mldm_host=found.host, mldm_port=found.port)
        yield Finding("pachyderm.reach", "broken", error.what, where, why, fix)
        return
    yield Finding("pachyderm.reach", "ok", f"Pachyderm {version} answers.", where)
    try:
        client = context.pachyderm
    except PdkError as error:
        yield Finding(
            "pachyderm.login",
            "broken",
            error.what,
            f"pac_token of {known.mldm_namespace}/{known.mldm_pipeline_secret}",
            "Notebooks and trials use this token. Without authentication, it must be empty.",
            f"pachctl auth get-robot-token pdk-lab --quiet, then: {context.set_secret(pac_token='...')}",
        )
        return
    kind = "with the token" if known.pac_token else "without authentication"
    yield Finding("pachyderm.login", "ok", f"Can list projects {kind}.", where)
    yield from _project(context)
    present = mldm.pipelines(client, context.names.project)
    yield from _pipelines(context, present)
    yield from _limits(context, present)


def _project(context: Context) -> Findings:
    names, client = context.names, context.pachyderm
    if not any(info.project.name == names.project for info in client.list_project()):
        what = f"There is no project {names.project} yet; notebook 01 creates it."
        yield Finding("pachyderm.project", "ok", what)
    elif names.data_repo not in mldm.repos(client, names.project):
        what = f"Project {names.project} has no repo {names.data_repo} yet; notebook 01 creates it."
        yield Finding("pachyderm.project", "ok", what)
    else:
        yield Finding("pachyderm.project", "ok", f"Repo {names.project}/{names.data_repo} exists.")


def _pipelines(context: Context, present: dict[str, mldm.PipelineState]) -> Findings:
    names = context.names
    for pipeline in (names.train_pipeline, names.deploy_pipeline):
        id = f"pachyderm.{'train' if pipeline == names.train_pipeline else 'deploy'}"
        if pipeline not in present:
            yield Finding(id, "ok", f"There is no pipeline {pipeline} yet; notebook 01 creates it.")
            continue
        state, reason = present[pipeline]
        if state in FAILED:
            why = "A commit starts nothing while its pipeline is down."
            fix = f"pachctl inspect pipeline {pipeline} --project {names.project}"
            yield Finding(id, "broken", f"Pipeline {pipeline} is {state.lower()}: {reason}", "", why, fix)
        else:
            yield Finding(id, "ok", f"Pipeline {pipeline} is {state.lower()}.")


def _limits(context: Context, present: dict[str, mldm.PipelineState]) -> Findings:
    """Room for pipelines: each participant has two, and an installation without an activation key 16."""
    room, names = mldm.limit_room(context.pachyderm), context.names
    if room is None:
        yield Finding("pachyderm.limits", "ok", "Pachyderm is activated: pipelines aren't limited.")
        return
    lacking = len({names.train_pipeline, names.deploy_pipeline} - set(present))
    what = f"Without an activation key, Pachyderm allows {mldm.PIPELINE_LIMIT} pipelines; {max(0, room)} more fit."
    if lacking > room:
        why = f"The lab needs {lacking} more; every participant needs two."
        fix = (
            "pdk-nb participants list; pdk-nb participants clean NAME; or activate Pachyderm: pachctl license activate"
        )
        yield Finding("pachyderm.limits", "broken", what, "", why, fix)
    else:
        yield Finding("pachyderm.limits", "ok", what)
