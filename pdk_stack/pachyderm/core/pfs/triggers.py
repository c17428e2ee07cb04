"""Branch triggers: a branch follows another one of its repo on a condition (``src/server/pfs/server/trigger.go``)."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import datetime, timezone
from typing import Any

from pdk_stack.pachyderm.core.cron import parse_cron
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.commits import set_head
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk, find_branch, get_repo
from pdk_stack.pachyderm.core.pfs.repos import repo_branches
from pdk_stack.pachyderm.core.pfs.types import ORIGIN_AUTO, Branch, BranchKey, Commit, RepoKey
from pdk_stack.pachyderm.errors import Fault, NotFound, wrapped
from pdk_stack.pachyderm.names import check_name

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s?([kKmMgGtTpP]?)[iI]?[bB]?")


def parse_size(text: str) -> float:
    """Parse a human-readable size (``10MB``; decimal units, as in docker's ``FromHumanSize``) to bytes.

    Raises:
        Fault: The size is invalid.
    """
    matched = _SIZE.fullmatch(text.strip())
    if matched is None:
        raise Fault(f"invalid trigger size: invalid size: '{text}'")
    return float(matched[1]) * 1000 ** " kmgtp".index(matched[2].lower() or " ")


def validate(connection: sqlite3.Connection, key: BranchKey, trigger: dict[str, Any]) -> None:
    """Validate a branch's trigger by Pachyderm's rules (``validateTrigger``).

    Raises:
        NotFound: The branch's repo doesn't exist.
        Fault: The trigger breaks a rule.
    """
    name = trigger.get("branch", "")
    if not name:
        raise Fault("triggers must specify a branch to trigger on")
    check_name(name)
    if trigger.get("rate_limit_spec"):
        with wrapped("invalid trigger rate limit spec"):
            parse_cron(trigger["rate_limit_spec"])
    if trigger.get("size"):
        parse_size(trigger["size"])
    if int(trigger.get("commits", 0)) < 0:
        raise Fault("can't trigger on a negative number of commits")
    if trigger.get("cron_spec"):
        with wrapped("invalid trigger cron spec"):
            parse_cron(trigger["cron_spec"])
    known = {each.key.name: each for each in repo_branches(connection, get_repo(connection, key.repo).pk)}
    seen: set[str] = set()
    while name and name not in seen:
        if name == key.name:
            raise Fault("triggers cannot form a loop")
        seen.add(name)
        found = known.get(name)
        name = json.loads(found.trigger).get("branch", "") if found and found.trigger else ""


def check_branch(connection: sqlite3.Connection, repo: RepoKey, trigger: dict[str, Any]) -> None:
    """Refuse a trigger on a branch that doesn't exist.

    Raises:
        NotFound: The trigger's branch doesn't exist.
    """
    key = BranchKey(repo, trigger["branch"])
    if find_branch(connection, key) is None:
        raise NotFound(f"updating branch trigger: branch (id=0, branch={key}) not found")


def followers(connection: sqlite3.Connection, branch: Branch) -> list[Branch]:
    """List the branches whose triggers follow a branch."""
    known = repo_branches(connection, get_repo(connection, branch.key.repo).pk)
    return [each for each in known if each.trigger and json.loads(each.trigger).get("branch") == branch.key.name]


def fire(change: Change, commit: Commit) -> None:
    """Move the branches whose triggers fire for a finished commit."""
    connection = change.connection
    known = {each.key.name: each for each in repo_branches(connection, commit.repo_pk)}
    moved: dict[str, Commit | None] = {commit.branch: commit}

    def visit(branch: Branch) -> Commit | None:
        name = branch.key.name
        if name in moved:
            return moved[name]
        moved[name] = None
        trigger = json.loads(branch.trigger) if branch.trigger else {}
        if not trigger or trigger["branch"] not in known:
            return None
        head = visit(known[trigger["branch"]])
        if head is None or head.pk == branch.head:
            return None
        old = None if branch.head is None else commit_by_pk(connection, branch.head)
        if not _is_due(connection, trigger, old, head):
            return None
        set_head(change, branch.pk, head.pk)
        moved[name] = head
        return head

    for branch in known.values():
        visit(branch)


def with_schedule(connection: sqlite3.Connection) -> list[tuple[Branch, str, int]]:
    """List branches whose trigger has a ``cron_spec``: branch, schedule, and start time of its head (ns)."""
    query = "SELECT id, repo FROM branches WHERE trigger LIKE '%cron_spec%'"
    found = []
    for row in connection.execute(query).fetchall():
        branch = next(each for each in repo_branches(connection, row["repo"]) if each.pk == row["id"])
        spec = json.loads(branch.trigger).get("cron_spec", "")
        if spec:
            head = None if branch.head is None else commit_by_pk(connection, branch.head)
            found.append((branch, spec, head.started if head else 0))
    return found


def fire_scheduled(change: Change, branch: Branch) -> bool:
    """Move a branch to the head of its trigger's branch; return whether it moved."""
    row = change.connection.execute(
        "SELECT source.head AS head FROM branches JOIN branches AS source ON source.repo = branches.repo"
        " WHERE branches.id = ? AND source.name = ?",
        (branch.pk, json.loads(branch.trigger)["branch"]),
    ).fetchone()
    if row is None or row["head"] is None or row["head"] == branch.head:
        return False
    if not commit_by_pk(change.connection, row["head"]).finished:
        return False
    set_head(change, branch.pk, row["head"])
    return True


def _is_due(connection: sqlite3.Connection, trigger: dict[str, Any], old: Commit | None, new: Commit) -> bool:
    conditions = []
    if trigger.get("size"):
        grown = new.size - (old.size if old else 0)
        conditions.append(grown >= parse_size(trigger["size"]))
    if trigger.get("rate_limit_spec"):
        before = datetime.fromtimestamp((old.finishing if old else 0) / 1e9, timezone.utc)
        now = datetime.fromtimestamp(new.finishing / 1e9, timezone.utc)
        conditions.append(parse_cron(trigger["rate_limit_spec"]).after(before) < now)
    if int(trigger.get("commits", 0)):
        wanted = int(trigger["commits"])
        conditions.append(_commits_between(connection, old, new, wanted) == wanted)
    return all(conditions) if trigger.get("all") else any(conditions)


def _commits_between(connection: sqlite3.Connection, old: Commit | None, new: Commit, limit: int) -> int:
    count, current = 0, new
    while count < limit:
        if old is not None and current.pk == old.pk:
            break
        if current.parent is None:
            count += current.origin != ORIGIN_AUTO
            break
        current = commit_by_pk(connection, current.parent)
        count += 1
    return count
