"""What the tables of a project's experiments and runs can show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.searching import experiment_row, runs_of
from pdk_stack.determined.core.filters import Row

EXPERIMENT_COLUMNS = (
    *("id NUMBER ID", "name TEXT Name", "description TEXT Description", "tags TEXT Tags", "forkedFrom NUMBER Forked"),
    *("startTime DATE Start time", "duration NUMBER Duration", "numTrials NUMBER Trial count", "state TEXT State"),
    *("searcherType TEXT Searcher", "resourcePool TEXT Resource pool", "progress NUMBER Progress"),
    *("checkpointSize NUMBER Checkpoint size", "checkpointCount NUMBER Checkpoints", "user TEXT User"),
    *("searcherMetric TEXT Searcher Metric", "searcherMetricsVal NUMBER Searcher Metric Value"),
    *("externalExperimentId TEXT External Experiment ID", "externalTrialId TEXT External Trial ID"),
    "archived UNSPECIFIED Archived",
)
RUN_COLUMNS = (
    *("id NUMBER Global Run ID", "experimentDescription TEXT Search Description", "tags TEXT Tags"),
    *("forkedFrom NUMBER Forked", "startTime DATE Start Time", "endTime DATE End Time", "duration NUMBER Duration"),
    *("state TEXT State", "searcherType TEXT Searcher", "resourcePool TEXT Resource Pool"),
    *("checkpointSize NUMBER Checkpoint Size", "checkpointCount NUMBER Checkpoints", "user TEXT User"),
    *("searcherMetric TEXT Searcher Metric", "searcherMetricsVal NUMBER Searcher Metric Value"),
    *("externalExperimentId TEXT External Experiment ID", "projectId NUMBER Project ID"),
    *("externalRunId TEXT External Run ID", "experimentProgress NUMBER Search Progress"),
    *("experimentId NUMBER Search ID", "experimentName TEXT Search Name", "isExpMultitrial UNSPECIFIED Part of Search"),
    *("parentArchived UNSPECIFIED Parent Archived", "localId TEXT Run ID", "archived UNSPECIFIED Archived"),
)
STATISTICS = ("last", "max", "mean", "min")
PREFIXES = {"avg_metrics": ("training", "TRAINING"), "validation_metrics": ("validation", "VALIDATIONS")}
TYPES = {"number": "NUMBER", "string": "TEXT", "boolean": "TEXT", "array": "ARRAY"}


def _column(column: str, kind: str, place: str, shown: str = "") -> dict[str, Any]:
    return {
        "column": column,
        "type": f"COLUMN_TYPE_{kind}",
        "location": f"LOCATION_TYPE_{place}",
        "displayName": shown,
    }


def _metric_columns(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the columns of all metrics; a metric of several types has none."""
    kinds: dict[tuple[str, str], set[str]] = {}
    for metrics in groups:
        for group, named in metrics.items():
            for name, summary in named.items():
                kinds.setdefault((group, name), set()).add(str(summary.get("type")))
    found = []
    for (group, name), types in sorted(kinds.items()):
        prefix, place = PREFIXES.get(group, (group, "CUSTOM_METRIC"))
        kind = TYPES.get(next(iter(types)), "UNSPECIFIED") if len(types) == 1 else "UNSPECIFIED"
        statistics = STATISTICS if kind == "NUMBER" else STATISTICS[:1]
        found += [_column(f"{prefix}.{name}.{statistic}", kind, place) for statistic in statistics]
    return found


def _leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict) and not isinstance(value.get("type"), str):
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _configured_kind(space: Any) -> str:
    if isinstance(space, dict) and space.get("type") in ("int", "double", "log"):
        return "NUMBER"
    if isinstance(space, dict) and space.get("type") == "const":
        value = space.get("val")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return "NUMBER"
        return "TEXT" if isinstance(value, str) else "UNSPECIFIED"
    return "UNSPECIFIED"


def _value_kind(value: Any) -> str:
    if isinstance(value, (bool, str)):
        return "TEXT"
    if isinstance(value, (int, float)):
        return "NUMBER"
    return "ARRAY" if isinstance(value, list) else "UNSPECIFIED"


@route("GET", "/api/v1/projects/{key}/columns")
def project_columns(request: Request, key: int) -> dict[str, Any]:
    """List what a project's table of experiments or runs can show."""
    rows = runs_of(request, key, None)
    if request.text("tableType") == "TABLE_TYPE_RUN":
        columns = [_column(*_split(each)[:2], "RUN", _split(each)[2]) for each in RUN_COLUMNS]
        columns += _metric_columns([dict(row.metrics) for row in rows])
        columns += _distinct(rows, lambda row: row.hparams, "hp.", "RUN_HYPERPARAMETERS", _value_kind)
        return {
            "columns": columns + _distinct(rows, lambda row: row.metadata, "metadata.", "RUN_METADATA", _value_kind)
        }
    columns = [_column(*_split(each)[:2], "EXPERIMENT", _split(each)[2]) for each in EXPERIMENT_COLUMNS]
    columns += _metric_columns([dict(row.metrics) for row in _best_rows(request, key)])
    return {"columns": columns + _distinct(rows, lambda row: row.space, "hp.", "HYPERPARAMETERS", _configured_kind)}


def _split(text: str) -> tuple[str, str, str]:
    column, kind, shown = text.split(" ", 2)
    return column, kind, shown


def _distinct(
    rows: list[Row], tree: Callable[[Row], Any], prefix: str, place: str, kind: Callable[[Any], str]
) -> list[dict[str, Any]]:
    found: dict[str, str] = {}
    for row in rows:
        for name, value in sorted(_leaves(dict(tree(row))).items()):
            found.setdefault(name, kind(value))
    return [_column(prefix + name, each, place) for name, each in found.items()]


def _best_rows(request: Request, project_id: int) -> list[Row]:
    """Return the experiments of a project that have a best trial."""
    rows = [experiment_row(request, each) for each in request.master.store.list("experiment", project_id)]
    return [row for row in rows if row.metrics]


@route("GET", "/api/v1/projects/{key}/experiments/metric-ranges")
def metric_ranges(request: Request, key: int) -> dict[str, Any]:
    """Return the range of each numeric metric over the best trials of a project."""
    request.master.workspaces.project(key)
    values: dict[str, list[float]] = {}
    for row in _best_rows(request, key):
        best = request.views.best_trial(row.item, request.master.experiments.trials(row.item["id"]))
        if best is not None:
            values.setdefault("searcherMetricsVal", []).append(best[1])
        for group, named in row.metrics.items():
            prefix = PREFIXES.get(group, (group, ""))[0]
            for name, summary in named.items():
                for statistic in STATISTICS if summary.get("type") == "number" else ():
                    if isinstance(summary.get(statistic), (int, float)):
                        values.setdefault(f"{prefix}.{name}.{statistic}", []).append(float(summary[statistic]))
    ranges = [{"metricsName": name, "min": min(each), "max": max(each)} for name, each in values.items()]
    return {"ranges": ranges}


@route("GET", "/api/v1/projects/{key}/metadata/{name}")
def metadata_values(request: Request, key: int, name: str) -> dict[str, Any]:
    """List the texts that a project's runs have at a path of their metadata."""
    found: set[str] = set()
    for row in runs_of(request, key, None):
        value: Any = row.metadata
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, str):
            found.add(value)
    return {"values": sorted(found)}
