"""A journey as a lineage: from an answer back to the very pictures and code, and from a commit to what it became.

Every link was written down when the thing was made: by the train stage in the model version's metadata and the
experiment's labels, by the deploy stage in the service's annotations, by the model in each answer. Nothing is guessed:
where a link is missing, the lineage names it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pdk_nb.display.diagrams import Drawing, Edge, Graph, Node
from pdk_nb.display.tables import Table
from pdk_nb.journey import reading
from pdk_nb.journey.model import Journey, PipelineRun
from pdk_nb.labels import LabelRule, split

if TYPE_CHECKING:
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session

__all__ = ["Entry", "Lineage", "Link", "lineage", "trace"]

METADATA = "the model version's metadata, by the train stage"
ANNOTATIONS = "the service's annotations, by the deploy stage"
# From the data to the answer: kind of station, its place in the picture (column, row).
PLACES = {
    "files": (0, 0),
    "commit": (1, 0),
    "train job": (2, 0),
    "experiment": (3, 0),
    "checkpoint": (4, 0),
    "model version": (5, 0),
    "goes on from": (2, 1),
    "code": (3, 1),
    "deploy job": (5, 1),
    "service": (4, 1),
    "prediction": (4, 2),
}


@dataclass(frozen=True)
class Entry:
    """One station as the lineage tells it.

    Attributes:
        kind: What it is.
        id: Its id; empty when it is not known.
        note: A few words on it.
        facts: What is known of it, as plain data.
        missing: Why it is not there; empty when it is.
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
    """How two stations belong together.

    Attributes:
        start: Kind of the earlier station.
        end: Kind of the later one.
        written: Where that was written down, and by whom.
        missing: Why the link is not there; empty when it is.
    """

    start: str
    end: str
    written: str
    missing: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        missing = {"missing": self.missing} if self.missing else {}
        return {"from": self.start, "to": self.end, "written": self.written, **missing}


@dataclass(frozen=True)
class Lineage:
    """All stations and links of one id; a notebook shows it as a picture and a table.

    Attributes:
        id: The commit's id, which ties them.
        stations: From the data to the answer.
        links: Between them.
    """

    id: str
    stations: tuple[Entry, ...]
    links: tuple[Link, ...]

    @property
    def whole(self) -> bool:
        """Whether no link is missing."""
        return not self.missing

    @property
    def missing(self) -> list[str]:
        """What is missing, one sentence each."""
        reasons = [each.missing for each in self.stations] + [each.missing for each in self.links]
        return list(dict.fromkeys(each for each in reasons if each))

    def station(self, kind: str) -> Entry | None:
        """The station of a kind; None when the lineage has none.

        Args:
            kind: For example ``code``.
        """
        return next((each for each in self.stations if each.kind == kind), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "id": self.id,
            "whole": self.whole,
            "stations": [each.as_dict() for each in self.stations],
            "links": [each.as_dict() for each in self.links],
        }

    def graph(self) -> Graph:
        """The lineage as a graph."""
        nodes = [
            Node(
                each.kind,
                each.kind,
                _short(each.id) or "unknown",
                "missing" if each.missing else "done",
                each.note,
                *PLACES[each.kind],
            )
            for each in self.stations
        ]
        edges = [Edge(each.start, each.end, "missing" if each.missing else "done") for each in self.links]
        return Graph(nodes, edges, f"Lineage of {self.id[:12]}…")

    def draw(self) -> Drawing:
        """The lineage as SVG."""
        return self.graph().draw()

    def table(self) -> Table:
        """One row per station, from the answer back to the data."""
        rows = [
            (each.kind, each.id, each.missing or each.note, self._written(each.kind))
            for each in reversed(self.stations)
        ]
        return Table(("Station", "Id", "What is known", "Written down in"), rows)

    def _written(self, kind: str) -> str:
        """Where it stands how a station was made; for the first ones, where it stands what they were used for."""
        made = [each.written for each in self.links if each.end == kind]
        return "; ".join(dict.fromkeys(made or [each.written for each in self.links if each.start == kind]))

    def __str__(self) -> str:
        lines = [str(self.table())]
        lines += [f"[missing] {each}" for each in self.missing]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        picture = self.draw()._repr_mimebundle_()["text/html"]
        return f"{picture}{self.table()._repr_html_()}"


def trace(session: Session, id: str = "", *, service: str = "", prediction: Prediction | None = None) -> Lineage:
    """Read the lineage of one id from the platforms.

    Args:
        session: The session.
        id: An id as for :func:`pdk_nb.journey.reading.resolve`; the model that answers now when empty.
        service: The service; the lab's own when empty.
        prediction: An answer: its own version is followed, whatever the service has been given since.

    Raises:
        UsageError: The id is not known.
        DeploymentError: There is no id, and no service either.
    """
    return lineage(reading.trace(session, id, service=service, answer=prediction))


def lineage(journey: Journey) -> Lineage:
    """The lineage of a journey.

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
    entries, links = zip(*told, strict=True)
    return Lineage(journey.id, (_files(journey), *entries), links)


# Each function below tells one station, and the link that leads to or from it.
Told = tuple[Entry, Link]


def _files(journey: Journey) -> Entry:
    """The files, with how training divides them."""
    commit, classes = journey.commit, journey.provenance.classes
    if commit.lost:
        return Entry("files", "", missing=f"The files cannot be listed: {commit.lost}")
    sizes = commit.files or {}
    facts: dict[str, Any] = {"count": len(sizes), "bytes": sum(sizes.values()), "paths": sorted(sizes)}
    note = f"{len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB"
    if len(classes) >= 2:
        rule = LabelRule(classes)
        usable = [(path, label) for path in sizes if (label := rule.label(path)) is not None]
        learned, held = split(usable)
        counts = Counter(classes[label] for _, label in usable)
        facts |= {"by_class": dict(counts), "learned_from": len(learned), "held_out": len(held)}
        note += "; " + ", ".join(f"{counts[name]} {name}" for name in classes)
    return Entry("files", f"{len(sizes)} pictures", note, facts)


def _commit(journey: Journey) -> Told:
    commit = journey.commit
    facts: dict[str, Any] = {"project": commit.project, "repo": commit.repo}
    if commit.lost:
        link = Link("files", "commit", "Pachyderm", "The commit is not there.")
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
    lost = "There is no such job." if entry.missing else ""
    return entry, Link("commit", "train job", "Pachyderm: commit and job have one id", lost)


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


def _code(journey: Journey) -> Told:
    code = journey.provenance.code
    lost = "" if code.sha else "Nobody wrote down which code was used."
    note = (code.ref or "default branch") if code.sha else ""
    return Entry("code", code.sha, note, asdict(code) if code.sha else {}, lost), Link(
        "code", "experiment", METADATA, lost
    )


def _resumed(journey: Journey) -> list[Told]:
    """The version that training went on from; nothing after a full training."""
    name = journey.provenance.resumed_from
    entry = Entry("goes on from", name, "weights of an earlier version", {"version": name})
    return [(entry, Link("goes on from", "experiment", METADATA))] if name else []


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
    """The model version, and those that training went on to."""
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
        note += f"; training went on from it to {', '.join(f'{each[:8]}…' for each in found.continued_as)}"
    lost = "" if known.commit else "The version's metadata do not say where it comes from."
    entry = Entry("model version", f"{journey.model} {found.number}", note, facts, lost)
    return entry, Link("checkpoint", "model version", "Determined's registry, by the train stage")


def _deploy(journey: Journey) -> Told:
    entry = _job("deploy job", journey.deploy)
    written = "Pachyderm: model-info.yaml of the commit with this id"
    return entry, Link("model version", "deploy job", written, entry.missing)


def _service(journey: Journey) -> Told:
    """The service: whether it serves the version now, or has before."""
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
    note = "serves it now" if now else "served it before" if before else "has never served it"
    return Entry("service", service.name, note, facts), Link("deploy job", "service", ANNOTATIONS, lost)


def _prediction(journey: Journey) -> list[Told]:
    """The answer that is followed; nothing when it is no answer."""
    answer = journey.answer
    if answer is None:
        return []
    id = f"{answer.label} {answer.score:.0%}" if answer.label else str(answer.index)
    entry = Entry("prediction", id, f"by version {answer.version[:12]}…", answer.as_dict())
    return [(entry, Link("service", "prediction", "the answer itself, by the model"))]


def _short(id: str) -> str:
    """The beginning of a hash or uuid; the table below the picture has it whole."""
    return f"{id[:12]}…" if re.fullmatch(r"(sha256:)?[0-9a-f-]{20,}", id) else id
