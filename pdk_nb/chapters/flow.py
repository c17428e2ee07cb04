"""Where the way from data to service stands now: as a graph that takes colour, and as a timeline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdk_nb.display.diagrams import Drawing, Edge, Graph, Node, Timeline, TimelineBar
from pdk_nb.display.tables import Note
from pdk_nb.platforms import mlde, mldm, serving
from pdk_nb.platforms.mldm import Job
from pdk_nb.platforms.serving.status import ServiceStatus
from pdk_shared.errors import DeploymentError

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion

    from pdk_nb.session import Session

LANES = ("Pachyderm", "Determined", "KServe")
JOB_STATES = {"SUCCESS": "done", "FAILURE": "failed", "KILLED": "failed", "UNRUNNABLE": "failed"}
# A service that is ready later than this after its deploy job began was changed by somebody since.
READY_S = 900.0
BROKEN = ("FAILURE", "CRASHING")


@dataclass(frozen=True)
class Flow:
    """Everything on the way, at one moment.

    Attributes:
        project: Pachyderm project.
        commit: The newest commit of the data repo, whose way this is; empty while there is none.
        repo: Name of the data repo; empty while there is none.
        pipelines: State and reason of each pipeline that exists, by name.
        train: The commit's train job.
        experiment: Id of its experiment; 0 while there is none.
        progress: Where the experiment stands.
        version: Number of the commit's model version; 0 while there is none.
        accuracy: What the version's metadata say about its metric.
        deploy: The commit's deploy job.
        service: The service; None while there is none.
    """

    project: str
    commit: str = ""
    repo: str = ""
    pipelines: dict[str, tuple[str, str]] | None = None
    train: Job | None = None
    experiment: int = 0
    progress: mlde.Progress | None = None
    version: int = 0
    accuracy: str = ""
    deploy: Job | None = None
    service: ServiceStatus | None = None


def service(session: Session) -> ServiceStatus | None:
    """The lab's service, or None while there is none."""
    try:
        return serving.service_status(session.settings, session.names.service)
    except DeploymentError:
        return None


def metric_of(version: ModelVersion) -> str:
    """The registered metric in words."""
    metric = (version.metadata or {}).get("metric") or {}
    return f"{metric['name']} {float(metric['value']):.3f}" if metric else ""


def look(session: Session, commit: str = "") -> Flow:
    """Ask the platforms where a commit's way stands.

    Args:
        session: The session.
        commit: The commit; the newest one when empty.
    """
    names, client = session.names, session.pachyderm
    repo = names.data_repo if names.data_repo in mldm.repos(client, names.project) else ""
    pipelines = mldm.pipelines(client, names.project)
    commit = commit or (mldm.head(client, names.project, names.data_repo) if repo else "")
    if not commit:
        return Flow(names.project, "", repo, pipelines, service=service(session))
    experiment = mlde.experiment_for_job(session.determined, commit)
    version = mlde.version_for_commit(session.determined, names.model, commit)
    return Flow(
        names.project,
        commit,
        repo,
        pipelines,
        train=mldm.job(client, names.project, names.train_pipeline, commit),
        experiment=experiment.id if experiment else 0,
        progress=mlde.progress(session.determined, experiment.id) if experiment else None,
        version=int(version.model_version) if version else 0,
        accuracy=metric_of(version) if version else "",
        deploy=mldm.job(client, names.project, names.deploy_pipeline, commit),
        service=service(session),
    )


def draw(session: Session, commit: str = "") -> Drawing:
    """The graph of a commit's way, or of the empty way when there is no commit."""
    return graph(session, look(session, commit)).draw()


def graph(session: Session, flow: Flow) -> Graph:
    """Project, repo, pipelines, experiment, model and service, each with its state."""
    names = session.names
    short = f"{flow.commit[:8]}…" if flow.commit else ""
    nodes = [
        Node(
            "repo",
            "data repo",
            names.data_repo,
            "done" if flow.commit else "waiting",
            f"commit {short}" if short else "no commit yet" if flow.repo else "not there yet",
            0,
            0,
        ),
        _pipeline("train", "train pipeline", names.train_pipeline, flow, flow.train, 1),
        _experiment(flow),
        Node(
            "version",
            "model version",
            f"{names.model} {flow.version or ''}".rstrip(),
            "done" if flow.version else "waiting",
            flow.accuracy if flow.version else "not yet",
            3,
            1,
        ),
        _pipeline("deploy", "deploy pipeline", names.deploy_pipeline, flow, flow.deploy, 4),
        _service(session, flow),
    ]
    states = {node.key: node.state for node in nodes}
    way = [node.key for node in nodes]
    edges = [
        Edge(start, end, "waiting" if "waiting" in (states[start], states[end]) else states[end])
        for start, end in zip(way, way[1:], strict=False)
    ]
    return Graph(nodes, edges, f"Project {flow.project}", LANES)


def _pipeline(key: str, kind: str, name: str, flow: Flow, job: Job | None, column: int) -> Node:
    state, reason = (flow.pipelines or {}).get(name, ("", ""))
    if job is not None and job is flow.deploy and flow.train is not None and not flow.train.ended:
        # Pachyderm makes the whole chain's jobs with the commit; this one has nothing to do yet.
        return Node(key, kind, name, "waiting", "waits for the model", column, 0)
    if job is not None:
        word = job.state.lower().replace("success", "succeeded")
        return Node(
            key, kind, name, JOB_STATES.get(job.state, "running"), f"job {word}, {job.seconds:.0f} s", column, 0
        )
    if state in BROKEN:
        return Node(key, kind, name, "failed", reason or state.lower(), column, 0)
    return Node(key, kind, name, "waiting", "waits for a commit" if state else "not there yet", column, 0)


def _experiment(flow: Flow) -> Node:
    now = flow.progress
    if now is None:
        return Node("experiment", "experiment", "", "waiting", "not yet", 2, 1)
    state = {"COMPLETED": "done", "ERROR": "failed", "CANCELED": "failed"}.get(now.state, "running")
    said = f"{now.state.lower()}, {now.batches} batches" if now.batches else now.state.lower()
    return Node("experiment", "experiment", f"experiment {flow.experiment}", state, said, 2, 1)


def _service(session: Session, flow: Flow) -> Node:
    found, name = flow.service, session.names.service
    if found is None:
        return Node("service", "service", name, "waiting", "not there yet", 5, 2)
    if not found.ready:
        return Node("service", "service", name, "running", found.model_state.lower() or "starting", 5, 2)
    if flow.commit and found.version != flow.commit:
        return Node("service", "service", name, "waiting", f"still serves {found.version[:8]}…", 5, 2)
    return Node("service", "service", name, "done", f"ready, {found.version[:8]}…", 5, 2)


def recap(session: Session) -> Note:
    """The newest commit's id with everything that it ties so far."""
    flow = look(session)
    if not flow.commit:
        return Note("the id", "There is none yet: it comes with the first commit of pictures.")
    tied = [f"commit in {flow.repo}"]
    tied += [f"train job ({flow.train.state.lower()})"] if flow.train else []
    tied += [f"experiment {flow.experiment}"] if flow.experiment else []
    tied += [f"model version {flow.version}"] if flow.version else []
    tied += [f"deploy job ({flow.deploy.state.lower()})"] if flow.deploy else []
    if flow.service is not None and flow.service.version == flow.commit:
        tied.append(f"service {flow.service.name}")
    return Note("the id", f"{flow.commit} ties: {' · '.join(tied)}")


def timeline(session: Session, commit: str) -> Timeline:
    """When a commit's jobs and its experiment ran."""
    names, client = session.names, session.pachyderm
    bars = []
    finished = mldm.commit_finished(client, mldm.commit_of(names.project, names.data_repo, id=commit))
    if finished:
        bars.append(TimelineBar("commit", finished, moment=True))
    train = mldm.job(client, names.project, names.train_pipeline, commit)
    bars += _job_bar("train job", train)
    experiment = mlde.experiment_for_job(session.determined, commit)
    if experiment is not None:
        start, end, state = mlde.experiment_times(session.determined, experiment.id)
        shown = {"COMPLETED": "done", "ERROR": "failed", "CANCELED": "failed"}.get(state, "running")
        if start:
            bars.append(TimelineBar(f"experiment {experiment.id}", start, end or None, shown))
    version = mlde.version_for_commit(session.determined, names.model, commit)
    reported = getattr(version.checkpoint, "report_time", None) if version and version.checkpoint else None
    if reported:
        bars.append(TimelineBar("best checkpoint", mlde.moment(reported), moment=True))
    deploy = mldm.job(client, names.project, names.deploy_pipeline, commit)
    bars += [*_job_bar("deploy job", deploy), *_ready_bar(service(session), commit, deploy)]
    return Timeline(bars, f"The way of commit {commit[:12]}…", time.time())


def _ready_bar(found: ServiceStatus | None, commit: str, deploy: Job | None) -> list[TimelineBar]:
    """The moment when the service was ready with a commit's model; a roll back long after belongs to another story."""
    if found is None or not found.ready or found.version != commit or found.changed is None or deploy is None:
        return []
    ready = found.changed.timestamp()
    return [TimelineBar("service ready", ready, moment=True)] if 0 <= ready - deploy.started < READY_S else []


def _job_bar(name: str, job: Job | None) -> list[TimelineBar]:
    if job is None or not job.started:
        return []
    return [TimelineBar(name, job.started, job.finished or None, JOB_STATES.get(job.state, "running"))]
