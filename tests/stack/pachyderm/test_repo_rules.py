"""Rules of pachd 2.8.10 about projects, repos, and branches, with its codes and words."""

from __future__ import annotations

from typing import Any

import pytest
from python_pachyderm.proto.v2.pfs import pfs_pb2

from tests.stack.pachyderm.rules import NONE, branch, call, commit, file, refusal, repo
from tests.stack.pachyderm.steps import Client, Name, put


@pytest.mark.parametrize(
    ("name", "fields", "code", "words"),
    [
        ("CreateProject", {}, "UNKNOWN", "invalid project name: nil project"),
        ("DeleteProject", {}, "UNKNOWN", "invalid project name: nil project"),
        (
            "InspectProject",
            {},
            "INVALID_ARGUMENT",
            "validate request: invalid InspectProjectRequest.Project: value is required",
        ),
        ("CreateRepo", {}, "UNKNOWN", "repo cannot be nil"),
        ("InspectRepo", {}, "UNKNOWN", "repo cannot be nil"),
        ("InspectRepo", {"repo": pfs_pb2.Repo(name="a")}, "UNKNOWN", 'repo type "" is none of user, meta, spec'),
        ("DeleteRepo", {}, "INVALID_ARGUMENT", "no repo specified"),
        ("CreateBranch", {}, "UNKNOWN", "branch cannot be nil"),
        ("InspectBranch", {}, "UNKNOWN", "branch cannot be nil"),
        ("InspectBranch", {"branch": pfs_pb2.Branch(name="a")}, "UNKNOWN", "branch repo cannot be nil"),
        (
            "DeleteBranch",
            {},
            "INVALID_ARGUMENT",
            "validate request: invalid DeleteBranchRequest.Branch: value is required",
        ),
        ("StartCommit", {}, "UNKNOWN", "branch must be specified"),
        ("FinishCommit", {}, "UNKNOWN", "check new file commit: commit cannot be nil"),
        ("InspectCommit", {}, "UNKNOWN", "commit cannot be nil"),
        ("InspectCommit", {"commit": pfs_pb2.Commit(id=NONE)}, "UNKNOWN", "commit must have a repo"),
        (
            "InspectCommit",
            {"commit": pfs_pb2.Commit(repo=repo("a"))},
            "UNKNOWN",
            "cannot resolve commit with no ID or branch",
        ),
        ("ListCommit", {}, "UNKNOWN", "repo cannot be nil"),
        ("SubscribeCommit", {}, "UNKNOWN", "repo cannot be nil"),
        ("InspectCommitSet", {}, "UNKNOWN", "commitset cannot be nil"),
        ("SquashCommitSet", {}, "UNKNOWN", "commitset cannot be nil"),
        (
            "DropCommitSet",
            {},
            "INVALID_ARGUMENT",
            "validate request: invalid DropCommitSetRequest.CommitSet: value is required",
        ),
        ("ClearCommit", {}, "UNKNOWN", "commit cannot be nil"),
        (
            "FindCommits",
            {},
            "INVALID_ARGUMENT",
            "validate recv: invalid FindCommitsRequest.Start: value is required",
        ),
        ("GetFile", {}, "UNKNOWN", "file cannot be nil"),
        ("InspectFile", {"file": pfs_pb2.File(path="/a")}, "UNKNOWN", "commit cannot be nil"),
        ("GlobFile", {}, "UNKNOWN", "commit cannot be nil"),
        ("DiffFile", {}, "UNKNOWN", "file cannot be nil"),
        ("DiffFile", {"new_file": pfs_pb2.File(path="/a")}, "UNKNOWN", "check new file commit: commit cannot be nil"),
        ("Egress", {}, "UNKNOWN", "commit cannot be nil"),
        ("GetCache", {"key": "no"}, "UNKNOWN", "sql: no rows in result set"),
    ],
)
def test_what_a_request_lacks(client: Client, name: str, fields: dict[str, Any], code: str, words: str) -> None:
    assert refusal(lambda: call(client, name, **fields)) == (code, words)


def test_words_of_references(client: Client, name: Name) -> None:
    one, other = name("one"), name("other")
    for each in (one, other):
        client.create_repo(each)
    id = put(client, one, a="1")
    gone = f'branch (id=0, branch=default/{one}@no) not found\nbranch "no" not found in repo default/{one}'
    no_repo = "repo (id=0, project=default, name=no, type=user) not found"
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("InspectCommit", {"commit": commit(one, "no")}, "NOT_FOUND", gone),
        (
            "InspectCommit",
            {"commit": commit("no")},
            "NOT_FOUND",
            f"{no_repo}\nbranch (id=0, branch=default/no@master) not found\n"
            'branch "master" not found in repo default/no',
        ),
        (
            "InspectCommit",
            {
                "commit": pfs_pb2.Commit(
                    repo=pfs_pb2.Repo(name="a", type="user", project=pfs_pb2.Project(name="p")), id="x"
                )
            },
            "NOT_FOUND",
            'project "p" not found\nrepo (id=0, project=p, name=a, type=user) not found\n'
            'branch (id=0, branch=p/a@x) not found\nbranch "x" not found in repo p/a',
        ),
        ("InspectCommit", {"commit": commit(other, "", id)}, "NOT_FOUND", f"commit default/{other}@{id} not found"),
        # Only an ID can have an ancestry suffix.
        (
            "InspectCommit",
            {"commit": commit(one, "master^")},
            "NOT_FOUND",
            f'branch (id=0, branch=default/{one}@master^) not found\nbranch "master^" not found in repo default/{one}',
        ),
        (
            "InspectCommit",
            {"commit": commit(one, "", f"{id}^9")},
            "NOT_FOUND",
            f"commit default/{one}@{id}^9 not found",
        ),
        (
            "InspectCommit",
            {"commit": commit(one, "", f"{id}^x")},
            "UNKNOWN",
            f'invalid ancestry syntax "{id}^x", cannot mix ^ and x characters',
        ),
        (
            "InspectCommit",
            {"commit": commit(one, "master", "no")},
            "UNKNOWN",
            f"invalid commit ID given with a branch (default/{one}@master): no\n",
        ),
        ("StartCommit", {"branch": branch("no")}, "NOT_FOUND", "repo default/no not found"),
        (
            "StartCommit",
            {"branch": branch(one), "parent": commit(one, "no")},
            "NOT_FOUND",
            f"parent commit not found: {gone}",
        ),
        ("StartCommit", {"branch": branch(one, NONE)}, "UNKNOWN", "start commit: branch name cannot be a UUID V4"),
        (
            "CreateBranch",
            {"branch": branch(one, "b"), "head": commit(one, "no")},
            "NOT_FOUND",
            f"unable to inspect default/{one}@: {gone}",
        ),
        (
            "CreateBranch",
            {"branch": branch(one, "b"), "head": commit(other)},
            "UNKNOWN",
            "branch and head commit must belong to the same repo",
        ),
        (
            "CreateBranch",
            {"branch": branch(one, "b"), "trigger": pfs_pb2.Trigger(branch="no", commits=1)},
            "NOT_FOUND",
            f"create branch: updating branch trigger: branch (id=0, branch=default/{one}@no) not found",
        ),
        (
            "CreateBranch",
            {"branch": branch(one, "b"), "trigger": pfs_pb2.Trigger(branch="master", cron_spec="daily")},
            "UNKNOWN",
            "invalid trigger cron spec: Expected exactly 5 fields, found 1: daily",
        ),
        (
            "DeleteBranch",
            {"branch": branch(one, "no")},
            "NOT_FOUND",
            f'get branch "default/{one}.user@no": branch (id=0, branch=default/{one}@no) not found',
        ),
        (
            "CreateRepo",
            {"repo": repo("alone", type="spec")},
            "NOT_FOUND",
            "cannot create a system repo without a corresponding 'user' repo: "
            "repo (id=0, project=default, name=alone, type=user) not found",
        ),
        (
            "ListCommit",
            {"repo": repo(other), "to": commit(one)},
            "UNKNOWN",
            f"`from` and `to` commits need to be from repo default/{other}",
        ),
        (
            "ListCommit",
            {"repo": repo(one), "to": commit(one), "reverse": True},
            "UNKNOWN",
            "cannot use 'Reverse' while also using 'From' or 'To'",
        ),
        ("SubscribeCommit", {"repo": repo("no")}, "NOT_FOUND", f"get repo ID: {no_repo}"),
        # The commit is repeated as the request names it: a branch has no ID.
        (
            "InspectFile",
            {"file": file(one, "/no")},
            "NOT_FOUND",
            f"file /no not found in repo default/{one} at commit ",
        ),
    ]
    for call_name, fields, code, words in cases:
        assert refusal(lambda n=call_name, f=fields: call(client, n, **f)) == (code, words)  # type: ignore[misc]
    # Squashing and dropping what isn't there does nothing.
    for call_name in ("SquashCommitSet", "DropCommitSet"):
        call(client, call_name, commit_set=pfs_pb2.CommitSet(id=NONE))
    # A new commit has a new ID each time.
    code, words = refusal(lambda: call(client, "CreateBranch", branch=branch(other, "b"), provenance=[branch("no")]))
    assert code == "NOT_FOUND"
    assert words.startswith(
        f"create empty commit: get commit by commit key: {no_repo}\ncommit (int_id=0, commit_id=default/no.user@"
    )


def test_cycles(client: Client, name: Name) -> None:
    up, down = name("up"), name("down")
    for each in (up, down):
        client.create_repo(each)
    call(client, "CreateBranch", branch=branch(down), provenance=[branch(up), branch(up)])
    assert refusal(lambda: call(client, "CreateBranch", branch=branch(up), provenance=[branch(down)])) == (
        "INTERNAL",
        f"create branch: cycle detected because default/{down}.user@master is already in the subvenance of "
        f"default/{up}.user@master",
    )
    code, words = refusal(lambda: call(client, "DeleteBranch", branch=branch(up)))
    assert code == "UNKNOWN" and f"[default/{down}@master]" in words
    # Given without provenance, a branch loses what it has.
    call(client, "CreateBranch", branch=branch(down), head=commit(down))
    assert not call(client, "InspectBranch", branch=branch(down)).provenance
    call(client, "DeleteBranch", branch=branch(up))


def test_a_branch_that_a_trigger_follows(client: Client, name: Name) -> None:
    data = name("data")
    client.create_repo(data)
    put(client, data, a="1")
    call(client, "CreateBranch", branch=branch(data, "slow"), trigger=pfs_pb2.Trigger(branch="master", commits=2))
    assert refusal(lambda: call(client, "DeleteBranch", branch=branch(data)))[0] == "UNKNOWN"
    call(client, "DeleteBranch", branch=branch(data), force=True)
    assert not call(client, "InspectBranch", branch=branch(data, "slow")).HasField("trigger")


def test_projects_and_the_order_of_lists(client: Client, name: Name) -> None:
    project, names = name("p"), [name(each) for each in "zab"]
    client.create_project(project)
    for each in names:
        client.create_repo(each, project_name=project)
    listed = call(client, "ListRepo", projects=[pfs_pb2.Project(name=project)])
    assert [each.repo.name for each in listed] == names
    assert [each.project.name for each in client.list_project()][-1] == project
    assert call(client, "ListRepo", projects=[pfs_pb2.Project()]) == []
    left = "\n".join(f"repo {project}/{each} still exists" for each in names)
    assert refusal(lambda: client.delete_project(project)) == (
        "FAILED_PRECONDITION",
        f"cannot delete project {project}: {left}",
    )
    # As on a cluster, force doesn't take the repos along.
    code, words = refusal(lambda: client.delete_project(project, force=True))
    assert code == "UNKNOWN" and names[0] in words
    assert len(call(client, "ListRepo", projects=[pfs_pb2.Project(name=project)])) == 3
    long = "p" * 52
    assert refusal(lambda: client.create_project(long))[1] == (
        f'invalid project name: project name "{long}" is 1 characters longer than the 51 max'
    )
    assert refusal(lambda: client.delete_project("no")) == ("NOT_FOUND", 'delete project "no": project "no" not found')
