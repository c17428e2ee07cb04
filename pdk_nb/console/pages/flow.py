"""Flow: the newest commit's way over all three platforms, drawn for a projector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from pdk_nb import participants
from pdk_nb.console.pages.page import Page, Parameters
from pdk_nb.journey import read as read_journey
from pdk_nb.journey.graph import graph
from pdk_nb.journey.model import Journey
from pdk_nb.journey.trail import Trail
from pdk_nb.names import Names, participant_of
from pdk_nb.platforms import mldm, serving

if TYPE_CHECKING:
    from pdk_nb.session import Session


#: In an address: the setup guide's names, without a participant.
NOBODY = "-"


def read(session: Session, parameters: Parameters) -> dict[str, Any]:
    """The graph and the trail of the newest commit of a participant."""
    session = _session_of(session, parameters)
    found = read_journey(session)
    links = addresses(found)
    return {
        "picture": Markup(graph(found, links).draw().inline()),
        "rows": list(zip(Trail(found).rows(), [links.get(key, "") for key in STATIONS], strict=True)),
        "participant": session.names.participant,
        "project": session.names.project,
        "people": _others(session),
        "nobody": NOBODY,
        "settled": _settled(found),
    }


def signature(session: Session, parameters: Parameters) -> tuple[str, str]:
    """The newest commit and the state of the service: two small requests tell whether anything has begun."""
    session = _session_of(session, parameters)
    names = session.names
    head = mldm.head(session.pachyderm, names.project, names.data_repo)
    return head, serving.resource_version(session.settings, names.service)


def _session_of(session: Session, parameters: Parameters) -> Session:
    wanted = parameters.get("participant", "")
    return participants.session_of(session, "" if wanted == NOBODY else wanted) if wanted else session


def _settled(found: Journey) -> bool:
    """Whether nothing more happens by itself: both jobs have ended, and the service doesn't change."""
    pipelines = [run for run in (found.train, found.deploy) if run.pipeline_state]
    ended = all(run.job.ended if run.job else not found.id for run in pipelines)
    status = found.service.status
    return ended and (status is None or status.ready)


#: The graph's node for each row of the trail.
STATIONS = ("repo", "train", "experiment", "code", "version", "version", "deploy", "service")


def addresses(journey: Journey) -> dict[str, str]:
    """The console's page of each station, by the key of the graph's node; of what isn't there yet, that of its kind."""
    commit, project, service = journey.commit, quote(journey.commit.project, safe=""), journey.service
    repo = f"/data/{project}/{quote(commit.repo, safe='')}" if commit.repo_exists else "/data"
    found = {
        "repo": f"{repo}/{journey.id}" if journey.id else repo,
        "version": f"/models/{quote(journey.model, safe='')}" if journey.version else "/models",
        "service": f"/services/{quote(service.name, safe='')}" if service.status else "/services",
    }
    for key, run in (("train", journey.train), ("deploy", journey.deploy)):
        found[key] = f"/jobs/{project}/{quote(run.pipeline, safe='')}/{run.job.id}" if run.job else "/jobs"
    found["experiment"] = f"/experiments/{journey.experiment.id}" if journey.experiment else "/experiments"
    return found


def _others(session: Session) -> list[str]:
    """Participants with a project in Pachyderm, by name; the setup guide's own names first, as an empty one.

    One small request only: the page is read every second.
    """
    found = [str(info.project.name) for info in session.pachyderm.list_project()]
    people = sorted(filter(None, (participant_of("project", each) for each in found)))
    return ["", *people] if Names().project in found else people


PAGES = (Page("/", "Flow", "flow.html", read, menu="Flow", signature=signature, whole_seconds=5.0),)
