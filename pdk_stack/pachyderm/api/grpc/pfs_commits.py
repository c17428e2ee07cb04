"""PFS calls about commits and commit sets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice

from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.transactions import Transactions, transactional
from pdk_stack.pachyderm.core.engine import Engine, reached
from pdk_stack.pachyderm.core.pfs import commit_sets, commits
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import (
    IN_REPO,
    ancestors,
    commit_by_pk,
    find_repo,
    get_commit,
    missing_repo,
)
from pdk_stack.pachyderm.core.pfs.trees import base_commit, size_upper_bound, tree_of
from pdk_stack.pachyderm.core.pfs.types import (
    FILESETS_REPO,
    STATE_FINISHED,
    STATE_STARTED,
    Commit,
    CommitRef,
    select_commits,
)
from pdk_stack.pachyderm.errors import Fault, NotFound, Unavailable, wrapped


class CommitCalls:
    """Calls about commits and commit sets."""

    engine: Engine
    transactions: Transactions

    @transactional("start_commit", lambda request: pfs_convert.read_repo(request.branch.repo))
    def StartCommit(self, change: Change, request: pfs_pb2.StartCommitRequest) -> pfs_pb2.Commit:
        parent = pfs_convert.optional_commit(request, "parent")
        key = pfs_convert.read_branch(request.branch)
        return pfs_convert.commit(commits.start_commit(change, key, parent, request.description))

    @transactional("finish_commit", lambda request: pfs_convert.repo_of_commit(request.commit))
    def FinishCommit(self, change: Change, request: pfs_pb2.FinishCommitRequest) -> None:
        with wrapped("check new file commit"):
            ref = pfs_convert.given_commit(request)
        commit = get_commit(change.connection, ref)
        row = change.connection.execute(
            "SELECT 1 FROM pipelines WHERE project = ? AND name = ?", (commit.repo.project, commit.repo.name)
        ).fetchone()
        provenance = change.connection.execute(
            "SELECT 1 FROM commit_provenance WHERE commit_pk = ?", (commit.pk,)
        ).fetchone()
        commits.finish_by_client(
            change,
            ref,
            description=request.description,
            error=request.error,
            force=request.force,
            is_output=bool(row and provenance),
        )

    def InspectCommit(self, request: pfs_pb2.InspectCommitRequest, call: Call) -> pfs_pb2.CommitInfo:
        ref = pfs_convert.given_commit(request)
        if ref.repo.name == FILESETS_REPO:
            return pfs_convert.virtual_commit(request.commit)
        if request.wait > STATE_STARTED:
            found = self.engine.wait_commit(ref, request.wait, call.active)
        with self.engine.read() as connection:
            if request.wait <= STATE_STARTED:
                found = get_commit(connection, ref)
            return pfs_convert.commit_info(connection, commit_by_pk(connection, found.pk))

    def ListCommit(self, request: pfs_pb2.ListCommitRequest, call: Call) -> Iterator[pfs_pb2.CommitInfo]:
        upto = pfs_convert.optional_commit(request, "to")
        after = pfs_convert.optional_commit(request, "from")
        repo = pfs_convert.given_repo(request)
        with self.engine.read() as connection:
            found = commits.list_commits(
                connection,
                repo,
                upto=upto,
                after=after,
                reverse=request.reverse,
                everything=request.all,
                origin=request.origin_kind,
            )
            if request.HasField("started_time") and upto is None:
                bound = request.started_time.ToNanoseconds()
                found = (each for each in found if (each.started > bound if request.reverse else each.started < bound))
            for each in islice(found, request.number if request.number > 0 else None):
                yield pfs_convert.commit_info(connection, each, size_upper_bound(connection, each))

    def InspectCommitSet(self, request: pfs_pb2.InspectCommitSetRequest, call: Call) -> Iterator[pfs_pb2.CommitInfo]:
        if not request.HasField("commit_set"):
            raise Fault("commitset cannot be nil")
        set_id = request.commit_set.id
        sent: set[int] = set()
        while True:
            with self.engine.read() as connection:
                members = commit_sets.set_with_aliases(connection, set_id)
                for each in members:
                    if each.pk not in sent and (each.finished or not request.wait):
                        sent.add(each.pk)
                        yield pfs_convert.commit_info(connection, each)
            waiting = next((each for each in members if each.pk not in sent), None)
            if waiting is None:
                return
            self.engine.wait_commit(CommitRef(waiting.repo, id=waiting.id), STATE_FINISHED, call.active)

    def ListCommitSet(self, request: pfs_pb2.ListCommitSetRequest, call: Call) -> Iterator[pfs_pb2.CommitSetInfo]:
        with self.engine.read() as connection:
            project = request.project.name if request.HasField("project") else None
            for set_id in commit_sets.list_sets(connection, project):
                members = commit_sets.set_with_aliases(connection, set_id)
                yield pfs_pb2.CommitSetInfo(
                    commit_set=pfs_pb2.CommitSet(id=set_id),
                    commits=[pfs_convert.commit_info(connection, each) for each in members],
                )

    @transactional("squash_commit_set")
    def SquashCommitSet(self, change: Change, request: pfs_pb2.SquashCommitSetRequest) -> None:
        if not request.HasField("commit_set"):
            raise Fault("commitset cannot be nil")
        commit_sets.remove_set(change, request.commit_set.id, drop=False)

    def DropCommitSet(self, request: pfs_pb2.DropCommitSetRequest, call: Call) -> None:
        with self.engine.change() as change:
            commit_sets.remove_set(change, request.commit_set.id, drop=True)

    def ClearCommit(self, request: pfs_pb2.ClearCommitRequest, call: Call) -> None:
        ref = pfs_convert.given_commit(request)
        call.may_write(ref.repo)
        with self.engine.change() as change:
            found = get_commit(change.connection, ref)
            if not found.is_open:
                raise Fault("cannot clear finished commit")
            # The server looks for the data under the ID of the request, so a commit named by its branch keeps its own.
            if ref.id == found.id:
                change.connection.execute("DELETE FROM staged WHERE commit_pk = ?", (found.pk,))

    def FindCommits(self, request: pfs_pb2.FindCommitsRequest, call: Call) -> Iterator[pfs_pb2.FindCommitsResponse]:
        ref = pfs_convert.given_commit(request, "start")
        found = searched = 0
        with self.engine.read() as connection:
            for commit in ancestors(connection, get_commit(connection, ref)):
                if not commit.finished:
                    raise Unavailable(f"commit {ref if not searched else commit} not finished")
                if _changes(connection, commit, request.file_path):
                    found += 1
                    yield pfs_pb2.FindCommitsResponse(
                        found_commit=pfs_convert.commit(commit), commits_searched=searched
                    )
                searched += 1
                if request.limit and found == request.limit:
                    break
            yield pfs_pb2.FindCommitsResponse(
                last_searched_commit=pfs_convert.commit(commit), commits_searched=searched
            )

    def SubscribeCommit(self, request: pfs_pb2.SubscribeCommitRequest, call: Call) -> Iterator[pfs_pb2.CommitInfo]:
        after = pfs_convert.optional_commit(request, "from")
        repo = pfs_convert.given_repo(request)
        if after is not None and after.repo != repo:
            raise Fault(f"the `from` commit needs to be from repo {repo}")
        with self.engine.read() as connection:
            if find_repo(connection, repo) is None:
                raise NotFound(f"get repo ID: {missing_repo(connection, repo)}")
        # As on a cluster, the subscription leaves out this commit only, not the commits before it.
        left_out = after.id if after else ""
        last = 0

        def following() -> Commit | None:
            origin = 0 if request.all else request.origin_kind
            rest = (
                f"WHERE {IN_REPO} AND commits.pk > ? AND ? IN ('', commits.branch) AND ? IN (0, commits.origin)"
                " AND commits.id != ? ORDER BY commits.pk LIMIT 1"
            )

            def probe(connection: sqlite3.Connection) -> Commit | None:
                values = (*repo.parts, last, request.branch, origin, left_out)
                found = next(select_commits(connection, rest, *values), None)
                state = request.state or STATE_STARTED
                return found if found is not None and reached(connection, found, state) else None

            return self.engine.wait_for(probe, call.active)

        while (found := following()) is not None:
            last = found.pk
            with self.engine.read() as connection:
                info = pfs_convert.commit_info(connection, found)
            yield info


def _changes(connection: sqlite3.Connection, commit: Commit, path: str) -> bool:
    """Whether a commit changed the file with exactly this path."""
    if not path.startswith("/") or path.endswith("/"):
        return False
    base = base_commit(connection, commit)
    before = tree_of(connection, base).find(path) if base else None
    here = tree_of(connection, commit).find(path)
    hashes = [found.entry.hash if found and not found.is_dir else None for found in (here, before)]
    return hashes[0] != hashes[1]
