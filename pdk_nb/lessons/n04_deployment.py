"""Lesson 04: from the registered model to a service that answers requests."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb import example as examples
from pdk_nb import journey, tasks
from pdk_nb.display.progress import Progress
from pdk_nb.display.tables import Note, Table
from pdk_nb.journey import latest_commit
from pdk_nb.journey.jobs import deploy_try
from pdk_nb.lessons.explanation import Explanation
from pdk_nb.lessons.lesson import Exercise, Findings, Lesson, WrittenExercise, expect, read_written
from pdk_nb.packaging import archive
from pdk_nb.platforms import mldm, serving, storage
from pdk_nb.platforms.cluster import resolve
from pdk_nb.platforms.serving.objects import need
from pdk_shared.errors import DeploymentError, ServiceUnreachable

if TYPE_CHECKING:
    from pdk_nb.session import Session

ARCHIVE_COLUMNS = ("File", "Size", "What it is")
COLUMNS = ("Name", "Url", "Ready", "Prev", "Latest", "PrevRolledoutRevision", "LatestReadyRevision", "Age")


def served_commit(session: Session) -> str:
    """The commit whose model is in service; empty while none is."""
    found = journey.read_service(session)
    return found.version if found and found.ready else ""


def log_tail(session: Session, commit: str, lines: int) -> str:
    """The end of the deploy job's log.

    Args:
        session: The session.
        commit: Id of a commit of the data repo.
        lines: Number of lines.
    """
    names = session.names
    return mldm.job_log(session.pachyderm, names.project, names.deploy_pipeline, _job_id(session, commit)).tail(lines)


def _job_id(session: Session, commit: str) -> str:
    """Id of the deploy job, which is also that of its output: the commit's own, unless a later try has another."""
    found = deploy_try(session, commit)
    return found.id if found is not None else commit


def archive_table(session: Session, commit: str) -> Table:
    """Contents of the model archive that the deploy stage stored in its output repo or bucket.

    This machine may not have access to a bucket that the cluster's accounts can read: the table then has no rows and
    says so.

    Args:
        session: The session.
        commit: Id of a commit of the data repo.

    Raises:
        DeploymentError: There is no archive for this commit.
    """
    names = session.names
    job = _job_id(session, commit)
    output = mldm.commit_of(names.project, names.deploy_pipeline, id=job)
    paths = [path for path in mldm.files(session.pachyderm, output) if path.endswith(".mar")]
    with tempfile.TemporaryDirectory() as folder, Progress("Downloading the archive") as progress:
        local = Path(folder) / f"{names.model}.mar"
        if paths:
            where = f"{names.deploy_pipeline}@{job[:12]}…:{paths[0]}"
            progress.say(where)
            local.write_bytes(mldm.read_file(session.pachyderm, output, paths[0]))
        else:
            bucket, key = _in_bucket(session, commit)
            where = f"{bucket}/{key}"
            progress.say(where)
            try:
                local.write_bytes(storage.models_of(session.settings, bucket).read(key))
            except KeyError as error:
                raise DeploymentError("The archive isn't where the service looks for it.", where=where) from error
            except DeploymentError as error:
                progress.end("The archive is in a bucket that this machine can't read.")
                return Table(ARCHIVE_COLUMNS, [], caption=f"This machine can't read {where}. {error.what}")
        progress.end(f"Downloaded the archive ({local.stat().st_size / 1e6:.1f} MB) in {progress.seconds:.1f} s.")
        task = tasks.for_stages(examples.find(names.example).task)
        info = archive.describe(local, {**task.shared_modules, **task.roles})
    rows = [(entry.name, f"{entry.size:,} bytes", entry.role) for entry in info.entries]
    return Table(ARCHIVE_COLUMNS, rows, caption=where)


def _in_bucket(session: Session, commit: str) -> tuple[str, str]:
    """Address of the archive that the service reads: bucket with its scheme, and key."""
    found = journey.read_service(session)
    if found is None or found.version != commit:
        raise DeploymentError(
            "This commit has no known archive.", where=commit, fix="Run notebook 04 after its deploy job ends."
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

    Args:
        session: The session.
        commit: Id of a commit of the data repo.
        timeout: Seconds to wait.

    Raises:
        DeploymentError: The service failed or wasn't ready in time; the message gives the reasons.
    """
    with loading_progress(session, commit) as progress:
        status = serving.wait_ready(
            session.settings, session.names.service, timeout, version=commit, progress=progress.say
        )
    return Note("ready", f"{status.url} answers with the model of {commit}.")


def loading_progress(session: Session, commit: str) -> Progress:
    """Progress of a service while it loads the model of a commit.

    Args:
        session: The session.
        commit: Id of the commit whose model is loaded.
    """
    return Progress(f"{session.names.service} loads the model of {commit[:12]}…")


class IndexFile(Exercise):
    """Look inside the model archive."""

    name = "04-names"
    kind = "Find"
    question = "Which file of the model archive maps a class index to a name?"
    hint = "lab.archive_table() lists the files and their purpose."
    solution = 'answer = next(row[0] for row in lab.archive_table().rows if "class names" in row[2])'
    why = "A model's outputs are numbers; this file says what they mean."

    def expected(self, session: Session) -> str:
        """The archive's index file, even if this machine can't read the model bucket."""
        rows = archive_table(session, latest_commit(session)).rows
        return next((row[0] for row in rows if row[0] == archive.INDEX_FILE), archive.INDEX_FILE)


class ServiceHost(Exercise):
    """Find the name that the ingress routes by."""

    name = "04-host"
    kind = "Find"
    question = "Many services share the ingress's address. Which hostname in a request selects this one?"
    hint = "The service's URL is in the table above and in its status.url, but a hostname has no http:// before it."
    solution = (
        "from urllib.parse import urlparse\n\n"
        "from kubernetes.client import CustomObjectsApi\n\n"
        'kind = ("serving.kserve.io", "v1beta1", lab.settings.kserve_model_namespace, "inferenceservices")\n'
        "service = CustomObjectsApi(lab.kubernetes).get_namespaced_custom_object(*kind, lab.names.service)\n"
        'answer = urlparse(service["status"]["url"]).hostname'
    )
    why = "Clients connect to the ingress and send this name as the Host header."

    def expected(self, session: Session) -> str:
        """The host of the service's URL."""
        return serving.endpoint(session.settings, session.names.service).host


class FailedRevision(Exercise):
    """Predict what a model that doesn't start does to the requests."""

    name = "04-broken"
    kind = "Predict"
    question = (
        "Version A answers. You deploy version B, but its archive is damaged and its model server never becomes ready. "
        'Which version answers the next request, `"A"` or `"B"`?'
    )
    hint = "When does a revision get traffic?"
    solution = 'answer = "A"'
    why = "Only a revision that is ready gets traffic, so a bad deployment interrupts nobody."

    def expected(self, session: Session) -> str:
        """The version that stays in service."""
        return "A"


class RepairedService(WrittenExercise):
    """Repair an InferenceService that KServe refuses; the cluster itself judges it."""

    name = "04-repair"
    kind = "Repair"
    question = """KServe refuses this InferenceService. Repair it, and answer with the whole text in triple quotes. \
The check sends it to the cluster as a *dry run*: everything is checked, and nothing is created.

```yaml
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: my-pets
spec:
  predictor:
    model:
      modelFormat: pytorch
      storageUri: s3://my-bucket/my-pets
```"""
    hint = (
        "Unfold the InferenceService above and compare: one field isn't a string there; it has a field `name` below it."
    )
    solution = '''answer = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: my-pets
spec:
  predictor:
    model:
      modelFormat:
        name: pytorch
      storageUri: s3://my-bucket/my-pets
"""'''
    why = "This is all that KServe needs: a name, a format that a runtime knows, and the address of the model."

    def expected(self, session: Session) -> dict[str, Any]:
        """The fields that the service needs."""
        model = {"modelFormat": {"name": "pytorch"}, "storageUri": "s3://my-bucket/my-pets"}
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "my-pets"},
            "spec": {"predictor": {"model": model}},
        }

    def fault(self, session: Session, answer: Any) -> str:
        """What is wrong, in the cluster's own words when it refuses the object."""
        if fault := super().fault(session, answer):
            return fault
        written, _ = read_written(answer)
        try:
            refusal = serving.refusal(session.settings, dict(written))
        except ServiceUnreachable:
            return ""  # this user may not create services: the fields have to do
        return f"the cluster refuses it: {refusal}" if refusal else ""


def missing(session: Session) -> str:
    """Why the service isn't ready."""
    found = journey.read_service(session)
    if found is None:
        return f"there is no service {session.names.service}"
    return "" if found.ready else f"the service {session.names.service} isn't ready"


def check(session: Session) -> Findings:
    """04: the service is ready with the model of the newest commit."""
    commit = latest_commit(session)
    found = journey.read_service(session)
    if found is None:
        yield Note(
            "not yet",
            f"There is no InferenceService {session.names.service}.",
            "Run notebook 04: it waits for the service.",
        )
        return
    yield expect(
        found.ready,
        f"{found.url} is ready.",
        f"{session.names.service} isn't ready: {found.summary()}",
        f"kubectl -n {found.namespace} describe inferenceservice {found.name}",
    )
    yield expect(
        found.version == commit,
        f"It serves the model of {commit}.",
        f"It serves the model of {found.version}, not of {commit}.",
        "Wait for the deploy job, or roll forward with lab.serve_version().",
    )


def service_object(session: Session) -> dict[str, Any]:
    """The InferenceService, without the record of who set which field."""
    found = need(resolve(session.settings), session.names.service)
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    return {**found, "metadata": metadata}


SERVICE = Explanation(
    "04-service",
    "The InferenceService",
    service_object,
    {
        "metadata.annotations.pach_id": "The id of the commit whose model it serves; the deploy stage writes it.",
        "spec.predictor.model.storageUri": "Where the archive is; KServe downloads it before the model starts.",
        "spec.predictor.model.protocolVersion": "v1: POST /v1/models/NAME:predict with a list of instances.",
        "spec.predictor.serviceAccountName": "The account whose permissions the download uses.",
        "status.url": "Its host is the Host header of each request; the ingress routes by it.",
    },
    lambda session: (
        f"kubectl -n {session.settings.kserve_model_namespace} get inferenceservice {session.names.service} -o yaml"
    ),
    lambda session: served_commit(session),
)

LESSON = Lesson(
    "04",
    check,
    needs=("00", "01", "02", "03"),
    missing=missing,
    exercises=(IndexFile(), ServiceHost(), FailedRevision(), RepairedService()),
    explanations=(SERVICE,),
)
