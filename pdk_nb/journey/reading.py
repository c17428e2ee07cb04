"""Read a journey from the platforms: the only module that queries them, each once for each journey."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pdk_nb.journey.jobs import deploy_try
from pdk_nb.journey.model import Checkpoint, Commit, Experiment, Journey, PipelineRun, Provenance, Service, Version
from pdk_nb.platforms import mlde, mldm, serving
from pdk_nb.platforms.mldm import Job
from pdk_nb.platforms.serving.spec import history
from pdk_shared.errors import DataError, DeploymentError, UsageError

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion

    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.platforms.serving.status import ServiceStatus
    from pdk_nb.session import Session

__all__ = ["latest_commit", "read", "read_service", "resolve", "served_commit", "trace"]

SHORTEST_PREFIX = 6


def latest_commit(session: Session) -> str:
    """Id of the newest commit with files in the data repo.

    Args:
        session: The session.

    Raises:
        DataError: There is none yet.
    """
    names = session.names
    head = mldm.newest(session.pachyderm, names.project, names.data_repo)
    if not head:
        raise DataError(
            "The data repo has no commit yet.",
            where=f"{names.project}/{names.data_repo}",
            fix="Run notebook 02 first: it commits data.",
        )
    return head


def read_service(session: Session, name: str = "") -> ServiceStatus | None:
    """A service's state; None while the service doesn't exist.

    Args:
        session: The session.
        name: The service; the lab's own when empty.
    """
    try:
        return serving.service_status(session.settings, name or session.names.service)
    except DeploymentError:
        return None


def served_commit(session: Session) -> str:
    """The commit whose model is in service; empty while there is none.

    Args:
        session: The session.
    """
    return Service(session.names.service, read_service(session)).answers_with


def read(session: Session, commit: str = "") -> Journey:
    """The journey of a commit up to now.

    Args:
        session: The session.
        commit: The commit's id; the newest one with files when empty. Without any, every station waits.
    """
    names = session.names
    commit = commit or mldm.newest(session.pachyderm, names.project, names.data_repo)
    return _read(session, commit, names.model, names.service, read_service(session))


def trace(session: Session, id: str = "", *, service: str = "", answer: Prediction | None = None) -> Journey:
    """The journey that an id or an answer belongs to, with the commit's files.

    Args:
        session: The session.
        id: An id as for :func:`resolve`; the served model when empty.
        service: The service; the lab's own when empty.
        answer: An answer; its version counts, even if the service has changed since.

    Raises:
        UsageError: The id is not known.
        DeploymentError: There is no id, and no service either.
    """
    service = service or session.names.service
    status = read_service(session, service)
    if answer is not None:
        start = answer.version
    elif id:
        start = resolve(session, id)
    else:
        start = status.version if status else ""
    if not start:
        raise DeploymentError(
            "The answer doesn't name the version that gave it."
            if answer is not None
            else f"There is no service {service} that names its model.",
            where=service,
            fix="Request details (detail=True), or give an id.",
        )
    model = (answer.model if answer else "") or (status.model if status else "") or session.names.model
    return _read(session, start, model, service, status, answer=answer, with_files=True)


def resolve(session: Session, wanted: str) -> str:
    """Find the commit's id for an id of any station.

    Args:
        session: The session.
        wanted: A commit or version id (or at least its first six characters), a checkpoint's UUID, or a registry
            number.

    Raises:
        UsageError: Nothing, or more than one thing, has that id.
    """
    wanted = wanted.strip().lower()
    if re.fullmatch(r"[0-9a-f]{32}", wanted):
        return wanted
    names = session.names
    known = {str(each.name): each for each in _registered(session, names.model)}
    found = {
        name
        for name, each in known.items()
        if wanted == str(each.model_version) or (each.checkpoint is not None and wanted == each.checkpoint.uuid)
    }
    if len(wanted) >= SHORTEST_PREFIX:
        commits = mldm.commits(session.pachyderm, names.project, names.data_repo)
        found |= {each for each in (*known, *commits) if each.startswith(wanted)}
    if len(found) == 1:
        return found.pop()
    what = "More than one thing has" if found else "Nothing of the lab has"
    raise UsageError(
        f"{what} the id {wanted!r}.",
        where=f"{names.project}/{names.data_repo}, model {names.model}",
        fix="Give the id of a commit or version, the UUID of a checkpoint, or a registry number; "
        f"versions are: {', '.join(sorted(known)) or 'none'}.",
    )


def _read(
    session: Session,
    id: str,
    model: str,
    service: str,
    status: ServiceStatus | None,
    *,
    answer: Prediction | None = None,
    with_files: bool = False,
) -> Journey:
    names, client = session.names, session.pachyderm
    version = _version(id, _registered(session, model)) if id else None
    record = _record(status, id)
    # Records take precedence over current names.
    known = version.provenance if version is not None else Provenance.from_metadata(record)
    project = known.project or names.project
    train = known.pipeline or names.train_pipeline
    pipelines = mldm.pipelines(client, names.project)

    def run(pipeline: str, job: Job | None) -> PipelineRun:
        state, reason = pipelines.get(pipeline, ("", ""))
        return PipelineRun(pipeline, state, reason, job)

    return Journey(
        id,
        model,
        commit=_commit(session, project, known.repo or names.data_repo, known.commit or id, with_files),
        train=run(train, mldm.job(client, project, train, known.job or id) if id else None),
        deploy=run(names.deploy_pipeline, deploy_try(session, id) if id else None),
        service=Service(service, status, record),
        experiment=_experiment(session, id, train) if id else None,
        version=version,
        answer=answer,
    )


def _commit(session: Session, project: str, repo: str, id: str, with_files: bool) -> Commit:
    client = session.pachyderm
    if not id:
        return Commit(project, repo, repo_exists=repo in mldm.repos(client, project))
    reference = mldm.commit_of(project, repo, id=id)
    try:
        finished = mldm.commit_finished(client, reference)
        files = mldm.files(client, reference) if with_files else None
    except DataError as error:
        return Commit(project, repo, id, lost=error.what)
    return Commit(project, repo, id, True, finished, files=files)


def _experiment(session: Session, job: str, pipeline: str) -> Experiment | None:
    found = mlde.experiment_for_job(session.determined, job, pipeline)
    if found is None:
        return None
    return Experiment(found.id, mlde.progress(session.determined, found.id), found.config or {})


def _registered(session: Session, model: str) -> list[ModelVersion]:
    """All versions of a model; none while the model doesn't exist."""
    found = mlde.find_model(session.determined, model)
    return mlde.versions(found) if found is not None else []


def _version(name: str, registered: Sequence[ModelVersion]) -> Version | None:
    found = next((each for each in registered if each.name == name), None)
    if found is None:
        return None
    checkpoint = None
    if found.checkpoint is not None:
        checkpoint = Checkpoint(
            found.checkpoint.uuid,
            getattr(found.checkpoint.training, "experiment_id", 0) or 0,
            mlde.moment(getattr(found.checkpoint, "report_time", None)),
        )
    later = tuple(str(each.name) for each in registered if (each.metadata or {}).get("resumed_from") == name)
    return Version(found.model_version, name, checkpoint, Provenance.from_metadata(found.metadata or {}), later)


def _record(status: ServiceStatus | None, version: str) -> Mapping[str, Any]:
    """The record of a version in a service's history, for versions that the registry has lost."""
    if status is None:
        return {}
    served = history({"metadata": {"annotations": status.annotations}})
    found = next((each for each in served if each["version"] == version), None)
    return {**found, "current": version == status.version} if found is not None else {}
