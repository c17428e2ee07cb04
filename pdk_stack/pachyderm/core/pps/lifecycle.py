"""Pipeline lifecycle: create, update, start, stop, and delete; and creation of jobs for new commits."""

from __future__ import annotations

import json
import sqlite3

from google.protobuf import json_format
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pfs import branches, commits, repos
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import (
    all_subvenance,
    commit_by_pk,
    find_branch,
    find_repo,
    get_commit,
    get_repo,
)
from pdk_stack.pachyderm.core.pfs.repos import repo_branches
from pdk_stack.pachyderm.core.pfs.types import META_REPO, SPEC_REPO, USER_REPO, CommitRef, RepoKey, repo_key
from pdk_stack.pachyderm.core.pps import jobs
from pdk_stack.pachyderm.core.pps.inputs import branch_of, input_branches, leaves, spec_branch
from pdk_stack.pachyderm.core.pps.pipelines import Pipeline, ancestor, find_pipeline, not_found, pipeline_by_pk
from pdk_stack.pachyderm.core.pps.specs import complete, details_of, validate
from pdk_stack.pachyderm.errors import AlreadyExists, Fault, NotFound, wrapped
from pdk_stack.pachyderm.names import parse_ancestry
from pdk_stack.pachyderm.store.clock import now_ns

#: Stands for the user in the reason of a job that ends with its pipeline's change, while authentication is off.
UNKNOWN_USER = "unknown_username"


def create(
    change: Change,
    request: pps_pb2.CreatePipelineRequest,
    user_spec: str = "",
    effective_spec: str = "",
    user: str = UNKNOWN_USER,
) -> Pipeline:
    """Create a pipeline, or update it if the request says so.

    This creates its output, spec, and meta repos and their branches; the first job follows at the end of the change.

    Args:
        change: The change in progress.
        request: The spec.
        user_spec: The spec as its author wrote it, as JSON.
        effective_spec: That spec merged into the defaults, as JSON.
        user: Who updates the pipeline, for the reason of jobs that the update ends.

    Raises:
        AlreadyExists: The pipeline exists and ``update`` isn't set.
        NotFound: An input's repo or the project doesn't exist.
        Fault: The spec breaks a rule.
    """
    connection = change.connection
    spec = complete(request)
    project = spec.pipeline.project.name
    # As on a cluster, the rest of a name with an ancestry suffix selects a version, and only the name counts.
    spec.pipeline.name, steps = parse_ancestry(spec.pipeline.name)
    name = spec.pipeline.name
    old = find_pipeline(connection, project, name)
    if old is not None:
        ancestor(connection, old, steps)
        if not request.update:
            raise AlreadyExists(f'pipeline "{project}/{name}" already exists')
        branches.require_output(connection, old.output)
    validate(spec)
    _prepare_inputs(change, spec)
    salt = "" if old is None or request.reprocess else old.details.salt
    details = details_of(spec, salt, now_ns())
    if old is None:
        _create_repos(connection, spec)
    spec_commit = _commit_spec(change, spec, old is not None)
    if old is None:
        cursor = connection.execute(
            "INSERT INTO pipelines (project, name, version, state) VALUES (?, ?, 0, ?)",
            (project, name, int(pps_pb2.PIPELINE_STARTING)),
        )
        pk, version = int(cursor.lastrowid or 0), 1
    else:
        pk, version = old.pk, old.version + 1
        jobs.kill_all(change, pk, f"all jobs killed because pipeline was updated for user {user}")
    connection.execute(
        "INSERT INTO pipeline_versions (pipeline, version, spec_commit, details, user_spec, effective_spec)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (pk, version, spec_commit, details.SerializeToString(), user_spec, effective_spec),
    )
    # An update doesn't start a stopped pipeline.
    stopped = old is not None and old.stopped
    state = pps_pb2.PIPELINE_PAUSED if stopped else pps_pb2.PIPELINE_STARTING
    connection.execute(
        "UPDATE pipelines SET version = ?, state = ?, reason = '' WHERE id = ?", (version, int(state), pk)
    )
    pipeline = pipeline_by_pk(connection, pk)
    _connect(change, pipeline)
    with wrapped("could not create/update trigger branch"):
        _create_triggers(change, spec)
    return pipeline


def _prepare_inputs(change: Change, spec: pps_pb2.CreatePipelineRequest) -> None:
    """Check that the inputs' repos exist, and create those of cron inputs."""
    for leaf in leaves(spec.input):
        key = branch_of(leaf)
        if isinstance(leaf, pps_pb2.CronInput):
            if find_repo(change.connection, key.repo) is None:
                description = f"Cron tick repo for pipeline {full_name(spec)}."
                repos.create_repo(change.connection, key.repo, description, False)
        else:
            get_repo(change.connection, key.repo)


def _create_triggers(change: Change, spec: pps_pb2.CreatePipelineRequest) -> None:
    for leaf in leaves(spec.input):
        if isinstance(leaf, pps_pb2.PFSInput) and leaf.HasField("trigger"):
            trigger = json_format.MessageToDict(leaf.trigger, preserving_proto_field_name=True)
            branches.create_branch(change, branch_of(leaf), trigger=json.dumps(trigger))


def full_name(spec: pps_pb2.CreatePipelineRequest) -> str:
    """Return the name of a spec's pipeline with its project."""
    return f"{spec.pipeline.project.name}/{spec.pipeline.name}"


def _create_repos(connection: sqlite3.Connection, spec: pps_pb2.CreatePipelineRequest) -> None:
    project, name = spec.pipeline.project.name, spec.pipeline.name
    if find_repo(connection, RepoKey(project, name)) is not None:
        raise Fault(f'pipeline "{name}" cannot be created because a repo with the same name already exists')
    with wrapped(f"error creating output repo for {name}"):
        repos.create_repo(connection, RepoKey(project, name), f"Output repo for pipeline {full_name(spec)}.", False)
    description = f"Spec repo for pipeline {full_name(spec)}."
    with wrapped(f"error creating spec repo for {full_name(spec)}"):
        repos.create_repo(connection, RepoKey(project, name, SPEC_REPO), description, True)


def _commit_spec(change: Change, spec: pps_pb2.CreatePipelineRequest, update: bool) -> str:
    """Commit to the spec repo, to mark the new version; return the commit's ID."""
    if spec.HasField("spec_commit"):
        # A cluster that is restored from an extracted state names the commit that already exists.
        if update:
            raise Fault("Cannot update a pipeline and provide a spec commit at the same time")
        ref = spec.spec_commit
        repo = repo_key(ref.repo.project.name, ref.repo.name, ref.repo.type)
        with wrapped("error inspecting spec commit"):
            return get_commit(change.connection, CommitRef(repo, branch=ref.branch.name, id=ref.id)).id
    commit = commits.start_commit(change, spec_branch(spec.pipeline.project.name, spec.pipeline.name))
    commits.finish(change, commit)
    return commit.id


def _connect(change: Change, pipeline: Pipeline) -> None:
    """Make the output and meta branches follow the inputs; each gets an open commit for the next job.

    The branches of a stopped pipeline follow nothing. A spout's follow only its spec: its input gives it no data.
    """
    provenance = []
    if not pipeline.stopped:
        followed = [] if pipeline.is_spout else input_branches(pipeline.details.input)
        provenance = [*followed, spec_branch(pipeline.project, pipeline.name)]
    for key in pipeline.fed:
        if key == pipeline.meta:
            repos.create_repo(change.connection, key.repo, f"Meta repo for pipeline {pipeline.name}", True)
        label = "meta" if key == pipeline.meta else "output"
        with wrapped(f"could not create/update {label} branch"):
            branches.create_branch(change, key, provenance=provenance)
    if pipeline.is_spout:
        branch = find_branch(change.connection, pipeline.output)
        if branch is not None and branch.head is not None:
            head = commit_by_pk(change.connection, branch.head)
            if head.is_open and head.id == change.set_id:
                commits.finish(change, head, description="close spout commit")


def stop(change: Change, pipeline: Pipeline, user: str = UNKNOWN_USER) -> None:
    """Stop a pipeline: kill its running jobs and create no new ones.

    Args:
        change: The change in progress.
        pipeline: The pipeline.
        user: Who stops it, for the jobs' reason.
    """
    if pipeline.stopped:
        return
    branches.require_output(change.connection, pipeline.output)
    jobs.kill_all(change, pipeline.pk, f"all jobs killed because pipeline was stopped for user {user}")
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
        FailedPrecondition: The output branch is gone.
        Fault: Another pipeline reads its output and ``force`` isn't set.
    """
    connection = change.connection
    branches.require_output(connection, pipeline.output)
    if not force and not keep_repo:
        _refuse_followers(connection, RepoKey(pipeline.project, pipeline.name))
    jobs.kill_all(change, pipeline.pk, "job deleted")
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


def _refuse_followers(connection: sqlite3.Connection, output: RepoKey) -> None:
    """Refuse to delete an output repo with a branch that another repo's branch follows."""
    repo = find_repo(connection, output)
    for branch in repo_branches(connection, repo.pk) if repo else ():
        following = [
            each.key
            for each in all_subvenance(connection, branch.pk)
            if each.key.repo.name != output.name or each.key.repo.project != output.project
        ]
        if following:
            names = " ".join(str(each) for each in following if each.repo.type == USER_REPO)
            raise Fault(
                f"delete branch {branch.key}: could not delete branch {branch.pk}: {branch.key.name} has [{names}] as "
                "subvenance"
            )


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
        _refuse_stray_spec(connection, pipeline)
        if not connection.execute("SELECT 1 FROM commit_provenance WHERE commit_pk = ?", (row["pk"],)).fetchone():
            continue
        jobs.create(change, pipeline.pk, pipeline.version, commit_by_pk(connection, row["pk"]))


def _refuse_stray_spec(connection: sqlite3.Connection, pipeline: Pipeline) -> None:
    """Refuse a commit that a client makes in a spec repo: it is no version of the pipeline.

    Raises:
        NotFound: The newest commit of the spec repo isn't the pipeline's own.
    """
    branch = find_branch(connection, spec_branch(pipeline.project, pipeline.name))
    if branch is None or branch.head is None:
        return
    if commit_by_pk(connection, branch.head).id != pipeline.spec_commit:
        raise NotFound(not_found(str(pipeline)))
