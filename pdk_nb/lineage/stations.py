"""The stations of a chain, each read from what its own step has written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pdk_nb.labels import LabelRule, split
from pdk_nb.lineage.chain import Link, Station
from pdk_nb.platforms import mlde, mldm, serving
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion

    from pdk_nb.session import Session

METADATA = "the model version's metadata, by the train stage"
ANNOTATIONS = "the service's annotations, by the deploy stage"


class Builder:
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


def add_data(session: Session, builder: Builder, id: str, lineage: Mapping[str, Any]) -> None:
    """The commit and its files, with how training divides them."""
    names = session.names
    project = str(lineage.get("project") or names.project)
    repo = str(lineage.get("repo") or names.data_repo)
    commit = str(lineage.get("commit") or id)
    reference = mldm.commit_of(project, repo, id=commit)
    classes = tuple(lineage.get("classes") or ())
    try:
        finished = mldm.commit_finished(session.pachyderm, reference)
        sizes = mldm.files(session.pachyderm, reference)
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


def add_training(
    session: Session, builder: Builder, id: str, lineage: Mapping[str, Any], version: ModelVersion | None
) -> None:
    """Job, experiment, code, checkpoint, and the version that training went on from."""
    names = session.names
    pipeline = str(lineage.get("pipeline") or names.train_pipeline)
    project = str(lineage.get("project") or names.project)
    job = mldm.job(session.pachyderm, project, pipeline, str(lineage.get("job") or id))
    builder.add(
        "train job",
        job.id if job else "",
        f"{pipeline}, {job.state.lower()} after {job.seconds:.0f} s" if job else "",
        {"pipeline": pipeline, "state": job.state, "seconds": round(job.seconds, 1)} if job else {},
        "" if job else f"Pachyderm has no job of {pipeline} with this id.",
    )
    builder.link("commit", "train job", "Pachyderm: commit and job have one id", "" if job else "There is no such job.")
    experiment = mlde.experiment_for_job(session.determined, id, pipeline)
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


def add_registry(
    builder: Builder,
    model: str,
    id: str,
    lineage: Mapping[str, Any],
    version: ModelVersion | None,
    notes: Mapping[str, Any],
    later: list[str],
) -> None:
    """The model version, and those that training went on to."""
    if version is None:
        number = str(notes.get("number") or "")
        lost = f"The registry has no version of {model} named {id[:12]}…"
        builder.add("model version", f"{model} {number}".strip(), "", dict(notes), lost)
        builder.link("checkpoint", "model version", "Determined's registry", lost)
        return
    facts = {"model": model, "number": version.model_version, "name": version.name, "classes": lineage.get("classes")}
    facts["went_on_as"] = later
    said = "" if lineage.get("commit") else "The version's metadata do not say where it comes from."
    note = ", ".join(lineage.get("classes") or ())
    note += f"; training went on from it to {', '.join(f'{each[:8]}…' for each in later)}" if later else ""
    builder.add("model version", f"{model} {version.model_version}", note, facts, said)
    builder.link("checkpoint", "model version", "Determined's registry, by the train stage")


def add_serving(
    session: Session,
    builder: Builder,
    id: str,
    service: str,
    status: serving.ServiceStatus | None,
    notes: Mapping[str, Any],
    checkpoint: str,
) -> None:
    """The deploy job and the service: whether it serves the version now, or has before."""
    names = session.names
    job = mldm.job(session.pachyderm, names.project, names.deploy_pipeline, id)
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
    given = status.annotations.get("pdk-lab/checkpoint", "") if now else str(notes.get("checkpoint") or "")
    lost = "" if now or before else f"{service} has no record of this version."
    if given and checkpoint and given != checkpoint:
        lost = f"{service} was given checkpoint {given}, the registry has {checkpoint}."
    builder.add("service", service, note, facts)
    builder.link("deploy job", "service", ANNOTATIONS, lost)
