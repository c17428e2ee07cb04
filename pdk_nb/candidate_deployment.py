"""A registered version in a second service, where nobody's requests go, deployed by a pipeline of its own.

The deploy stage deploys any version of the registry: ``model-info.yaml`` is all that it needs. A copy of the deploy
pipeline reads this file from a repo of its own and creates the second service
(:func:`pdk_nb.version_comparison.service_name`). The service in use doesn't change.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pdk_nb import specs
from pdk_nb.platforms import mldm, serving
from pdk_nb.session import Session
from pdk_nb.stages.model_info import FILE_NAME, ModelInfo
from pdk_nb.version_comparison import service_name

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion

__all__ = ["deploy", "session_of"]


def session_of(session: Session) -> Session:
    """A session whose service is the second one, for the same questions.

    Args:
        session: The session.
    """
    return Session(session.settings, replace(session.names, service=service_name(session)))


def deploy(
    session: Session, version: ModelVersion, timeout: float, progress: Callable[[str], None] = lambda text: None
) -> str:
    """Deploy a version to the second service, and wait until it answers.

    Args:
        session: The session.
        version: A version that the lab registered, with its origin in its metadata.
        timeout: Seconds to wait for the job, and then for the service.
        progress: Called with each new state, one line.

    Returns:
        The service's URL.

    Raises:
        TrainingError: The deploy job failed.
        DeploymentError: The service doesn't become ready.
    """
    names, client, name = session.names, session.pachyderm, service_name(session)
    mldm.ensure_repo(client, names.project, names.search_repo, "Versions to try in a second service")
    mldm.ensure_pipeline(client, specs.candidate_spec(session.settings, names, name))
    with tempfile.TemporaryDirectory() as folder:
        info = _info(session, version).save(Path(folder))
        id = mldm.commit_file(client, names.project, names.search_repo, FILE_NAME, info.read_bytes())
    mldm.wait_job(
        client,
        names.project,
        names.search_pipeline,
        id,
        timeout=timeout,
        progress=lambda job: progress(f"the job is {job.state.lower()}" if job else "waiting for the job"),
    )
    ready = serving.wait_ready(session.settings, name, timeout, version=str(version.name), progress=progress)
    return ready.url


def _info(session: Session, version: ModelVersion) -> ModelInfo:
    """What the deploy stage needs to know about a version."""
    known, names = version.metadata or {}, session.names
    return ModelInfo(
        name=names.model,
        version=str(version.name),
        pipeline=names.search_pipeline,
        repo=str(known.get("repo") or names.data_repo),
        number=int(version.model_version or 0),
        project=str(known.get("project") or names.project),
        experiment=int(known.get("experiment") or 0),
        trial=int(known.get("trial") or 0),
        classes=tuple(map(str, known.get("classes") or ())),
        # A datum that didn't change isn't processed again; this one must be, if the service was removed.
        extra={"requested": datetime.now(timezone.utc).isoformat(timespec="seconds")},
    )
