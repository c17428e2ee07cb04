"""Reads a chain from the platforms, station by station, from what each step has written down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pdk_nb.lineage.chain import Chain
from pdk_nb.lineage.stations import Builder, add_data, add_registry, add_serving, add_training
from pdk_nb.platforms import mlde, mldm, serving
from pdk_shared.errors import DeploymentError, UsageError

if TYPE_CHECKING:
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session

SHORTEST_PREFIX = 6


def resolve(session: Session, wanted: str) -> str:
    """The commit's id behind an id of any station.

    Args:
        session: The session.
        wanted: A commit or version id (or its first letters, at least six), a checkpoint's uuid, a registry number.

    Raises:
        UsageError: Nothing, or more than one thing, has that id.
    """
    wanted = wanted.strip().lower()
    if re.fullmatch(r"[0-9a-f]{32}", wanted):
        return wanted
    names = session.names
    model = mlde.find_model(session.determined, names.model)
    versions = mlde.versions(model) if model is not None else []
    known = {str(each.name): each for each in versions}
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
        fix="Give a commit's or version's id, a checkpoint's uuid or a registry number; "
        f"versions are: {', '.join(sorted(known)) or 'none'}.",
    )


def trace(session: Session, id: str = "", *, service: str = "", prediction: Prediction | None = None) -> Chain:
    """The whole chain of one id.

    Args:
        session: The session.
        id: Where to start: an id as for :func:`resolve`. Back from the service's present model when empty.
        service: The service; the lab's own when empty.
        prediction: An answer: its own version is followed, whatever the service has been given since.

    Raises:
        UsageError: The id is not known.
        DeploymentError: There is no id, and no service either.
    """
    service = service or session.names.service
    status = _service(session, service)
    if prediction is not None:
        start = prediction.version
    elif id:
        start = resolve(session, id)
    else:
        start = status.version if status else ""
    if not start:
        raise DeploymentError(
            "The answer does not say which version gave it."
            if prediction is not None
            else f"There is no service {service} that says which model it serves.",
            where=service,
            fix="Ask for details (predictions with detail=True), or name an id.",
        )
    model = (
        (prediction.model if prediction is not None else "") or (status.model if status else "") or session.names.model
    )
    registered = mlde.find_model(session.determined, model)
    versions = mlde.versions(registered) if registered is not None else []
    version = next((each for each in versions if each.name == start), None)
    notes = _history(session, service, start)
    lineage: Mapping[str, Any] = dict(version.metadata or {}) if version is not None else {}
    builder = Builder()
    add_data(session, builder, start, lineage or notes)
    add_training(session, builder, start, lineage, version)
    later = [str(each.name) for each in versions if (each.metadata or {}).get("resumed_from") == start]
    add_registry(builder, model, start, lineage, version, notes, later)
    checkpoint = version.checkpoint.uuid if version is not None and version.checkpoint is not None else ""
    add_serving(session, builder, start, service, status, notes, checkpoint)
    if prediction is not None:
        score = f"{prediction.label} {prediction.score:.0%}" if prediction.label else str(prediction.index)
        builder.add("prediction", score, f"by version {prediction.version[:12]}…", prediction.as_dict())
        builder.link("service", "prediction", "the answer itself, by the model")
    return Chain(start, tuple(builder.stations), tuple(builder.links))


def _service(session: Session, name: str) -> serving.ServiceStatus | None:
    try:
        return serving.service_status(session.settings, name)
    except DeploymentError:
        return None


def _history(session: Session, service: str, version: str) -> dict[str, Any]:
    """What the service's history keeps of a version: the way back when the registry has lost it."""
    try:
        served = serving.revisions(session.settings, service)
    except DeploymentError:
        return {}
    return next((each for each in served if each["version"] == version), {})
