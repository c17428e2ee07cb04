"""Experiments: curves, trials, hyperparameters, configuration, checkpoints, and logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from markupsafe import Markup

from pdk_nb.console.pages.page import PAGE_SIZE, Page, Parameters, number
from pdk_nb.display.diagrams import Drawing, Plot, Series, side_by_side
from pdk_nb.platforms import mlde
from pdk_shared.errors import UsageError

if TYPE_CHECKING:
    from pdk_nb.session import Session

LOG_LINES = 300
CHECKPOINTS = 50
#: Experiments that one plot can compare.
COMPARED = 8


def read_experiments(session: Session, parameters: Parameters) -> dict[str, Any]:
    """One page of all experiments, the newest first."""
    offset = number(parameters, "offset")
    found, total = mlde.list_experiments(session.determined, PAGE_SIZE, offset)
    return {
        "experiments": found,
        "project": (session.names.workspace, session.names.experiment_project),
        "total": total,
        "offset": offset,
        "number": PAGE_SIZE,
    }


def read_experiment(session: Session, parameters: Parameters) -> dict[str, Any]:
    """An experiment and its trials."""
    id = number(parameters, "id")
    client = session.determined
    experiment = mlde.inspect_experiment(client, id)
    trials = mlde.trials(client, experiment.id, experiment.metric)
    best = _best(trials, experiment.smaller_is_better)
    shown = best or (trials[0] if trials else None)
    return {
        "experiment": experiment,
        "project": (session.names.workspace, session.names.experiment_project),
        "outside": mlde.experiment_path(client, experiment.id),
        "trials": trials,
        "best": best,
        "hyperparameters": _varied(trials),
        "curves": _inline(_curves(session, experiment, trials, best)),
        "scatter": _inline(_scatter(experiment, trials, best)),
        "parallel": _inline(_parallel(experiment, trials, best)),
        "config": yaml.safe_dump(_without_secrets(experiment.config), sort_keys=False, allow_unicode=True),
        "checkpoints": mlde.checkpoints(client, experiment.id, CHECKPOINTS),
        "registered": _registered(session),
        "log": mlde.tail_logs(client, shown.id, LOG_LINES) if shown else [],
        "log_of": shown.id if shown else 0,
        "settled": experiment.ended > 0,
    }


def _registered(session: Session) -> set[str]:
    """The checkpoints that are versions of the lab's model: these have a journey."""
    model = mlde.find_model(session.determined, session.names.model)
    return {each.checkpoint.uuid for each in mlde.versions(model) if each.checkpoint} if model else set()


def signature(session: Session, parameters: Parameters) -> tuple[str, float]:
    """State and end of an experiment: what has ended doesn't change by itself."""
    experiment = mlde.inspect_experiment(session.determined, number(parameters, "id"))
    return experiment.state, experiment.ended


def read_comparison(session: Session, parameters: Parameters) -> dict[str, Any]:
    """The curves of several experiments on one axis."""
    found = _compared(session, parameters)
    series: list[Series] = []
    for each in found:
        trials = mlde.trials(session.determined, each.id, each.metric)
        best = _best(trials, each.smaller_is_better)
        if best is not None:
            series.append(Series(f"experiment {each.id}", best.points, "running" if each.ended == 0 else "other"))
    metrics = sorted({each.metric for each in found})
    return {
        "settled": all(each.ended > 0 for each in found),
        "experiments": found,
        "curves": _inline([Plot(series, "Best trial of each experiment", "batches", " / ".join(metrics))]),
    }


def comparison_signature(session: Session, parameters: Parameters) -> tuple[tuple[str, float], ...]:
    """States and ends of the compared experiments."""
    return tuple((each.state, each.ended) for each in _compared(session, parameters))


def _compared(session: Session, parameters: Parameters) -> list[mlde.ExperimentEntry]:
    wanted = [part.strip() for part in parameters.get("ids", "").split(",") if part.strip()]
    if not 2 <= len(wanted) <= COMPARED:
        raise UsageError(f"Name 2 to {COMPARED} experiments to compare.", where="ids", fix="For example: 1,2")
    ids = [number({"ids": each}, "ids") for each in wanted]
    return [mlde.inspect_experiment(session.determined, id) for id in ids]


def _inline(plots: Sequence[Plot] | Drawing) -> Markup:
    if isinstance(plots, Drawing):
        return Markup(plots.inline())
    return Markup(side_by_side(plots).inline()) if plots else Markup("")


def _best(trials: Sequence[mlde.Trial], smaller_is_better: bool) -> mlde.Trial | None:
    return next(iter(mlde.ranked(trials, smaller_is_better)), None)


def _style(trial: mlde.Trial, best: mlde.Trial | None) -> Any:
    if not trial.ended:
        return "running"
    return "best" if trial is best else "other"


def _curves(
    session: Session, experiment: mlde.ExperimentEntry, trials: Sequence[mlde.Trial], best: mlde.Trial | None
) -> list[Plot]:
    """The validation metric of all trials; of a single trial, its training loss beside it."""
    metric = [Series(f"trial {each.id}", each.points, _style(each, best)) for each in trials if each.points]
    plots = [Plot(metric, f"Validation {experiment.metric}", "batches", experiment.metric, from_zero=True)]
    if len(trials) == 1:
        reports = mlde.metrics(session.determined, trials[0].id, ("training",))
        points = [(each.batches, float(each.values["loss"])) for each in reports if _number(each.values.get("loss"))]
        if points:
            plots.insert(0, Plot([Series("training", points, "running")], "Training loss", "batches", "loss"))
    return [plot for plot in plots if any(each.points for each in plot.series)]


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _varied(trials: Sequence[mlde.Trial]) -> list[str]:
    """The hyperparameters that differ between trials; of one trial, those that are numbers or texts."""
    names = sorted({name for each in trials for name in each.hyperparameters})
    simple = [n for n in names if all(isinstance(t.hyperparameters.get(n), (int, float, str, bool)) for t in trials)]
    if len(trials) < 2:
        return simple
    return [name for name in simple if len({t.hyperparameters.get(name) for t in trials}) > 1]


def _scatter(experiment: mlde.ExperimentEntry, trials: Sequence[mlde.Trial], best: mlde.Trial | None) -> list[Plot]:
    """Each varied number against the metric: one point a trial."""
    if len(trials) < 2:
        return []
    plots = []
    for name in _varied(trials):
        values = [each.hyperparameters[name] for each in trials]
        if not all(_number(value) for value in values):
            continue
        points = [
            Series(f"trial {each.id}", [(float(each.hyperparameters[name]), value)], _style(each, best))
            for each in trials
            if (value := each.best(experiment.smaller_is_better)) is not None
        ]
        wide = min(values) > 0 and max(values) / min(values) >= 20
        plots.append(Plot(points, name, name, experiment.metric, log_x=wide))
    return plots[:4]


def _parallel(experiment: mlde.ExperimentEntry, trials: Sequence[mlde.Trial], best: mlde.Trial | None) -> list[Plot]:
    """Parallel coordinates: each varied hyperparameter and the metric on an axis of its own, scaled from 0 to 1."""
    axes = [name for name in _varied(trials) if all(_number(each.hyperparameters.get(name)) for each in trials)]
    judged = [each for each in trials if each.best(experiment.smaller_is_better) is not None]
    if len(judged) < 2 or not axes:
        return []
    columns: list[list[float]] = [[float(each.hyperparameters[name]) for each in judged] for name in axes]
    columns.append([float(each.best(experiment.smaller_is_better) or 0.0) for each in judged])
    scaled = [_scaled(column) for column in columns]
    series = [
        Series(f"trial {each.id}", [(place, column[row]) for place, column in enumerate(scaled)], _style(each, best))
        for row, each in enumerate(judged)
    ]
    order = ", ".join(f"{place} {name}" for place, name in enumerate([*axes, experiment.metric]))
    return [Plot(series, "Parallel coordinates", order, "smallest (0) to largest (1)")]


def _scaled(column: Sequence[float]) -> list[float]:
    low, high = min(column), max(column)
    return [(value - low) / (high - low) if high > low else 0.5 for value in column]


def _without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as the master masks it; a value below a key that names a secret is left out here, too."""
    return {
        key: "********"
        if _is_secret(key) and value and not isinstance(value, Mapping)
        else _without_secrets(value)
        if isinstance(value, Mapping)
        else value
        for key, value in config.items()
    }


def _is_secret(key: object) -> bool:
    low = str(key).lower()
    return any(word in low for word in ("token", "password", "secret", "access_key"))


PAGES = (
    Page("/experiments", "Experiments", "experiments.html", read_experiments, menu="Experiments"),
    Page("/experiments/{id}", "Experiment {id}", "experiment.html", read_experiment, signature=signature),
    Page("/compare", "Compare experiments", "compare.html", read_comparison, signature=comparison_signature),
)
