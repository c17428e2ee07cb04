"""The facts about each station, and the record that links it to the previous one.

Each link was recorded when its station was created: by the train stage in the model version's metadata and the
experiment's labels, by the deploy stage in the service's annotations, and by the model in each answer. Nothing is
guessed: if a link is missing, the evidence says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pdk_nb.counting import counted
from pdk_nb.journey.model import Journey, PipelineRun
from pdk_nb.labels import LabelRule, split

__all__ = ["Entry", "Link", "evidence"]

METADATA = "the model version's metadata, by the train stage"
ANNOTATIONS = "the service's annotations, by the deploy stage"


@dataclass(frozen=True)
class Entry:
    """One station of a lineage.

    Attributes:
        kind: The station's kind.
        id: Its id; empty when unknown.
        note: A short description.
        facts: Its facts, as plain data.
        missing: Why it's missing; empty when it exists.
    """

    kind: str
    id: str
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        missing = {"missing": self.missing} if self.missing else {}
        return {"kind": self.kind, "id": self.id, **self.facts, **missing}


@dataclass(frozen=True)
class Link:
    """The link between two stations.

    Attributes:
        start: Kind of the earlier station.
        end: Kind of the later one.
        written: Where the link is recorded, and by which program.
        missing: Why the link is missing; empty when it exists.
    """

    start: str
    end: str
    written: str
    missing: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        missing = {"missing": self.missing} if self.missing else {}
        return {"from": self.start, "to": self.end, "written": self.written, **missing}


# One station, and the link that leads to it or from it.
Told = tuple[Entry, Link]


def evidence(journey: Journey) -> tuple[tuple[Entry, ...], tuple[Link, ...]]:
    """All stations of a journey, from the data to the answer, and the links between them.

    Args:
        journey: A journey that was read with its files.
    """
    told = [
        _commit(journey),
        _train(journey),
        _experiment(journey),
        _code(journey),
        *_resumed(journey),
        _checkpoint(journey),
        _version(journey),
        _deploy(journey),
        _service(journey),
        *_prediction(journey),
    ]
    return (_files(journey), *(entry for entry, _ in told)), tuple(link for _, link in told)


def _files(journey: Journey) -> Entry:
    """The files, and how training splits them."""
    commit, classes = journey.commit, journey.provenance.classes
    if commit.lost:
        return Entry("files", "", missing=f"Can't list the files: {commit.lost}")
    sizes = commit.files or {}
    facts: dict[str, Any] = {"count": len(sizes), "bytes": sum(sizes.values()), "paths": sorted(sizes)}
    title = counted(len(sizes), "file")
    note = f"{title}, {sum(sizes.values()) / 1e6:.1f} MB"
    rule = LabelRule(classes) if len(classes) >= 2 else None
    usable = [(path, label) for path in sizes if rule is not None and (label := rule.label(path)) is not None]
    # Other data, such as tables, have their classes inside the files.
    if usable:
        title = counted(len(sizes), "picture")
        learned, held = split(usable)
        counts = Counter(classes[label] for _, label in usable)
        facts |= {"by_class": dict(counts), "learned_from": len(learned), "held_out": len(held)}
        note += "; " + ", ".join(f"{counts[name]} {name}" for name in classes)
    return Entry("files", title, note, facts)


def _commit(journey: Journey) -> Told:
    commit = journey.commit
    facts: dict[str, Any] = {"project": commit.project, "repo": commit.repo}
    if commit.lost:
        link = Link("files", "commit", "Pachyderm", "The commit doesn't exist.")
    else:
        facts["finished"] = commit.finished
        link = Link("files", "commit", "Pachyderm: a commit never changes")
    return Entry("commit", commit.id, f"{commit.project}/{commit.repo}", facts, commit.lost), link


def _job(kind: str, run: PipelineRun) -> Entry:
    job = run.job
    if job is None:
        return Entry(kind, "", missing=f"Pachyderm has no job of {run.pipeline} with this id.")
    facts = {"pipeline": run.pipeline, "state": job.state, "seconds": round(job.seconds, 1)}
    return Entry(kind, job.id, f"{run.pipeline}, {job.state.lower()} after {job.seconds:.0f} s", facts)


def _train(journey: Journey) -> Told:
    entry = _job("train job", journey.train)
    lost = "The job doesn't exist." if entry.missing else ""
    return entry, Link("commit", "train job", "Pachyderm: commit and job have the same id", lost)


def _experiment(journey: Journey) -> Told:
    found, known = journey.experiment, journey.provenance
    lost = "" if found else "Determined has no experiment with this job's label."
    facts = _configuration(found.config) if found else {}
    note = ""
    if found:
        note = f"{facts['net'].get('model', '')}, trial {'?' if known.trial is None else known.trial}".lstrip(", ")
    number = found.id if found else known.experiment
    entry = Entry("experiment", str(number or ""), note, {**facts, "trial": known.trial}, lost)
    return entry, Link("train job", "experiment", "the experiment's labels, by the train stage", lost)


def _configuration(config: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an experiment's configuration that affect training, without addresses and secrets."""
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


def _code(journey: Journey) -> Told:
    code = journey.provenance.code
    lost = "" if code.sha else "There is no record of the code."
    note = (code.ref or "default branch") if code.sha else ""
    return Entry("code", code.sha, note, asdict(code) if code.sha else {}, lost), Link(
        "code", "experiment", METADATA, lost
    )


def _resumed(journey: Journey) -> list[Told]:
    """The version that training resumed from; nothing after a full training."""
    name = journey.provenance.resumed_from
    entry = Entry("continues from", name, "weights of an earlier version", {"version": name})
    return [(entry, Link("continues from", "experiment", METADATA))] if name else []


def _checkpoint(journey: Journey) -> Told:
    found, metric = journey.checkpoint, journey.provenance.metric
    missing = "" if found else "The registry has no checkpoint for this version."
    lost = missing
    number = journey.experiment.id if journey.experiment else 0
    if found and number and found.experiment and found.experiment != number:
        lost = f"The checkpoint belongs to experiment {found.experiment}, not {number}."
    facts = {"metric": asdict(metric) if metric else None}
    entry = Entry("checkpoint", found.uuid if found else "", str(metric or ""), facts, missing)
    return entry, Link("experiment", "checkpoint", "Determined: the checkpoint's own record", lost)


def _version(journey: Journey) -> Told:
    """The model version, and the versions that resumed from it."""
    found, known = journey.version, journey.provenance
    if found is None:
        record = journey.service.record
        lost = f"The registry has no version of {journey.model} named {journey.id[:12]}…"
        id = f"{journey.model} {record.get('number') or ''}".strip()
        return Entry("model version", id, "", dict(record), lost), Link(
            "checkpoint", "model version", "Determined's registry", lost
        )
    facts = {
        "model": journey.model,
        "number": found.number,
        "name": found.name,
        "classes": list(known.classes) or None,
        "went_on_as": list(found.continued_as),
    }
    note = ", ".join(known.classes)
    if found.continued_as:
        note += f"; training resumed from it for {', '.join(f'{each[:8]}…' for each in found.continued_as)}"
    lost = "" if known.commit else "The version's metadata doesn't name its origin."
    entry = Entry("model version", f"{journey.model} {found.number}", note, facts, lost)
    return entry, Link("checkpoint", "model version", "Determined's registry, by the train stage")


def _deploy(journey: Journey) -> Told:
    entry = _job("deploy job", journey.deploy)
    written = "Pachyderm: model-info.yaml of the commit with this id"
    return entry, Link("model version", "deploy job", written, entry.missing)


def _service(journey: Journey) -> Told:
    """The service: whether it serves the version now or served it before."""
    service, status = journey.service, journey.service.status
    if status is None:
        lost = f"There is no service {service.name}."
        return Entry("service", service.name, missing=lost), Link("deploy job", "service", ANNOTATIONS, lost)
    now = service.has(journey.id)
    before = bool(service.record) and not now
    facts = {
        "url": status.url,
        "serves_now": now,
        "served_before": before,
        "storage_uri": status.storage_uri if now else service.record.get("uri", ""),
        "revision": status.latest_ready if now else "",
    }
    given = status.annotations.get("pdk-lab/checkpoint", "") if now else str(service.record.get("checkpoint") or "")
    registered = journey.checkpoint.uuid if journey.checkpoint else ""
    lost = "" if now or before else f"{service.name} has no record of this version."
    if given and registered and given != registered:
        lost = f"{service.name} was given checkpoint {given}, the registry has {registered}."
    note = "serves it now" if now else "served it before" if before else "never served it"
    return Entry("service", service.name, note, facts), Link("deploy job", "service", ANNOTATIONS, lost)


def _prediction(journey: Journey) -> list[Told]:
    """The answer that is traced; nothing without one."""
    answer = journey.answer
    if answer is None:
        return []
    id = f"{answer.label} {answer.score:.0%}" if answer.label else str(answer.index)
    entry = Entry("prediction", id, f"by version {answer.version[:12]}…", answer.as_dict())
    return [(entry, Link("service", "prediction", "the answer itself, by the model"))]
