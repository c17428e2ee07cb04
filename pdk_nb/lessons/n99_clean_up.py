"""Lesson 99: delete what the lab created, downstream first. A second run finds nothing."""

from __future__ import annotations

import html
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc

from pdk_nb import journey, version_comparison
from pdk_nb.counting import counted
from pdk_nb.display.tables import Table
from pdk_nb.lessons.lesson import Findings, Lesson, expect
from pdk_nb.platforms import mlde, mldm, serving, storage
from pdk_nb.platforms.waiting import wait
from pdk_shared.errors import DeploymentError, PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Step:
    """One resource to delete."""

    kind: str
    name: str
    delete: Callable[[], Any] = field(repr=False)


@dataclass(frozen=True)
class Plan:
    """What to delete, in order.

    Attributes:
        steps: One for each resource.
        notes: What this machine couldn't inspect, and therefore keeps.
    """

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def table(self) -> Table:
        """The plan as a table."""
        return Table(("Order", "What", "Name"), [(n, each.kind, each.name) for n, each in enumerate(self.steps, 1)])

    def __str__(self) -> str:
        text = str(self.table()) if self.steps else "Nothing of the lab is on the cluster."
        return "\n".join([text, *(f"note: {note}" for note in self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.steps:
            return f"<p>{html.escape(str(self))}</p>"
        return self.table()._repr_html_() + "".join(f"<p>Note: {html.escape(note)}</p>" for note in self.notes)


def make_plan(session: Session) -> Plan:
    """Find everything that has the lab's names, and nothing else.

    The order is downstream first: a resource comes after everything that uses it.
    """
    names, steps = session.names, []
    if journey.read_service(session) is not None:
        steps.append(Step("InferenceService", names.service, lambda: serving.delete(session.settings, names.service)))
    if version_comparison.exists(session):
        second = version_comparison.service_name(session)
        steps.append(Step("InferenceService", second, lambda: serving.delete(session.settings, second)))
    steps += _pachyderm_steps(session)
    steps += _determined_steps(session)
    stored, notes = _storage_steps(session)
    return Plan(tuple(steps + stored), notes)


def _pachyderm_steps(session: Session) -> list[Step]:
    names, client = session.names, session.pachyderm
    if not any(info.project.name == names.project for info in client.list_project()):
        return []
    steps = []
    present = mldm.pipelines(client, names.project)
    pipelines = (names.batch_pipeline, names.search_pipeline, names.deploy_pipeline, names.train_pipeline)
    for pipeline in pipelines:
        if pipeline in present:
            steps.append(
                Step(
                    "Pachyderm pipeline",
                    pipeline,
                    partial(client.delete_pipeline, pipeline, project_name=names.project),
                )
            )
    repos = mldm.repos(client, names.project)
    inputs = (names.batch_repo, names.search_repo, names.data_repo)
    for repo in inputs:
        if repo in repos:
            delete = partial(client.delete_repo, repo, project_name=names.project)
            steps.append(Step("Pachyderm repo", repo, delete))
    if not set(repos) - {*inputs, *pipelines} and not set(present) - set(pipelines):
        # Keep the project if it holds other repos or pipelines.
        steps.append(Step("Pachyderm project", names.project, lambda: client.delete_project(names.project)))
    return steps


def _determined_steps(session: Session) -> list[Step]:
    names, client = session.names, session.determined
    steps = []
    model = mlde.find_model(client, names.model)
    if model is not None:
        steps.append(Step("Model and its versions", names.model, model.delete))
    labelled = [
        each
        for label in (names.train_pipeline, names.search_pipeline)
        for each in client.list_experiments(labels=[label])
        if {names.data_repo, label} <= set(each.labels or ())
    ]
    for experiment in labelled:
        steps.append(
            Step(
                "Experiment and its checkpoints",
                f"{experiment.id} ({experiment.name})",
                partial(_delete_experiment, experiment),
            )
        )
    return steps + _workspace_steps(session, len(labelled))


def _delete_experiment(experiment: Any) -> None:
    """Stop an experiment if it's running, delete it, and wait until it's gone."""
    if not _ended(experiment):
        experiment.kill()
        _wait(lambda: _ended(experiment), f"Experiment {experiment.id} didn't end")
    experiment.delete()
    # Determined deletes in the background.
    _wait(lambda: _gone(experiment), f"Experiment {experiment.id} wasn't deleted")


def _ended(experiment: Any) -> bool:
    experiment.reload()
    return str(experiment.state.value).removeprefix("STATE_") in mlde.TERMINAL


def _gone(experiment: Any) -> bool:
    from determined.common.api.errors import NotFoundException

    try:
        experiment.reload()
    except NotFoundException:
        return True
    return False


def _wait(condition: Callable[[], bool], late: str) -> None:
    wait(
        condition,
        bool,
        timeout=STOP_SECONDS,
        reason=lambda _: PdkError(
            f"{late} within {STOP_SECONDS:.0f} s.", fix="Run the clean-up again: it continues where it stopped."
        ),
    )


def _workspace_steps(session: Session, experiments: int) -> list[Step]:
    """Determined's project and workspace, unless they hold other people's resources."""
    names, http = session.names, mlde.session(session.determined)
    workspace = next((each for each in session.determined.list_workspaces() if each.name == names.workspace), None)
    if workspace is None:
        return []
    projects = workspace.list_projects()
    steps = []
    project = next((each for each in projects if each.name == names.experiment_project), None)
    if project is not None:
        answer = http.get("/api/v1/experiments", params={"projectId": project.id, "limit": 0}).json()
        if len(answer.get("experiments") or []) > experiments:
            return []
        steps.append(
            Step(
                "Determined project",
                names.experiment_project,
                lambda: http.delete(f"/api/v1/projects/{project.id}"),
            )
        )
    # Keep the workspace if it holds other projects.
    if len(projects) == len(steps):
        steps.append(
            Step("Determined workspace", names.workspace, lambda: http.delete(f"/api/v1/workspaces/{workspace.id}"))
        )
    return steps


def _storage_steps(session: Session) -> tuple[list[Step], tuple[str, ...]]:
    """The model's files in the cluster's bucket, where the deploy stage stores them in a cloud."""
    known, prefix = session.settings, f"{session.names.model}/"
    if not known.kserve_model_bucket_name:
        return [], ()
    try:
        endpoint = urlsplit(known.minio_url).hostname
        if endpoint:
            socket.getaddrinfo(endpoint, None)
        store = storage.models_of(known)
        keys = list(store.keys(prefix))
    except (DeploymentError, OSError) as error:
        what = getattr(error, "what", str(error))
        return [], (f"Files under {prefix} in bucket {known.kserve_model_bucket_name} are kept: {what}",)

    def delete() -> None:
        for key in keys:
            store.delete(key)

    return [Step(counted(len(keys), "model file"), f"{store.uri}{prefix}", delete)] if keys else [], ()


def apply(session: Session, plan: Plan) -> Table:
    """Delete what the plan lists, in its order.

    Args:
        session: The session.
        plan: What to delete.

    Raises:
        PdkError: A step failed; the steps after it didn't run.
    """
    from determined.common.api.errors import BadRequestException, BadResponseException

    rows = []
    for step in plan.steps:
        try:
            step.delete()
        except (grpc.RpcError, OSError, BadRequestException, BadResponseException) as error:
            raise PdkError(
                f"Can't delete {step.kind} {step.name}: {mldm.reason(error)}",
                fix="Fix this and run the clean-up again: it continues where it stopped.",
            ) from error
        print(f"deleted {step.kind} {step.name}")
        rows.append((step.kind, step.name, "deleted"))
    return Table(("What", "Name", "Outcome"), rows)


def check(session: Session) -> Findings:
    """99: nothing that has the lab's names is left."""
    plan = make_plan(session)
    yield expect(
        not plan,
        "Nothing of the lab is left on the cluster.",
        f"{len(plan.steps)} resources are left: {', '.join(step.name for step in plan.steps[:4])}",
        "Run the cell with lab.clean_up(plan) again.",
    )


LESSON = Lesson("99", check)
