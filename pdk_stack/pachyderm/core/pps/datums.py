"""Datums: the units of work that a pipeline's input makes from its commits.

Follows Pachyderm's ``src/server/worker/datum``: one datum per glob match, combined by cross, union, join, and group. A
datum's ID depends on the paths of its files; its hash also depends on their content.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pfs.globs import compile_glob, glob_tree
from pdk_stack.pachyderm.core.pfs.lookup import get_commit
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import Commit, CommitRef
from pdk_stack.pachyderm.core.pps.inputs import Leaf, branch_of
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.store.tree import FoundEntry

CRON_GLOB = "/*"


@dataclass(frozen=True)
class DatumInput:
    """One input of a datum.

    Attributes:
        leaf: The input in the spec.
        commit: The commit to read.
        found: The matching file or directory.
        join_on: The value of its ``join_on``, or empty.
        group_by: The value of its ``group_by``, or empty.
    """

    leaf: Leaf
    commit: Commit
    found: FoundEntry
    join_on: str = ""
    group_by: str = ""

    @property
    def path(self) -> str:
        """The path, without a directory's trailing slash."""
        return self.found.path.rstrip("/") or "/"


@dataclass(frozen=True)
class Datum:
    """A datum.

    Attributes:
        inputs: The inputs.
        id: 64 hexadecimal digits, from names and paths.
        hash: 64 hexadecimal digits, from the id, the contents and the pipeline's salt.
    """

    inputs: tuple[DatumInput, ...]
    id: str
    hash: str


def datum_id(inputs: Iterable[DatumInput]) -> str:
    """Compute a datum's ID (``common.DatumID``)."""
    digest = hashlib.blake2b(digest_size=32)
    for each in inputs:
        branch = branch_of(each.leaf)
        for text in (each.leaf.name, branch.repo.name, branch.name, each.found.path):
            data = text.encode()
            digest.update(data)
            digest.update(len(data).to_bytes(8, "big"))
    return digest.hexdigest()


def datum_hash(inputs: Iterable[DatumInput], identity: str, salt: str) -> str:
    """Compute a datum's hash (``common.HashDatum``)."""
    digest = hashlib.blake2b(identity.encode(), digest_size=32)
    for each in inputs:
        digest.update(each.found.entry.hash)
    digest.update(salt.encode())
    return digest.hexdigest()


def make_datums(connection: sqlite3.Connection, message: pps_pb2.Input, commit_set: str, salt: str = "") -> list[Datum]:
    """Make the datums of an input.

    Args:
        connection: The connection to read from.
        message: The input.
        commit_set: The ID of the commits to read; empty means the branches' heads.
        salt: The pipeline's salt.
    """
    found = []
    seen: set[str] = set()
    for inputs in _combine(connection, message, commit_set):
        identity = datum_id(inputs)
        # A union may produce the same datum twice; process it once.
        if identity in seen:
            continue
        seen.add(identity)
        found.append(Datum(tuple(inputs), identity, datum_hash(inputs, identity, salt)))
    return found


def _combine(connection: sqlite3.Connection, message: pps_pb2.Input, commit_set: str) -> list[list[DatumInput]]:
    if message.HasField("pfs"):
        return _matches(connection, message.pfs, message.pfs.glob, commit_set)
    if message.HasField("cron"):
        return _matches(connection, message.cron, CRON_GLOB, commit_set)
    if message.union:
        return [each for part in message.union for each in _combine(connection, part, commit_set)]
    if message.cross:
        parts = [_combine(connection, part, commit_set) for part in message.cross]
        return [[one for group in combination for one in group] for combination in product(*parts)]
    if message.join:
        return _join([_combine(connection, part, commit_set) for part in message.join])
    if message.group:
        return _group([_combine(connection, part, commit_set) for part in message.group])
    raise Fault("unrecognized input type: ")


def _matches(connection: sqlite3.Connection, leaf: Leaf, pattern: str, commit_set: str) -> list[list[DatumInput]]:
    branch = branch_of(leaf)
    commit = get_commit(connection, CommitRef(branch.repo, id=commit_set or branch.name))
    glob = compile_glob(pattern)
    join_on = leaf.join_on if isinstance(leaf, pps_pb2.PFSInput) else ""
    group_by = leaf.group_by if isinstance(leaf, pps_pb2.PFSInput) else ""
    return [
        [
            DatumInput(
                leaf,
                commit,
                found,
                glob.expand(found.path, join_on) if join_on else "",
                glob.expand(found.path, group_by) if group_by else "",
            )
        ]
        for found in glob_tree(tree_of(connection, commit), pattern)
    ]


def _by_key(parts: list[list[list[DatumInput]]], key: str) -> Iterator[list[list[DatumInput]]]:
    """Yield the inputs of each part that agree in a key, for one value after the other; a part may have none.

    Where a part is itself a combination, each of its inputs counts on its own, as on a cluster.
    """
    found: dict[str, list[list[DatumInput]]] = {}
    for position, part in enumerate(parts):
        for one in (each for inputs in part for each in inputs):
            found.setdefault(getattr(one, key), [[] for _ in parts])[position].append(one)
    for value in sorted(found):
        yield found[value]


def _join(parts: list[list[list[DatumInput]]]) -> list[list[DatumInput]]:
    """Combine inputs, one from each part, that agree in ``join_on`` (``processMergeTask``)."""
    joined = []
    for groups in _by_key(parts, "join_on"):
        present = [group for group in groups if group]
        for combination in product(*present):
            kept = list(combination)
            if len(present) < len(parts):
                # An outer join keeps an input without a partner.
                kept = [each for each in kept if getattr(each.leaf, "outer_join", False)]
            if kept:
                joined.append(kept)
    return joined


def _group(parts: list[list[list[DatumInput]]]) -> list[list[DatumInput]]:
    """Group all inputs that agree in ``group_by``."""
    return [[each for group in groups for each in group] for groups in _by_key(parts, "group_by")]
