"""Metrics over time, as the web interface's charts read them.

Sources: ``CompareTrials`` in ``api_trials.go``, and ``ExpMetricNames``, ``MetricBatches``, ``TrialsSnapshot`` and
``TrialsSample`` in ``api_experiment.go``, in ``master/internal`` of Determined 0.38.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pdk_stack.common.errors import Refusal
from pdk_stack.common.polling import poll
from pdk_stack.determined.api.routing import LOOK_SECONDS, Request, Stream, route
from pdk_stack.determined.api.views import optional
from pdk_stack.determined.core.experiments.catalogue import TERMINAL
from pdk_stack.determined.errors import invalid, not_found, plain
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.store.metrics import Report, number

POINTS = 200
SAMPLED_POINTS = 1000
SAMPLED_TRIALS = 25
WIDEST_MARGIN = 100
#: How often a stream of a running experiment looks for news, unless the client says so.
PERIOD_S = 30
ANY_STEPS = 2**31 - 1
LEGACY_GROUPS = {"METRIC_TYPE_TRAINING": "training", "METRIC_TYPE_VALIDATION": "validation"}
TYPES = {group: name for name, group in LEGACY_GROUPS.items()}
#: Searches whose trials are ranked by how long they trained.
BY_LENGTH = ("async_halving", "adaptive_asha")


def _group(request: Request) -> str:
    legacy, group = LEGACY_GROUPS.get(request.text("metricType"), ""), request.text("group")
    if legacy and group:
        raise invalid("cannot specify both legacy and new metric group")
    return legacy or group


def _point(report: Report, names: list[str]) -> dict[str, Any] | None:
    """Return what a report says about metrics as ``v1DataPoint``; None when it says nothing."""
    values = {name: report.averages[name] for name in names if report.averages.get(name) is not None}
    if not values:
        return None
    epoch = number(report.averages.get("epoch", report.averages.get("epochs")))
    point = {"batches": report.steps, "time": report.end_time, "values": values}
    return {**point, **optional(epoch=None if epoch is None else int(epoch))}


def _points(request: Request, trial_id: int, group: str, names: list[str], most: int) -> list[dict[str, Any]]:
    """Return a trial's points between the requested steps, and of many only evenly spread ones."""
    first, last = request.number("startBatches"), request.number("endBatches")
    found = [
        point
        for report in request.master.metrics.rows(trial_id, group)
        if first <= report.steps <= (last if last > 0 else ANY_STEPS) and (point := _point(report, names)) is not None
    ]
    return found if len(found) <= most else [found[index * len(found) // most] for index in range(most)]


def _wanted(request: Request) -> dict[str, list[str]]:
    """Return the requested metrics by group.

    Raises:
        Refusal: They are named in two ways, or an id has no group.
    """
    names, ids = request.all("metricNames"), request.all("metricIds")
    if names and ids:
        raise plain("error fetching time series of metrics cannot specify both metric ids and metric names")
    wanted: dict[str, list[str]] = {}
    if names:
        group = _group(request)
        wanted = {group: names} if group else {"training": names, "validation": names}
    for each in ids:
        group, dot, name = each.partition(".")
        if not dot or not group or not name:
            raise plain(f"failed sampling: error parsing metric id {each}: invalid metric identifier")
        wanted.setdefault(group, []).append(name)
    return wanted


@route("GET", "/api/v1/trials/time-series")
def compare_trials(request: Request) -> dict[str, Any]:
    """Return metrics of several trials over time."""
    if any(name.startswith("timeSeriesFilter") for name in request.query):
        raise plain("the embedded master's time series have no filter")
    wanted, experiments = _wanted(request), request.master.experiments
    most = request.number("maxDatapoints") or POINTS
    try:
        trials = [experiments.trial(int(key)) for key in request.all("trialIds")]
    except Refusal as error:
        raise not_found(f"failed validate permissions: rpc error: code = NotFound desc = {error.message}") from None
    return {
        "trials": [
            {
                "trial": _basic(request, trial),
                "metrics": [
                    {"group": group, "type": TYPES.get(group, "METRIC_TYPE_UNSPECIFIED"), "data": points}
                    for group, names in sorted(wanted.items())
                    if (points := _points(request, trial["id"], group, names, most))
                ],
            }
            for trial in trials
        ]
    }


def _basic(request: Request, trial: Document) -> dict[str, Any]:
    """Return a trial without what takes more than its own row to find (``get_trials_basic.sql``)."""
    unset: dict[str, Any] = {
        **dict.fromkeys(("bestCheckpoint", "bestValidation", "latestValidation", "summaryMetrics")),
        **dict.fromkeys(("checkpointCount", "totalBatchesProcessed", "wallClockTime", "searcherMetricValue"), 0),
        "taskId": "",
        "taskIds": [],
        "totalCheckpointSize": "0",
        "runnerState": "",
        "warmStartCheckpointUuid": "",
    }
    shown = {name: value for name, value in request.views.trial(trial).items() if name != "metadata"}
    return {**shown, **unset}


# -- streams ---------------------------------------------------------------------------------------------------------


def _until_the_end(request: Request, keys: list[int], news: Callable[[], dict[str, Any]]) -> Stream:
    """Send a message now, and again after each period until all experiments have ended."""
    experiments, period = request.master.experiments, request.number("periodSeconds") or PERIOD_S

    def ended() -> bool:
        return all(experiments.experiment(key)["state"] in TERMINAL for key in keys)

    def pages() -> Iterator[list[dict[str, Any]]]:
        while True:
            last = ended()
            yield [news()]
            if last or request.gone():
                return
            poll(request.gone, float(period), LOOK_SECONDS)

    return Stream(pages())


@route("GET", "/api/v1/experiments/metrics-stream/metric-names")
def metric_names(request: Request) -> Stream:
    """Stream the names of metrics that weren't sent yet."""
    keys = sorted({int(key) for key in request.all("ids")})
    if not keys:
        raise invalid("must specify at least one experiment id")
    experiments = request.master.experiments
    searched = list(dict.fromkeys(experiments.experiment(key)["config"]["searcher"]["metric"] for key in keys))
    sent: set[tuple[str, str]] = set()

    def news() -> dict[str, Any]:
        found: dict[tuple[str, str], None] = {}
        for key in keys:
            for trial in experiments.trials(key):
                for name, metrics in request.views.metric_groups(trial).items():
                    group = {"avg_metrics": "training", "validation_metrics": "validation"}.get(name, name)
                    found.update(dict.fromkeys((group, metric) for metric in metrics))
        new = sorted(set(found) - sent, key=lambda each: (each[0] != "validation", each))
        first, by_group = not sent, {group: [name for each, name in new if each == group] for group in TYPES}
        sent.update(new)
        return {
            "searcherMetrics": searched if first else [],
            "trainingMetrics": by_group["training"],
            "validationMetrics": by_group["validation"],
            "metricNames": [{"group": group, "name": name} for group, name in new],
        }

    return _until_the_end(request, keys, news)


def _metric(request: Request) -> tuple[str, str]:
    """Return the requested metric's group and name.

    Raises:
        Refusal: One is missing.
    """
    if not request.text("metricName"):
        raise invalid("must specify a metric name")
    group = _group(request)
    if not group:
        raise invalid("must specify a metric group")
    return group, request.text("metricName")


@route("GET", "/api/v1/experiments/{key}/metrics-stream/batches")
def metric_batches(request: Request, key: int) -> Stream:
    """Stream the steps at which a metric was reported and that weren't sent yet."""
    group, name = _metric(request)
    experiments, sent = request.master.experiments, set[int]()
    experiments.experiment(key)

    def news() -> dict[str, Any]:
        found = {
            report.steps
            for trial in experiments.trials(key)
            for report in request.master.metrics.rows(trial["id"], group)
            if report.averages.get(name) is not None
        }
        new = sorted(found - sent)
        sent.update(new)
        return {"batches": new}

    return _until_the_end(request, [key], news)


@route("GET", "/api/v1/experiments/{key}/metrics-stream/trials-snapshot")
def trials_snapshot(request: Request, key: int) -> Stream:
    """Stream a metric of all trials at a step."""
    group, name = _metric(request)
    steps, margin = request.number("batchesProcessed"), request.number("batchesMargin")
    if margin > WIDEST_MARGIN:
        raise invalid(f"margin must be <= {WIDEST_MARGIN}")
    experiments = request.master.experiments
    experiments.experiment(key)

    def news() -> dict[str, Any]:
        found = []
        for trial in experiments.trials(key):
            for report in request.master.metrics.rows(trial["id"], group):
                if abs(report.steps - steps) <= margin and (value := number(report.averages.get(name))) is not None:
                    shown = {"trialId": trial["id"], "hparams": trial["hparams"], "metric": value}
                    found.append({**shown, "batchesProcessed": report.steps})
        return {"trials": found}

    return _until_the_end(request, [key], news)


@route("GET", "/api/v1/experiments/{key}/metrics-stream/trials-sample")
def trials_sample(request: Request, key: int) -> Stream:
    """Stream a metric of the best trials of a search."""
    group, name = _metric(request)
    experiments, views = request.master.experiments, request.views
    searcher = experiments.experiment(key)["config"]["searcher"]
    if searcher["name"] == "single":
        raise plain("error determining top trials: single-trial experiments are not supported for trial sampling")
    most = request.number("maxTrials") or SAMPLED_TRIALS
    points = request.number("maxDatapoints") or SAMPLED_POINTS
    current: set[int] = set()

    def rank(trial: Document) -> tuple[int, bool, float]:
        value = views.searcher_value(trial)
        signed = 0.0 if value is None else value if searcher["smaller_is_better"] else -value
        length = views.trial(trial)["totalBatchesProcessed"] if searcher["name"] in BY_LENGTH else 0
        return -length, value is None, signed

    def news() -> dict[str, Any]:
        top = sorted(experiments.trials(key), key=rank)[:most]
        keys = {trial["id"] for trial in top}
        promoted, demoted = sorted(keys - current), sorted(current - keys)
        current.clear()
        current.update(keys)
        return {
            "trials": [
                {
                    "trialId": trial["id"],
                    "hparams": trial["hparams"],
                    "data": _points(request, trial["id"], group, [name], points),
                }
                for trial in top
            ],
            "promotedTrials": promoted,
            "demotedTrials": demoted,
        }

    return _until_the_end(request, [key], news)


# -- the first profiler, whose reports today's harness sends as metrics ----------------------------------------------


@route("GET", "/api/v1/trials/{key}/profiler/available_series")
def profiler_series(request: Request, key: int) -> Stream:
    """List the series of the first profiler, which nothing reports any more."""
    try:
        request.master.experiments.trial(key)
    except Refusal as error:
        raise not_found(
            f"1 error occurred:\n\t* failed to fetch batch: rpc error: code = NotFound desc = {error.message}\n\n"
        ) from None
    return Stream([[{"labels": []}]])


@route("GET", "/api/v1/trials/{key}/profiler/metrics")
def profiler_metrics(request: Request, key: int) -> Stream:
    """Return the reports of the first profiler, of which there are none."""
    request.master.experiments.trial(key)
    return Stream([])
