"""Reads a chain from the platforms, station by station, from what each step has written down."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pdk_nb import mlde, mldm, serving
from pdk_nb.errors import DeploymentError, PdkError, UsageError
from pdk_nb.labels import LabelRule, split
from pdk_nb.lineage.chain import Chain, Link, Station

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion

    from pdk_nb.lab import Lab
    from pdk_nb.predictions import Prediction

METADATA = "the model version's metadata, by the train stage"
ANNOTATIONS = "the service's annotations, by the deploy stage"
SHORTEST_PREFIX = 6


def resolve(lab: Lab, wanted: str) -> str:
    """The commit's id behind an id of any station.

    Args:
        lab: The lab.
        wanted: A commit or version id (or its first letters, at least six), a checkpoint's uuid, a registry number.

    Raises:
        UsageError: Nothing, or more than one thing, has that id.
    """
    wanted = wanted.strip().lower()
    if re.fullmatch(r"[0-9a-f]{32}", wanted):
        return wanted
    names = lab.names
    model = mlde.find_model(lab.determined, names.model)
    versions = mlde.versions(model) if model is not None else []
    known = {str(each.name): each for each in versions}
    found = {
        name
        for name, each in known.items()
        if wanted == str(each.model_version) or (each.checkpoint is not None and wanted == each.checkpoint.uuid)
    }
    if len(wanted) >= SHORTEST_PREFIX:
        commits = mldm.commits(lab.pachyderm, names.project, names.data_repo)
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


def trace(lab: Lab, id: str = "", *, service: str = "", prediction: Prediction | None = None) -> Chain:
    """The whole chain of one id.

    Args:
        lab: The lab.
        id: Where to start: an id as for :func:`resolve`. Back from the service's present model when empty.
        service: The service; the lab's own when empty.
        prediction: An answer: its own version is followed, whatever the service has been given since.

    Raises:
        UsageError: The id is not known.
        DeploymentError: There is no id, and no service either.
    """
    service = service or lab.names.service
    status = _service(lab, service)
    if prediction is not None:
        start = prediction.version
    elif id:
        start = resolve(lab, id)
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
    model = (prediction.model if prediction is not None else "") or (status.model if status else "") or lab.names.model
    version = mlde.version_for_commit(lab.determined, model, start)
    notes = _history(lab, service, start)
    lineage: Mapping[str, Any] = dict(version.metadata or {}) if version is not None else {}
    builder = _Builder()
    _data(lab, builder, start, lineage or notes)
    _training(lab, builder, start, lineage, version)
    _registry(builder, model, start, lineage, version, notes)
    _serving(lab, builder, start, service, status, notes)
    if prediction is not None:
        score = f"{prediction.label} {prediction.score:.0%}" if prediction.label else str(prediction.index)
        builder.add("prediction", score, f"by version {prediction.version[:12]}…", prediction.as_dict())
        builder.link("service", "prediction", "the answer itself, by the model")
    return Chain(start, tuple(builder.stations), tuple(builder.links))


class _Builder:
    """Collects stations and links."""

    def __init__(self) -> None:
        self.stations: list[Station] = []
        self.links: list[Link] = []

    def add(
        self, kind: str, id: str, note: str = "", facts: Mapping[str, Any] | None = None, missing: str = ""
    ) -> None:
        self.stations.append(Station(kind, id, note, facts or {}, missing))

    def link(self, start: str, end: str, written: str, missing: str = "") -> None:
        self.links.append(Link(start, end, written, missing))


def _service(lab: Lab, name: str) -> serving.ServiceStatus | None:
    try:
        return serving.service_status(lab.settings, name)
    except DeploymentError:
        return None


def _history(lab: Lab, service: str, version: str) -> dict[str, Any]:
    """What the service's history keeps of a version: the way back when the registry has lost it."""
    try:
        served = serving.revisions(lab.settings, service)
    except DeploymentError:
        return {}
    return next((each for each in served if each["version"] == version), {})


def _data(lab: Lab, builder: _Builder, id: str, lineage: Mapping[str, Any]) -> None:
    names = lab.names
    project = str(lineage.get("project") or names.project)
    repo = str(lineage.get("repo") or names.data_repo)
    commit = str(lineage.get("commit") or id)
    reference = mldm.commit_of(project, repo, id=commit)
    classes = tuple(lineage.get("classes") or ())
    try:
        finished = mldm.commit_finished(lab.pachyderm, reference)
        sizes = mldm.files(lab.pachyderm, reference)
    except PdkError as error:
        builder.add("files", "", missing=f"The files cannot be listed: {error.what}")
        builder.add("commit", commit, f"{project}/{repo}", {"project": project, "repo": repo}, error.what)
        builder.link("files", "commit", "Pachyderm", "The commit is not there.")
        return
    facts: dict[str, Any] = {"count": len(sizes), "bytes": sum(sizes.values()), "paths": sorted(sizes)}
    note = f"{len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB"
    if len(classes) >= 2:
        rule = LabelRule(classes)
        usable = [(path, label) for path in sizes if (label := rule.label(path)) is not None]
        learned, held = split(usable)
        counts = Counter(classes[label] for _, label in usable)
        facts |= {"by_class": dict(counts), "learned_from": len(learned), "held_out": len(held)}
        note += "; " + ", ".join(f"{counts[name]} {name}" for name in classes)
    builder.add("files", f"{len(sizes)} pictures", note, facts)
    builder.add("commit", commit, f"{project}/{repo}", {"project": project, "repo": repo, "finished": finished})
    builder.link("files", "commit", "Pachyderm: a commit never changes")


def _training(lab: Lab, builder: _Builder, id: str, lineage: Mapping[str, Any], version: ModelVersion | None) -> None:
    names = lab.names
    pipeline = str(lineage.get("pipeline") or names.train_pipeline)
    project = str(lineage.get("project") or names.project)
    job = mldm.job(lab.pachyderm, project, pipeline, str(lineage.get("job") or id))
    builder.add(
        "train job",
        job.id if job else "",
        f"{pipeline}, {job.state.lower()} after {job.seconds:.0f} s" if job else "",
        {"pipeline": pipeline, "state": job.state, "seconds": round(job.seconds, 1)} if job else {},
        "" if job else f"Pachyderm has no job of {pipeline} with this id.",
    )
    builder.link("commit", "train job", "Pachyderm: commit and job have one id", "" if job else "There is no such job.")
    experiment = mlde.experiment_for_job(lab.determined, id, pipeline)
    number = experiment.id if experiment is not None else 0
    claimed = int(lineage.get("experiment") or 0)
    lost = "" if number else "Determined has no experiment with this job's label."
    facts: dict[str, Any] = {}
    if experiment is not None:
        facts = _configuration(experiment.config or {})
    builder.add(
        "experiment",
        str(number or claimed or ""),
        f"{facts.get('net', {}).get('model', '')}, trial {lineage.get('trial', '?')}".lstrip(", ") if facts else "",
        {**facts, "trial": lineage.get("trial")},
        lost,
    )
    builder.link("train job", "experiment", "the experiment's labels, by the train stage", lost)
    code = lineage.get("code") or {}
    sha = str(code.get("sha") or "")
    lost = "" if sha else "Nobody wrote down which code was used."
    builder.add("code", sha, str(code.get("ref") or "default branch") if sha else "", dict(code), lost)
    builder.link("code", "experiment", METADATA, lost)
    resumed = str(lineage.get("resumed_from") or "")
    if resumed:
        builder.add("goes on from", resumed, "weights of an earlier version", {"version": resumed})
        builder.link("goes on from", "experiment", METADATA)
    uuid = version.checkpoint.uuid if version is not None and version.checkpoint is not None else ""
    of = getattr(version.checkpoint.training, "experiment_id", 0) if uuid and version and version.checkpoint else 0
    lost = "" if uuid else "The registry has no checkpoint for this version."
    if uuid and number and of and of != number:
        lost = f"The checkpoint belongs to experiment {of}, not {number}."
    metric = lineage.get("metric") or {}
    note = f"{metric['name']} {float(metric['value']):.3f}" if metric else ""
    builder.add("checkpoint", uuid, note, {"metric": metric or None}, lost if not uuid else "")
    builder.link("experiment", "checkpoint", "Determined: the checkpoint's own record", lost)


def _configuration(config: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an experiment's configuration that decide what is learned; no addresses and no secrets."""
    searcher = config.get("searcher") or {}
    parameters = {
        key: value.get("val") if isinstance(value, Mapping) and "val" in value else value
        for key, value in (config.get("hyperparameters") or {}).items()
    }
    return {
        "name": config.get("name"),
        "net": {key: parameters[key] for key in ("model", "image_size", "width") if key in parameters},
        "hyperparameters": parameters,
        "max_length": searcher.get("max_length"),
        "seed": (config.get("reproducibility") or {}).get("experiment_seed"),
        "classes": (config.get("data") or {}).get("classes"),
        "labels": config.get("labels"),
    }


def _registry(
    builder: _Builder,
    model: str,
    id: str,
    lineage: Mapping[str, Any],
    version: ModelVersion | None,
    notes: Mapping[str, Any],
) -> None:
    if version is None:
        number = str(notes.get("number") or "")
        lost = f"The registry has no version of {model} named {id[:12]}…"
        builder.add("model version", f"{model} {number}".strip(), "", dict(notes), lost)
        builder.link("checkpoint", "model version", "Determined's registry", lost)
        return
    facts = {"model": model, "number": version.model_version, "name": version.name, "classes": lineage.get("classes")}
    said = "" if lineage.get("commit") else "The version's metadata do not say where it comes from."
    note = ", ".join(lineage.get("classes") or ())
    builder.add("model version", f"{model} {version.model_version}", note, facts, said)
    builder.link("checkpoint", "model version", "Determined's registry, by the train stage")


def _serving(
    lab: Lab,
    builder: _Builder,
    id: str,
    service: str,
    status: serving.ServiceStatus | None,
    notes: Mapping[str, Any],
) -> None:
    names = lab.names
    job = mldm.job(lab.pachyderm, names.project, names.deploy_pipeline, id)
    lost = "" if job else f"Pachyderm has no job of {names.deploy_pipeline} with this id."
    builder.add(
        "deploy job",
        job.id if job else "",
        f"{names.deploy_pipeline}, {job.state.lower()} after {job.seconds:.0f} s" if job else "",
        {"pipeline": names.deploy_pipeline, "state": job.state, "seconds": round(job.seconds, 1)} if job else {},
        lost,
    )
    builder.link("model version", "deploy job", "Pachyderm: model-info.yaml of the commit with this id", lost)
    if status is None:
        builder.add("service", service, "", {}, f"There is no service {service}.")
        builder.link("deploy job", "service", ANNOTATIONS, f"There is no service {service}.")
        return
    now = status.version == id
    before = bool(notes) and not now
    note = "serves it now" if now else "served it before" if before else "has never served it"
    facts = {
        "url": status.url,
        "serves_now": now,
        "served_before": before,
        "storage_uri": status.storage_uri if now else notes.get("uri", ""),
        "revision": status.latest_ready if now else "",
    }
    lost = "" if now or before else f"{service} has no record of this version."
    builder.add("service", service, note, facts)
    builder.link("deploy job", "service", ANNOTATIONS, lost)
