"""Traversal of a pipeline's input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pfs.types import SPEC_REPO, BranchKey, RepoKey, repo_key

Leaf: TypeAlias = pps_pb2.PFSInput | pps_pb2.CronInput


def leaves(message: pps_pb2.Input) -> Iterator[Leaf]:
    """Yield the PFS and cron inputs of an input, in order."""
    if message.HasField("pfs"):
        yield message.pfs
    if message.HasField("cron"):
        yield message.cron
    for group in (message.join, message.group, message.cross, message.union):
        for each in group:
            yield from leaves(each)


def visit(message: pps_pb2.Input) -> Iterator[pps_pb2.Input]:
    """Yield an input and the inputs that it combines, these first (``pps.VisitInput``)."""
    for each in next(filter(None, (message.cross, message.join, message.group, message.union)), ()):
        yield from visit(each)
    yield message


def has_s3(message: pps_pb2.Input) -> bool:
    """Whether an input, or one that it combines, is read through the S3 gateway."""
    return any(each.pfs.s3 for each in visit(message))


def branch_of(leaf: Leaf) -> BranchKey:
    """Return the branch that an input reads."""
    if isinstance(leaf, pps_pb2.CronInput):
        return BranchKey(repo_key(leaf.project, leaf.repo), "master")
    return BranchKey(repo_key(leaf.project, leaf.repo, leaf.repo_type), leaf.branch)


def input_branches(message: pps_pb2.Input) -> list[BranchKey]:
    """Return the distinct branches that an input reads."""
    return list(dict.fromkeys(branch_of(leaf) for leaf in leaves(message)))


def spec_branch(project: str, pipeline: str) -> BranchKey:
    """Return the branch that holds a pipeline's spec."""
    return BranchKey(RepoKey(project, pipeline, SPEC_REPO), "master")
