"""PFS calls about commits and commit sets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.transactions import Transactions, transactional
from pdk_stack.pachyderm.core.engine import Engine, reached
from pdk_stack.pachyderm.core.pfs import commit_sets, commits
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import IN_REPO, ancestors, commit_by_pk, get_commit, get_repo
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import (
    STATE_FINISHED,
    STATE_STARTED,
    Commit,
    CommitRef,
    select_commits,
)
from pdk_stack.pachyderm.errors import Fault


class CommitCalls:
    """Calls about commits and commit sets."""

    engine: Engine
    transactions: Transactions

    @transactional("start_commit", lambda request: pfs_convert.read_repo(request.branch.repo))
    def StartCommit(self, change: Change, request: pfs_pb2.StartCommitRequest) -> pfs_pb2.Commit:
        parent = None
        key = pfs_convert.read_branch(request.branch)
        if request.HasField("parent"):
            parent = pfs_convert.read_commit(request.parent)
            if not parent.repo.name:
                parent = CommitRef(key.repo, parent.branch, parent.id)
        return pfs_convert.commit(commits.start_commit(change, key, parent, request.description))

    @transactional("finish_commit", lambda request: pfs_convert.repo_of_commit(request.commit))
    def FinishCommit(self, change: Change, request: pfs_pb2.FinishCommitRequest) -> None:
        ref = pfs_convert.read_commit(request.commit)
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
        ref = pfs_convert.read_commit(request.commit)
        if request.wait > STATE_STARTED:
            found = self.engine.wait_commit(ref, request.wait, call.active)
        with self.engine.read() as connection:
            if request.wait <= STATE_STARTED:
                found = get_commit(connection, ref)
            return pfs_convert.commit_info(connection, commit_by_pk(connection, found.pk))

    def ListCommit(self, request: pfs_pb2.ListCommitRequest, call: Call) -> Iterator[pfs_pb2.CommitInfo]:
        def given(message: pfs_pb2.Commit, present: bool) -> CommitRef | None:
            if not present or not (message.id or message.branch.name):
                return None
            ref = pfs_convert.read_commit(message)
            key = ref.repo if ref.repo.name else pfs_convert.read_repo(request.repo)
            return CommitRef(key, ref.branch, ref.id)

        with self.engine.read() as connection:
            upto = given(request.to, request.HasField("to"))
            after = given(getattr(request, "from"), request.HasField("from"))
            found = commits.list_commits(
                connection,
                pfs_convert.read_repo(request.repo),
                upto=upto,
                after=after,
                number=request.number,
                reverse=request.reverse,
                everything=request.all,
                origin=request.origin_kind,
            )
            before = request.started_time.ToNanoseconds() if request.HasField("started_time") else 0
            for each in found:
                if not before or each.started < before:
                    yield pfs_convert.commit_info(connection, each)

    def InspectCommitSet(self, request: pfs_pb2.InspectCommitSetRequest, call: Call) -> Iterator[pfs_pb2.CommitInfo]:
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
            for set_id in commit_sets.list_sets(connection, request.project.name):
                members = commit_sets.set_with_aliases(connection, set_id)
                yield pfs_pb2.CommitSetInfo(
                    commit_set=pfs_pb2.CommitSet(id=set_id),
                    commits=[pfs_convert.commit_info(connection, each) for each in members],
                )

    @transactional("squash_commit_set")
    def SquashCommitSet(self, change: Change, request: pfs_pb2.SquashCommitSetRequest) -> None:
        commit_sets.remove_set(change, request.commit_set.id, drop=False)

    def DropCommitSet(self, request: pfs_pb2.DropCommitSetRequest, call: Call) -> None:
        with self.engine.change() as change:
            commit_sets.remove_set(change, request.commit_set.id, drop=True)

    def ClearCommit(self, request: pfs_pb2.ClearCommitRequest, call: Call) -> None:
        call.may_write(pfs_convert.repo_of_commit(request.commit))
        with self.engine.change() as change:
            found = get_commit(change.connection, pfs_convert.read_commit(request.commit))
            if not found.is_open:
                raise Fault(f"commit {found} has already finished")
            change.connection.execute("DELETE FROM staged WHERE commit_pk = ?", (found.pk,))

    def FindCommits(self, request: pfs_pb2.FindCommitsRequest, call: Call) -> Iterator[pfs_pb2.FindCommitsResponse]:
        found = searched = 0
        last = None
        with self.engine.read() as connection:
            for commit in ancestors(connection, get_commit(connection, pfs_convert.read_commit(request.start))):
                if request.limit and found >= request.limit:
                    break
                searched, last = searched + 1, commit
                if not _changes(connection, commit, request.file_path):
                    continue
                found += 1
                yield pfs_pb2.FindCommitsResponse(found_commit=pfs_convert.commit(commit), commits_searched=searched)
            if last is not None:
                yield pfs_pb2.FindCommitsResponse(
                    last_searched_commit=pfs_convert.commit(last), commits_searched=searched
                )

    def SubscribeCommit(self, request: pfs_pb2.SubscribeCommitRequest, call: Call) -> Iterator[pfs_pb2.CommitInfo]:
        repo = pfs_convert.read_repo(request.repo)
        with self.engine.read() as connection:
            get_repo(connection, repo)
            last = 0
            start = getattr(request, "from")
            if request.HasField("from") and (start.id or start.branch.name):
                ref = pfs_convert.read_commit(start)
                last = get_commit(connection, CommitRef(repo, ref.branch, ref.id)).pk

        def following() -> Commit | None:
            origin = 0 if request.all else request.origin_kind
            rest = (
                f"WHERE {IN_REPO} AND commits.pk > ? AND ? IN ('', commits.branch) AND ? IN (0, commits.origin)"
                " ORDER BY commits.pk LIMIT 1"
            )

            def probe(connection: sqlite3.Connection) -> Commit | None:
                found = next(select_commits(connection, rest, *repo.parts, last, request.branch, origin), None)
                state = request.state or STATE_STARTED
                return found if found is not None and reached(connection, found, state) else None

            return self.engine.wait_for(probe, call.active)

        while (found := following()) is not None:
            last = found.pk
            with self.engine.read() as connection:
                info = pfs_convert.commit_info(connection, found)
            yield info


def _changes(connection: sqlite3.Connection, commit: Commit, path: str) -> bool:
    """Whether a commit changed the file or directory at a path."""
    here = tree_of(connection, commit).find(path)
    before = None
    if commit.parent is not None:
        before = tree_of(connection, commit_by_pk(connection, commit.parent)).find(path)
    return (here.entry.hash if here else None) != (before.entry.hash if before else None)
