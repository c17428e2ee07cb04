"""From which version training resumes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdk_nb.platforms import mlde

if TYPE_CHECKING:
    from determined.common.experimental.model import Model, ModelVersion

__all__ = ["WarmStart", "find_warm_start"]

log = logging.getLogger("pdk.train")


@dataclass(frozen=True)
class WarmStart:
    """What training resumes from.

    Attributes:
        version: Name of the version.
        checkpoint: Its checkpoint's uuid.
        commit: The commit that it has learned from.
    """

    version: str
    checkpoint: str
    commit: str


def find_warm_start(
    model: Model,
    net: Mapping[str, Any],
    classes: tuple[str, ...],
    *,
    project: str,
    repo: str,
    commit: str,
    job: str,
) -> WarmStart | None:
    """The last version, if training can resume from it; the log says why not.

    Args:
        model: The registry model.
        net: The network's architecture, as the task tells it.
        classes: Class names, in the order of the model's outputs.
        project: The data's Pachyderm project.
        repo: The data's repo.
        commit: The data's commit.
        job: The job; a version that an earlier attempt of it registered does not count. Neither does one that a
            search found.
    """
    # A search trains its trials only as long as it takes to compare them.
    trained = (version for version in mlde.versions(model) if not (version.metadata or {}).get("search"))
    last = next((version for version in trained if version.name != job), None)
    if last is None:
        log.info("the model has no version yet: full training")
        return None
    obstacle = _obstacle(last, net, classes, (project, repo), commit)
    if last.checkpoint is None or obstacle:
        log.info("can't resume from version %s, %s: full training", last.name, obstacle)
        return None
    log.info("resuming from version %s (number %d)", last.name, last.model_version)
    return WarmStart(str(last.name), last.checkpoint.uuid, str((last.metadata or {})["commit"]))


def _obstacle(
    last: ModelVersion, net: Mapping[str, Any], classes: tuple[str, ...], source: tuple[str, str], commit: str
) -> str:
    """Why training cannot resume from a version; empty when it can."""
    lineage = dict(last.metadata or {})
    if last.checkpoint is None or (lineage.get("project"), lineage.get("repo")) != source:
        return "it comes from another repo"
    if lineage.get("net") != net:
        return f"its architecture is different ({lineage.get('net')})"
    if tuple(lineage.get("classes") or ()) != classes:
        return f"its classes are different ({lineage.get('classes')})"
    return "it has learned from this very commit" if lineage.get("commit") == commit else ""
