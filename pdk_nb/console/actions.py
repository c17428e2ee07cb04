"""What the console can change when it's started with ``--allow-changes``.

Each action shows the equal command of the platform's own tool before it does anything, so that the page teaches the
tools. An action starts a change and doesn't wait for it: the pages show what becomes of it.
"""

from __future__ import annotations

import getpass
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pdk_nb.console.pages.page import Parameters, number
from pdk_nb.platforms import mlde, mldm, serving
from pdk_shared.errors import NotFound, UsageError

if TYPE_CHECKING:
    from pdk_nb.console.trays import Tray
    from pdk_nb.session import Session

__all__ = ["ACTIONS", "Action", "commit_command", "commit_files", "find"]


@dataclass(frozen=True)
class Action:
    """One change.

    Attributes:
        name: Its name in addresses.
        title: What it does, as a button.
        effect: What happens, in one sentence.
        command: The equal command.
        run: Starts the change; returns what it did.
        back: The page that shows what becomes of it.
        percent: Whether the person chooses a percentage.
    """

    name: str
    title: str
    effect: str
    command: Callable[[Session, Parameters], str]
    run: Callable[[Session, Parameters], str]
    back: Callable[[Parameters], str]
    percent: bool = False


def find(name: str) -> Action:
    """An action by its name.

    Raises:
        NotFound: There is none.
    """
    for each in ACTIONS:
        if each.name == name:
            return each
    raise NotFound(f"The console has no action '{name}'.", where=name, fix="Use the buttons of its pages.")


def need(parameters: Parameters, name: str) -> str:
    """A parameter that an action can't do without.

    Raises:
        UsageError: It's missing.
    """
    if not parameters.get(name):
        raise UsageError(f"The address lacks '{name}'.", where=name, fix="Use the buttons of the console's pages.")
    return parameters[name]


def commit_files(session: Session, given: Parameters, tray: Tray) -> str:
    """Commit a tray; returns the commit's id.

    Args:
        session: The session.
        given: ``project``, ``repo``, and ``folder``.
        tray: The files.

    Raises:
        DataError: There is nothing to commit, or Pachyderm refuses the commit.
    """
    folder = need(given, "folder").strip("/")
    who = session.names.participant or getpass.getuser()
    return mldm.commit_files(
        session.pachyderm,
        need(given, "project"),
        need(given, "repo"),
        folder,
        tray.files,
        description=f"from the console, by {who}",
    )


def commit_command(given: Parameters) -> str:
    """The equal command of :func:`commit_files`."""
    place = f"{need(given, 'repo')}@master:/{need(given, 'folder').strip('/')}"
    return f"pachctl put file -r {shlex.quote(place)} -f <folder> --project {shlex.quote(need(given, 'project'))}"


# Jobs


def _stop_job(session: Session, given: Parameters) -> str:
    project, pipeline, id = need(given, "project"), need(given, "pipeline"), need(given, "job")
    job = mldm.job(session.pachyderm, project, pipeline, id)
    if job is None:
        raise NotFound("Pachyderm has no such job.", where=f"{project}/{pipeline}@{id}", fix="See the list of jobs.")
    if job.ended:
        raise UsageError(f"The job has ended already: {job.state}.", where=f"{project}/{pipeline}@{id}")
    with mldm.api_errors(f"{project}/{pipeline}@{id}", "Pachyderm doesn't stop the job", UsageError):
        session.pachyderm.stop_job(id, pipeline, reason="stopped in the console", project_name=project)
    return f"The job of {pipeline} is stopped."


def _job_page(given: Parameters) -> str:
    return "/jobs/" + "/".join(quote(given.get(name, ""), safe="") for name in ("project", "pipeline", "job"))


# Experiments


def _experiment(change: str, done: str) -> Callable[[Session, Parameters], str]:
    def run(session: Session, given: Parameters) -> str:
        id = number(given, "id")
        entry = mlde.inspect_experiment(session.determined, id)
        if entry.state in mlde.TERMINAL:
            raise UsageError(f"Experiment {id} has ended already: {entry.state}.", where=f"experiment {id}")
        with mlde.api_errors(f"experiment {id}", f"Determined doesn't {change} the experiment", UsageError):
            getattr(session.determined.get_experiment(id), change)()
        return f"Experiment {id} is {done}."

    return run


def _experiment_command(verb: str) -> Callable[[Session, Parameters], str]:
    return lambda session, given: f"det experiment {verb} {number(given, 'id')}"


def _experiment_page(given: Parameters) -> str:
    return f"/experiments/{number(given, 'id')}"


def _register(session: Session, given: Parameters) -> str:
    uuid, name = need(given, "checkpoint"), session.names.model
    model = mlde.need_model(session.determined, name)
    known = next((v for v in mlde.versions(model) if v.checkpoint and v.checkpoint.uuid == uuid), None)
    if known is not None:
        raise UsageError(
            f"The checkpoint is registered already, as version {known.model_version}.", where=f"model {name}"
        )
    with mlde.api_errors(f"checkpoint {uuid}", "Determined doesn't register the checkpoint", UsageError):
        version = model.register_version(uuid)
    return f"The checkpoint is version {version.model_version} of {name}. Only a deploy job can serve it."


# Services


def _name(given: Parameters) -> str:
    return serving.check_service_name(need(given, "service"))


def _service_page(given: Parameters) -> str:
    return f"/services/{quote(given.get('service', ''), safe='')}"


def _patch_command(session: Session, given: Parameters, kind: str, patch: Any) -> str:
    where = f"{_name(given)} -n {session.settings.kserve_model_namespace}"
    return f"kubectl patch inferenceservice {where} --type {kind} -p {shlex.quote(json.dumps(patch))}"


def _serve(session: Session, given: Parameters) -> str:
    serving.rollback(session.settings, _name(given), need(given, "version"))
    return "The service starts this version. The one before answers until it's ready."


def _model_of(session: Session, given: Parameters) -> dict[str, Any]:
    """The part of a service's spec that chooses a version of its history."""
    version = need(given, "version")
    record = next((r for r in serving.revisions(session.settings, _name(given)) if r["version"] == version), None)
    if record is None:
        raise NotFound("The service has never served this version.", where=version, fix="Deploy it first.")
    return {"model": {"storageUri": record.get("uri", "")}}


def _serve_command(session: Session, given: Parameters) -> str:
    return _patch_command(session, given, "merge", {"spec": {"predictor": _model_of(session, given)}})


def _percent(given: Parameters) -> int:
    return number(given, "percent", 20)


def _canary(session: Session, given: Parameters) -> str:
    percent = _percent(given)
    version = given.get("version", "")
    if version:
        serving.canary(session.settings, _name(given), version, percent)
    else:
        serving.set_canary(session.settings, _name(given), percent)
    return f"{percent}% of the requests go to the version, as soon as it's ready."


def _canary_command(session: Session, given: Parameters) -> str:
    model = _model_of(session, given) if given.get("version") else {}
    share = {"canaryTrafficPercent": _percent(given)}
    return _patch_command(session, given, "merge", {"spec": {"predictor": {**model, **share}}})


def _promote(session: Session, given: Parameters) -> str:
    serving.promote(session.settings, _name(given))
    return "The latest version gets all requests."


def _promote_command(session: Session, given: Parameters) -> str:
    patch = [{"op": "remove", "path": "/spec/predictor/canaryTrafficPercent"}]
    return _patch_command(session, given, "json", patch)


def _delete(session: Session, given: Parameters) -> str:
    name = _name(given)
    if not serving.delete(session.settings, name):
        raise NotFound("There is no such InferenceService.", where=name)
    return f"The service {name} is deleted. Its model versions stay in the registry."


ACTIONS: tuple[Action, ...] = (
    Action(
        "stop-job",
        "Stop this job",
        "Pachyderm ends the job and those that wait for its output. Its output commit stays empty.",
        lambda session, given: (
            f"pachctl stop job {need(given, 'pipeline')}@{need(given, 'job')} --project {need(given, 'project')}"
        ),
        _stop_job,
        _job_page,
    ),
    Action(
        "pause-experiment",
        "Pause",
        "The trials write a checkpoint and give back their slots.",
        _experiment_command("pause"),
        _experiment("pause", "paused"),
        _experiment_page,
    ),
    Action(
        "activate-experiment",
        "Activate",
        "The trials resume from their last checkpoint as soon as there are slots.",
        _experiment_command("activate"),
        _experiment("activate", "active"),
        _experiment_page,
    ),
    Action(
        "cancel-experiment",
        "Cancel",
        "The trials write a last checkpoint and end. The train job that waits for it fails.",
        _experiment_command("cancel"),
        _experiment("cancel", "being canceled"),
        _experiment_page,
    ),
    Action(
        "kill-experiment",
        "Kill",
        "The trials end at once, without a checkpoint. The train job that waits for it fails.",
        _experiment_command("kill"),
        _experiment("kill", "being killed"),
        _experiment_page,
    ),
    Action(
        "register",
        "Register",
        "The checkpoint becomes a version of the lab's model, without a commit's name.",
        lambda session, given: f"det model register-version {session.names.model} {need(given, 'checkpoint')}",
        _register,
        lambda given: "/models",
    ),
    Action(
        "serve",
        "Serve this version",
        "The service rolls forward or back to this version. The one before answers until it's ready.",
        _serve_command,
        _serve,
        _service_page,
    ),
    Action(
        "canary",
        "Give a share",
        "A part of the requests goes to the version. Knative needs two revisions for it.",
        _canary_command,
        _canary,
        _service_page,
        percent=True,
    ),
    Action(
        "promote",
        "Promote",
        "The latest version gets all requests.",
        _promote_command,
        _promote,
        _service_page,
    ),
    Action(
        "delete-service",
        "Delete the service",
        "The service and its pods go. The model versions and all data stay.",
        lambda session, given: (
            f"kubectl delete inferenceservice {_name(given)} -n {session.settings.kserve_model_namespace}"
        ),
        _delete,
        lambda given: "/services",
    ),
)
