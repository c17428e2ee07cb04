"""PFS calls about projects, repos, and branches."""

from __future__ import annotations

import json
from collections.abc import Iterator

from google.protobuf import json_format
from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.transactions import Transactions, transactional
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import branches, repos
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import find_repo, get_branch, get_repo
from pdk_stack.pachyderm.core.pps import defaults
from pdk_stack.pachyderm.errors import Fault, NotFound
from pdk_stack.pachyderm.names import DEFAULT_PROJECT


class RepoCalls:
    """Calls about projects, repos, and branches."""

    engine: Engine
    transactions: Transactions

    def CreateProject(self, request: pfs_pb2.CreateProjectRequest, call: Call) -> None:
        with self.engine.change() as change:
            repos.create_project(change.connection, request.project.name, request.description, request.update)

    def InspectProject(self, request: pfs_pb2.InspectProjectRequest, call: Call) -> pfs_pb2.ProjectInfo:
        with self.engine.read() as connection:
            return pfs_convert.project_info(repos.get_project(connection, request.project.name or DEFAULT_PROJECT))

    def ListProject(self, request: pfs_pb2.ListProjectRequest, call: Call) -> Iterator[pfs_pb2.ProjectInfo]:
        with self.engine.read() as connection:
            for found in repos.list_projects(connection):
                yield pfs_convert.project_info(found)

    def DeleteProject(self, request: pfs_pb2.DeleteProjectRequest, call: Call) -> None:
        with self.engine.change() as change:
            name = request.project.name or DEFAULT_PROJECT
            repos.get_project(change.connection, name)
            if request.force:
                self.force_empty(change, name)
            repos.delete_project(change.connection, name)
            defaults.forget(change.connection, name)
            repos.ensure_default_project(change.connection)

    def force_empty(self, change: Change, project: str) -> None:
        """Delete all repos of a project; fail if a pipeline needs one."""
        for found in repos.list_repos(change.connection, "", [project]):
            self.refuse_pipeline_repo(change, found.key.project, found.key.name)
            repos.delete_repo(change.connection, found.key, force=True)

    def refuse_pipeline_repo(self, change: Change, project: str, name: str) -> None:
        """Refuse to delete a pipeline's output repo.

        Raises:
            Fault: A pipeline of that name exists.
        """
        row = change.connection.execute(
            "SELECT 1 FROM pipelines WHERE project = ? AND name = ?", (project, name)
        ).fetchone()
        if row:
            raise Fault("cannot delete a repo associated with a pipeline - delete the pipeline instead")

    @transactional("create_repo")
    def CreateRepo(self, change: Change, request: pfs_pb2.CreateRepoRequest) -> None:
        repos.create_repo(change.connection, pfs_convert.read_repo(request.repo), request.description, request.update)

    def InspectRepo(self, request: pfs_pb2.InspectRepoRequest, call: Call) -> pfs_pb2.RepoInfo:
        with self.engine.read() as connection:
            return pfs_convert.repo_info(connection, get_repo(connection, pfs_convert.read_repo(request.repo)))

    def ListRepo(self, request: pfs_pb2.ListRepoRequest, call: Call) -> Iterator[pfs_pb2.RepoInfo]:
        with self.engine.read() as connection:
            wanted = [each.name or DEFAULT_PROJECT for each in request.projects]
            for found in repos.list_repos(connection, request.type, wanted):
                yield pfs_convert.repo_info(connection, found)

    @transactional("delete_repo")
    def DeleteRepo(self, change: Change, request: pfs_pb2.DeleteRepoRequest) -> None:
        key = pfs_convert.read_repo(request.repo)
        if find_repo(change.connection, key):
            self.refuse_pipeline_repo(change, key.project, key.name)
        repos.delete_repo(change.connection, key, request.force)

    def DeleteRepos(self, request: pfs_pb2.DeleteReposRequest, call: Call) -> pfs_pb2.DeleteReposResponse:
        with self.engine.change() as change:
            wanted = [each.name or DEFAULT_PROJECT for each in request.projects]
            found = repos.list_repos(change.connection, "", wanted) if wanted or request.all else []
            deleted = []
            for each in found:
                if find_repo(change.connection, each.key) is None:
                    continue
                self.refuse_pipeline_repo(change, each.key.project, each.key.name)
                repos.delete_repo(change.connection, each.key, request.force)
                deleted.append(pfs_convert.repo(each.key))
        return pfs_pb2.DeleteReposResponse(repos=deleted)

    @transactional("create_branch")
    def CreateBranch(self, change: Change, request: pfs_pb2.CreateBranchRequest) -> None:
        key = pfs_convert.read_branch(request.branch)
        head = None
        if request.HasField("head") and (request.head.id or request.head.branch.name):
            head = pfs_convert.read_commit(request.head)
            if not head.repo.name:
                head = type(head)(key.repo, head.branch, head.id)
        trigger = None
        if request.HasField("trigger"):
            trigger = json.dumps(json_format.MessageToDict(request.trigger, preserving_proto_field_name=True))
        branches.create_branch(
            change,
            key,
            head=head,
            provenance=[pfs_convert.read_branch(each) for each in request.provenance],
            trigger=trigger,
            new_set=request.new_commit_set,
        )

    def InspectBranch(self, request: pfs_pb2.InspectBranchRequest, call: Call) -> pfs_pb2.BranchInfo:
        with self.engine.read() as connection:
            key = pfs_convert.read_branch(request.branch)
            if not key.name:
                raise NotFound(f'branch "" not found in repo {key.repo}')
            return pfs_convert.branch_info(connection, get_branch(connection, key))

    def ListBranch(self, request: pfs_pb2.ListBranchRequest, call: Call) -> Iterator[pfs_pb2.BranchInfo]:
        with self.engine.read() as connection:
            if request.repo.name:
                wanted = [get_repo(connection, pfs_convert.read_repo(request.repo))]
            else:
                wanted = repos.list_repos(connection, "user", [])
            found = [each for repo in wanted for each in repos.repo_branches(connection, repo.pk)]
            found.sort(key=lambda each: each.pk, reverse=not request.reverse)
            for each in found:
                yield pfs_convert.branch_info(connection, each)

    @transactional("delete_branch")
    def DeleteBranch(self, change: Change, request: pfs_pb2.DeleteBranchRequest) -> None:
        branches.delete_branch(change.connection, pfs_convert.read_branch(request.branch), request.force)
