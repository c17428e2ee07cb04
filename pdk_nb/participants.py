"""Many people on one cluster: list the participants and their progress, and remove their resources.

A participant has a resource on the cluster with a name from :class:`pdk_nb.names.Names`, and further evidence that the
lab created it. Resources of other people with similar names aren't touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pdk_nb import journey
from pdk_nb.counting import counted
from pdk_nb.display.tables import Table
from pdk_nb.lessons import n99_clean_up as clean_up
from pdk_nb.lessons.n01_pipelines import PROJECT_DESCRIPTION
from pdk_nb.names import Names, participant_of
from pdk_nb.platforms import mlde, mldm, serving

if TYPE_CHECKING:
    from pdk_nb.session import Session


def find(session: Session) -> list[str]:
    """Participants with lab resources on the cluster, in alphabetical order."""
    found = set(_in_pachyderm(session)) | set(_in_determined(session)) | set(_in_kserve(session))
    return sorted(found - {""})


def _in_pachyderm(session: Session) -> Iterable[str]:
    for info in session.pachyderm.list_project():
        name = participant_of("project", info.project.name)
        repo = Names.for_participant(name).data_repo
        if name and (
            info.description == PROJECT_DESCRIPTION or repo in mldm.repos(session.pachyderm, info.project.name)
        ):
            yield name


def _in_determined(session: Session) -> Iterable[str]:
    for workspace in session.determined.list_workspaces():
        name = participant_of("workspace", str(workspace.name))
        if name and Names.for_participant(name).experiment_project in {p.name for p in workspace.list_projects()}:
            yield name
    for model in session.determined.list_models():
        name = participant_of("model", model.name)
        # The train stage writes its pipeline into the model's metadata.
        if name and (model.metadata or {}).get("pipeline") == Names.for_participant(name).train_pipeline:
            yield name


def _in_kserve(session: Session) -> Iterable[str]:
    for row in serving.status_table(session.settings):
        name = participant_of("service", row["NAME"])
        status = serving.service_status(session.settings, row["NAME"]) if name else None
        if status and status.annotations.get("pdk-lab/model") == Names.for_participant(name).model:
            yield name


def session_of(session: Session, participant: str) -> Session:
    """The session of one participant on the same cluster, over the same connections.

    Args:
        session: A session on that cluster.
        participant: The participant.
    """
    other = type(session)(session.settings, Names.for_participant(participant, session.names.example))
    other.__dict__.update(
        {name: session.__dict__[name] for name in ("pachyderm", "determined") if name in session.__dict__}
    )
    return other


def table(session: Session, participants: Iterable[str]) -> Table:
    """The progress of each participant, station by station.

    Args:
        session: A session on the cluster.
        participants: The participants.
    """
    columns = ("Participant", "Commit", "Train pipeline", "Deploy pipeline", "Versions", "Service")
    return Table(columns, [_row(session_of(session, each)) for each in participants])


def _row(session: Session) -> tuple[str, ...]:
    names = session.names
    head = mldm.newest(session.pachyderm, names.project, names.data_repo)
    states = mldm.pipelines(session.pachyderm, names.project)
    model = mlde.find_model(session.determined, names.model)
    service = journey.read_service(session)
    return (
        names.participant,
        head[:8] or "-",
        *(states[each][0].lower() if each in states else "-" for each in (names.train_pipeline, names.deploy_pipeline)),
        str(len(mlde.versions(model))) if model is not None else "-",
        "-" if service is None else "ready" if service.ready else "not ready",
    )


def plans(session: Session, participants: Iterable[str]) -> dict[str, clean_up.Plan]:
    """The clean-up plan of each participant, without participants who have no resources.

    Args:
        session: A session on the cluster.
        participants: The participants.
    """
    found = {each: clean_up.make_plan(session_of(session, each)) for each in participants}
    return {each: plan for each, plan in found.items() if plan}


def clean(
    session: Session, chosen: dict[str, clean_up.Plan], progress: Callable[[str], None] = lambda line: None
) -> None:
    """Apply the plans, one participant after the other.

    Args:
        session: A session on the cluster.
        chosen: Plan by participant.
        progress: Called with one line for each participant.

    Raises:
        PdkError: A step failed; the steps after it didn't run.
    """
    for participant, plan in chosen.items():
        progress(f"{participant}: {counted(len(plan.steps), 'resource')}")
        clean_up.apply(session_of(session, participant), plan)
