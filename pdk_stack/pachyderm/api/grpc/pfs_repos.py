"""PFS calls about projects, repos, and branches."""

from __future__ import annotations

import json
from collections.abc import Iterator

from google.protobuf import json_format
from google.protobuf.message import Message
from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.later_messages import MESSAGES
from pdk_stack.pachyderm.api.grpc.transactions import Transactions, transactional
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import branches, repos
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import find_repo, get_repo, resolve_branch
from pdk_stack.pachyderm.core.pfs.types import REPO_TYPES, USER_REPO, RepoKey
from pdk_stack.pachyderm.core.pps import defaults
from pdk_stack.pachyderm.errors import Fault, InvalidArgument, wrapped
from pdk_stack.pachyderm.names import go_quoted


class RepoCalls:
    """Calls about projects, repos, and branches."""

    engine: Engine
    transactions: Transactions

    def CreateProject(self, request: pfs_pb2.CreateProjectRequest, call: Call) -> None:
        name = request.project.name if request.HasField("project") else None
        with self.engine.change() as change:
            repos.create_project(change.connection, name, request.description, request.update)

    def InspectProject(self, request: pfs_pb2.InspectProjectRequest, call: Call) -> pfs_pb2.ProjectInfo:
        with self.engine.read() as connection:
            return pfs_convert.project_info(repos.get_project(connection, request.project.name))

    def ListProject(self, request: pfs_pb2.ListProjectRequest, call: Call) -> Iterator[pfs_pb2.ProjectInfo]:
        with self.engine.read() as connection:
            for found in repos.list_projects(connection):
                yield pfs_convert.project_info(found)

    def DeleteProject(self, request: pfs_pb2.DeleteProjectRequest, call: Call) -> None:
        name = request.project.name if request.HasField("project") else None
        with self.engine.change() as change:
            repos.delete_project(change.connection, name, request.force)
            defaults.forget(change.connection, request.project.name)
            repos.ensure_default_project(change.connection)

    def _refuse_pipeline_repo(self, change: Change, key: RepoKey) -> None:
        """Refuse to delete a pipeline's output repo.

        Raises:
            Fault: A pipeline of that name exists.
        """
        row = change.connection.execute(
            "SELECT 1 FROM pipelines WHERE project = ? AND name = ?", (key.project, key.name)
        ).fetchone()
        if row:
            raise Fault("cannot delete a repo associated with a pipeline - delete the pipeline instead")

    @transactional("create_repo")
    def CreateRepo(self, change: Change, request: pfs_pb2.CreateRepoRequest) -> None:
        key = pfs_convert.given_repo(request)
        # Only here does the type have a default.
        key = key if key.type else RepoKey(key.project, key.name, USER_REPO)
        repos.create_repo(change.connection, key, request.description, request.update)

    def InspectRepo(self, request: pfs_pb2.InspectRepoRequest, call: Call) -> pfs_pb2.RepoInfo:
        key = pfs_convert.given_repo(request)
        with self.engine.read() as connection:
            return pfs_convert.repo_info(connection, get_repo(connection, key))

    def ListRepo(self, request: pfs_pb2.ListRepoRequest, call: Call) -> Iterator[pfs_pb2.RepoInfo]:
        if request.type and request.type not in REPO_TYPES:
            raise Fault(f"list repo: repo type {go_quoted(request.type)} is none of {', '.join(REPO_TYPES)}")
        with self.engine.read() as connection:
            for found in repos.list_repos(connection, request.type, [each.name for each in request.projects]):
                yield pfs_convert.repo_info(connection, found, listed=True)

    def DeleteRepo(self, request: pfs_pb2.DeleteRepoRequest, call: Call) -> Message:
        if not request.HasField("repo"):
            raise InvalidArgument("no repo specified")
        with wrapped("delete repo"):
            deleted = self.transactions.run(call, "delete_repo", request)
        # A call that only joins a transaction can't know.
        return MESSAGES["DeleteRepoResponse"](deleted=deleted or bool(call.transaction))

    def delete_in_change(self, change: Change, request: pfs_pb2.DeleteRepoRequest) -> bool:
        """Delete a repo as part of a transaction; return whether there was one."""
        if not request.HasField("repo"):
            raise Fault("must specify repo")
        key = pfs_convert.read_repo(request.repo)
        if find_repo(change.connection, key) is None:
            return False
        with wrapped(f"error checking whether repo {go_quoted(str(key))} can be deleted"):
            self._refuse_pipeline_repo(change, key)
        return repos.delete_repo(change.connection, key, request.force)

    def DeleteRepos(self, request: pfs_pb2.DeleteReposRequest, call: Call) -> pfs_pb2.DeleteReposResponse:
        deleted = []
        with wrapped("delete repos"), self.engine.change() as change:
            wanted = [] if request.all else [each.name for each in request.projects]
            found = repos.list_repos(change.connection, "", wanted) if wanted or request.all else []
            for each in found:
                self._refuse_pipeline_repo(change, each.key)
            # Those that others depend on last: user repos take their system repos along.
            for each in sorted(found, key=lambda each: each.key.type != USER_REPO):
                repos.delete_repo(change.connection, each.key, request.force)
                deleted.append(pfs_convert.repo(each.key))
        return pfs_pb2.DeleteReposResponse(repos=deleted)

    @transactional("create_branch")
    def CreateBranch(self, change: Change, request: pfs_pb2.CreateBranchRequest) -> None:
        head = pfs_convert.optional_commit(request, "head")
        key = pfs_convert.given_branch(request)
        if head is not None and head.repo.name != key.repo.name:
            raise Fault("branch and head commit must belong to the same repo")
        trigger = None
        if request.HasField("trigger"):
            trigger = json.dumps(json_format.MessageToDict(request.trigger, preserving_proto_field_name=True))
        branches.create_branch(
            change,
            key,
            head=head,
            provenance=[pfs_convert.read_branch(each) for each in request.provenance],
            trigger=trigger,
        )

    def InspectBranch(self, request: pfs_pb2.InspectBranchRequest, call: Call) -> pfs_pb2.BranchInfo:
        key = pfs_convert.given_branch(request)
        with self.engine.read() as connection, wrapped("inspect branch in transaction"):
            return pfs_convert.branch_info(connection, resolve_branch(connection, key))

    def ListBranch(self, request: pfs_pb2.ListBranchRequest, call: Call) -> Iterator[pfs_pb2.BranchInfo]:
        with self.engine.read() as connection:
            key = pfs_convert.read_repo(request.repo)
            if key.name:
                wanted = [get_repo(connection, key)]
            else:
                wanted = repos.list_repos(connection, key.type, [key.project] if request.HasField("repo") else [])
            found = [each for repo in wanted for each in repos.repo_branches(connection, repo.pk)]
            found.sort(key=lambda each: each.pk, reverse=not request.reverse)
            infos = [pfs_convert.branch_info(connection, each) for each in found]
            if not request.HasField("repo"):
                infos.sort(key=lambda each: len(each.provenance), reverse=request.reverse)
            yield from infos

    @transactional("delete_branch")
    def DeleteBranch(self, change: Change, request: pfs_pb2.DeleteBranchRequest) -> None:
        branches.delete_branch(change.connection, pfs_convert.given_branch(request), request.force)
