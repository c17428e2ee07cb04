"""Pipeline lifecycle: create, update, start, stop, and delete; and creation of jobs for new commits."""

from __future__ import annotations

import json
import sqlite3

from google.protobuf import json_format
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pfs import branches, commits, repos
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import all_subvenance, commit_by_pk, find_branch, find_repo, get_repo
from pdk_stack.pachyderm.core.pfs.types import META_REPO, SPEC_REPO, RepoKey
from pdk_stack.pachyderm.core.pps import jobs
from pdk_stack.pachyderm.core.pps.inputs import branch_of, input_branches, leaves, spec_branch
from pdk_stack.pachyderm.core.pps.pipelines import Pipeline, find_pipeline, pipeline_by_pk
from pdk_stack.pachyderm.core.pps.specs import complete, details_of, validate
from pdk_stack.pachyderm.errors import AlreadyExists, Fault, NotFound
from pdk_stack.pachyderm.store.clock import now_ns


def create(change: Change, request: pps_pb2.CreatePipelineRequest, user_spec: str = "") -> Pipeline:
    """Create a pipeline, or update it if the request says so.

    This creates its output, spec, and meta repos and their branches; the first job follows at the end of the change.

    Args:
        change: The change in progress.
        request: The spec.
        user_spec: The spec as its author wrote it, as JSON.

    Raises:
        AlreadyExists: The pipeline exists and ``update`` isn't set.
        NotFound: An input's repo or the project doesn't exist.
        Fault: The spec breaks a rule.
    """
    connection = change.connection
    spec = complete(request)
    validate(spec)
    project, name = spec.pipeline.project.name, spec.pipeline.name
    if connection.execute("SELECT 1 FROM projects WHERE name = ?", (project,)).fetchone() is None:
        raise NotFound(f'project "{project}" not found')
    old = find_pipeline(connection, project, name)
    if old is not None and not request.update:
        raise AlreadyExists(f'pipeline "{project}/{name}" already exists')
    if old is None and find_repo(connection, RepoKey(project, name)) is not None:
        raise Fault(f'pipeline "{name}" cannot be created because a repo with the same name already exists')
    _prepare_inputs(change, spec, name)
    salt = "" if old is None or request.reprocess else old.details.salt
    if request.reprocess:
        spec.salt = ""
    details = details_of(spec, salt, now_ns())
    if old is None:
        _create_repos(connection, spec)
        cursor = connection.execute(
            "INSERT INTO pipelines (project, name, version, state) VALUES (?, ?, 0, ?)",
            (project, name, int(pps_pb2.PIPELINE_STARTING)),
        )
        pk, version = int(cursor.lastrowid or 0), 1
    else:
        pk, version = old.pk, old.version + 1
        jobs.kill_all(change, pk, "all jobs killed because pipeline was updated")
    spec_commit = _commit_spec(change, project, name)
    connection.execute(
        "INSERT INTO pipeline_versions (pipeline, version, spec_commit, details, user_spec) VALUES (?, ?, ?, ?, ?)",
        (pk, version, spec_commit, details.SerializeToString(), user_spec),
    )
    # An update doesn't start a stopped pipeline.
    stopped = old is not None and old.stopped
    state = pps_pb2.PIPELINE_PAUSED if stopped else pps_pb2.PIPELINE_STARTING
    connection.execute(
        "UPDATE pipelines SET version = ?, state = ?, reason = '' WHERE id = ?", (version, int(state), pk)
    )
    pipeline = pipeline_by_pk(connection, pk)
    if old is not None and old.details.output_branch != details.output_branch:
        for stale in old.fed:
            branches.create_branch(change, stale, provenance=[])
    _connect(change, pipeline)
    return pipeline


def _prepare_inputs(change: Change, spec: pps_pb2.CreatePipelineRequest, name: str) -> None:
    for leaf in leaves(spec.input):
        key = branch_of(leaf)
        if isinstance(leaf, pps_pb2.CronInput):
            if find_repo(change.connection, key.repo) is None:
                description = f"Cron tick repo for pipeline {name}."
                repos.create_repo(change.connection, key.repo, description, False)
            continue
        if key.repo.name == name and key.repo.project == spec.pipeline.project.name:
            raise Fault(f"pipeline {name} cannot take its own output as its input")
        get_repo(change.connection, key.repo)
        if leaf.HasField("trigger"):
            trigger = json_format.MessageToDict(leaf.trigger, preserving_proto_field_name=True)
            branches.create_branch(change, key, trigger=json.dumps(trigger))


def _create_repos(connection: sqlite3.Connection, spec: pps_pb2.CreatePipelineRequest) -> None:
    project, name = spec.pipeline.project.name, spec.pipeline.name
    repos.create_repo(connection, RepoKey(project, name), f"Output repo for pipeline {name}.", False)
    repos.create_repo(connection, RepoKey(project, name, SPEC_REPO), f"Spec repo for pipeline {name}.", True)


def _commit_spec(change: Change, project: str, name: str) -> str:
    commit = commits.start_commit(change, spec_branch(project, name))
    commits.finish(change, commit)
    return commit.id


def _connect(change: Change, pipeline: Pipeline) -> None:
    """Make the output and meta branches follow the inputs; each gets an open commit for the next job.

    The branches of a stopped pipeline follow nothing.
    """
    provenance = []
    if not pipeline.stopped:
        provenance = [*input_branches(pipeline.details.input), spec_branch(pipeline.project, pipeline.name)]
    for key in pipeline.fed:
        if key == pipeline.meta:
            description = f"Meta repo for pipeline {pipeline.name}"
            repos.create_repo(change.connection, key.repo, description, True)
        branches.create_branch(change, key, provenance=provenance)
    if pipeline.is_spout:
        branch = find_branch(change.connection, pipeline.output)
        if branch is not None and branch.head is not None:
            head = commit_by_pk(change.connection, branch.head)
            if head.is_open and head.id == change.set_id:
                commits.finish(change, head, description="close spout commit")


def stop(change: Change, pipeline: Pipeline) -> None:
    """Stop a pipeline: kill its running jobs and create no new ones."""
    if pipeline.stopped:
        return
    jobs.kill_all(change, pipeline.pk, "all jobs killed because pipeline was stopped")
    for key in pipeline.fed:
        branches.create_branch(change, key, provenance=[])
    change.connection.execute(
        "UPDATE pipelines SET stopped = 1, state = ?, reason = '' WHERE id = ?",
        (int(pps_pb2.PIPELINE_PAUSED), pipeline.pk),
    )


def start(change: Change, pipeline: Pipeline) -> None:
    """Start a stopped pipeline; it processes the newest data."""
    if not pipeline.stopped:
        return
    change.connection.execute(
        "UPDATE pipelines SET stopped = 0, state = ?, reason = '' WHERE id = ?",
        (int(pps_pb2.PIPELINE_STARTING), pipeline.pk),
    )
    _connect(change, pipeline_by_pk(change.connection, pipeline.pk))


def delete(change: Change, pipeline: Pipeline, *, force: bool, keep_repo: bool) -> None:
    """Delete a pipeline with its jobs and, unless ``keep_repo`` is set, its repos.

    Raises:
        Fault: Another pipeline reads its output and ``force`` isn't set.
    """
    connection = change.connection
    output = find_branch(connection, pipeline.output)
    if output is not None and not force and not keep_repo:
        own = {RepoKey(pipeline.project, pipeline.name, kind) for kind in ("user", META_REPO, SPEC_REPO)}
        following = [s for s in all_subvenance(connection, output.pk) if s.key.repo not in own]
        if following:
            names = " ".join(str(each.key) for each in following if each.key.repo.type == "user")
            raise Fault(
                f"branch {pipeline.output.name} has [{names}] as subvenance, deleting it would break those branches"
            )
    jobs.kill_all(change, pipeline.pk, "all jobs killed because pipeline was deleted")
    connection.execute("DELETE FROM pipelines WHERE id = ?", (pipeline.pk,))
    keys = [RepoKey(pipeline.project, pipeline.name, kind) for kind in (META_REPO, SPEC_REPO)]
    if keep_repo:
        branches.create_branch(change, pipeline.output, provenance=[])
    else:
        keys.insert(0, RepoKey(pipeline.project, pipeline.name))
    for key in keys:
        repos.delete_repo(connection, key, force=True)
    if not keep_repo:
        for leaf in leaves(pipeline.details.input):
            if isinstance(leaf, pps_pb2.CronInput):
                repos.delete_repo(connection, branch_of(leaf).repo, force=True)


def create_jobs(change: Change) -> None:
    """Create a job for every open commit that this change made on a pipeline's output branch."""
    connection = change.connection
    rows = connection.execute(
        "SELECT commits.pk, repos.project, repos.name, commits.branch FROM commits"
        " JOIN repos ON repos.id = commits.repo"
        " WHERE commits.id = ? AND repos.type = 'user' AND commits.finishing = 0",
        (change.set_id,),
    ).fetchall()
    for row in rows:
        pipeline = find_pipeline(connection, row["project"], row["name"])
        if pipeline is None or pipeline.stopped or pipeline.is_spout or pipeline.output.name != row["branch"]:
            continue
        if not connection.execute("SELECT 1 FROM commit_provenance WHERE commit_pk = ?", (row["pk"],)).fetchone():
            continue
        jobs.create(change, pipeline.pk, pipeline.version, commit_by_pk(connection, row["pk"]))
