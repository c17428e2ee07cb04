"""Chapter 04: from the registered model to a service that answers."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pdk_nb.chapters import flow
from pdk_nb.chapters.flow import service
from pdk_nb.display.progress import Area, Progress
from pdk_nb.display.tables import Note, Table
from pdk_nb.packaging import archive
from pdk_nb.platforms import mldm, serving, storage
from pdk_nb.platforms.mldm import Job
from pdk_shared.errors import DeploymentError

if TYPE_CHECKING:
    from pdk_nb.session import Session

REDRAW_S = 1.0
ARCHIVE_COLUMNS = ("File", "Size", "What it is")
COLUMNS = ("Name", "Url", "Ready", "Prev", "Latest", "PrevRolledoutRevision", "LatestReadyRevision", "Age")


def served_commit(session: Session) -> str:
    """The commit whose model answers now; empty while none does."""
    found = service(session)
    return found.version if found and found.ready else ""


def follow(session: Session, commit: str, timeout: float) -> None:
    """Wait until the deploy job of a commit has ended; the graph takes colour meanwhile.

    Raises:
        TrainingError: It failed or did not end in time.
    """
    names, graph, drawn_at = session.names, Area(), 0.0

    with Progress(f"Waiting for the deploy job of {commit[:12]}…") as progress:

        def look(job: Job | None) -> None:
            nonlocal drawn_at
            progress.say(f"the job is {job.state.lower()}" if job else "the train job's output is not there yet")
            if time.monotonic() - drawn_at > REDRAW_S:
                graph.show(flow.draw(session, commit))
                drawn_at = time.monotonic()

        job = mldm.wait_job(
            session.pachyderm, names.project, names.deploy_pipeline, commit, timeout=timeout, progress=look
        )
        graph.show(flow.draw(session, commit))
        progress.end(f"The deploy job succeeded after {job.seconds:.0f} s.")


def log_tail(session: Session, commit: str, lines: int) -> str:
    """What the deploy job printed."""
    found = mldm.log_lines(session.pachyderm, session.names.project, session.names.deploy_pipeline, commit)
    return "\n".join(found[-lines:])


def archive_table(session: Session, commit: str) -> Table:
    """What lies in the model archive that the deploy stage kept in its output repo or bucket.

    A bucket is open to the cluster's accounts and need not be to this machine: the table then has no rows, and says so.

    Raises:
        DeploymentError: There is no archive for this commit.
    """
    names = session.names
    output = mldm.commit_of(names.project, names.deploy_pipeline, id=commit)
    paths = [path for path in mldm.files(session.pachyderm, output) if path.endswith(".mar")]
    with tempfile.TemporaryDirectory() as folder, Progress("Fetching the archive") as progress:
        local = Path(folder) / f"{names.model}.mar"
        if paths:
            where = f"{names.deploy_pipeline}@{commit[:12]}…:{paths[0]}"
            progress.say(where)
            local.write_bytes(mldm.read_file(session.pachyderm, output, paths[0]))
        else:
            bucket, key = _in_bucket(session, commit)
            where = f"{bucket}/{key}"
            progress.say(where)
            try:
                local.write_bytes(storage.models_of(session.settings, bucket).read(key))
            except KeyError as error:
                raise DeploymentError("The archive is not where the service looks for it.", where=where) from error
            except DeploymentError as error:
                progress.end("The archive is in a bucket that this machine cannot read.")
                return Table(ARCHIVE_COLUMNS, [], caption=f"{where} cannot be read from here. {error.what}")
        progress.end(f"Fetched the archive ({local.stat().st_size / 1e6:.1f} MB) in {progress.seconds:.1f} s.")
        info = archive.describe(local)
    rows = [(entry.name, f"{entry.size:,} bytes", entry.role) for entry in info.entries]
    return Table(ARCHIVE_COLUMNS, rows, caption=where)


def _in_bucket(session: Session, commit: str) -> tuple[str, str]:
    """Where the archive lies that the service reads: bucket with its scheme, and key."""
    found = service(session)
    if found is None or found.version != commit:
        raise DeploymentError(
            "No archive is known for this commit.", where=commit, fix="Run notebook 04 after its deploy job has ended."
        )
    scheme, _, rest = found.storage_uri.partition("://")
    bucket, _, prefix = rest.strip("/").partition("/")
    return f"{scheme}://{bucket}", f"{prefix}/model-store/{session.names.model}.mar"


def services_table(session: Session) -> Table:
    """InferenceServices with the columns of ``kubectl get inferenceservices``."""
    rows = serving.status_table(session.settings)
    columns = list(rows[0]) if rows else list(COLUMNS)
    namespace = session.settings.kserve_model_namespace
    return Table(columns, [list(row.values()) for row in rows], caption=f"kubectl -n {namespace} get inferenceservices")


def wait_service(session: Session, commit: str, timeout: float) -> Note:
    """Wait until the service is ready with the model of a commit.

    Raises:
        DeploymentError: It failed or was not ready in time; the message has the reasons.
    """
    with _waiting(session, commit) as progress:
        status = serving.wait_ready(
            session.settings, session.names.service, timeout, version=commit, poll=0.25, progress=progress.say
        )
    return Note("ready", f"{status.url} answers with the model of {commit}.")


def serve_version(session: Session, commit: str, timeout: float) -> Note:
    """Roll back, or forward, to a version that the service has served; a canary ends with it."""
    with _waiting(session, commit) as progress:
        applied = serving.rollback(session.settings, session.names.service, commit)
        _wait_changed(session, applied, commit, timeout, progress)
        serving.promote(session.settings, session.names.service)
        serving.wait_share(session.settings, session.names.service)
    return Note("ready", f"{session.names.service} answers with {commit} again.")


def canary(session: Session, commit: str, percent: int, timeout: float) -> Note:
    """Give a version that the service knows a share of the traffic, and wait until it has it."""
    with _waiting(session, commit) as progress:
        applied = serving.canary(session.settings, session.names.service, commit, percent)
        _wait_changed(session, applied, commit, timeout, progress)
        serving.wait_share(session.settings, session.names.service, percent)
    text = f"{percent} % of the requests go to {commit}."
    return Note("ready", text, "lab.promote() gives it the rest; lab.serve_version(commit) goes back.")


def promote(session: Session) -> Note:
    """Give the canary all of the traffic."""
    serving.promote(session.settings, session.names.service)
    status = serving.wait_share(session.settings, session.names.service)
    return Note("ready", f"{session.names.service} answers with {status.version} only.")


def traffic_table(session: Session) -> Table:
    """Which model version gets how much of the traffic."""
    shares = serving.traffic(session.settings, session.names.service)
    rows = [(each.version or "unknown", f"{each.percent} %", each.revision, each.tag) for each in shares]
    return Table(("Model version", "Share", "Revision", "Tag"), rows, caption=f"Traffic of {session.names.service}")


def _waiting(session: Session, commit: str) -> Progress:
    return Progress(f"{session.names.service} loads the model of {commit[:12]}…")


def _wait_changed(session: Session, applied: serving.Applied, commit: str, timeout: float, progress: Progress) -> None:
    serving.wait_ready(
        session.settings,
        session.names.service,
        timeout,
        version=commit,
        after=applied.previous_revision,
        poll=0.25,
        progress=progress.say,
    )
