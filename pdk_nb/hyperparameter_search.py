"""A hyperparameter search in Determined: the newest training again, many times, each with another learning rate.

The search takes the code and the configuration of the experiment that the train pipeline ran for the newest commit, and
replaces the searcher and one hyperparameter. Its trials learn from the same commit, from scratch.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb import tasks
from pdk_nb.platforms import mlde
from pdk_nb.platforms.waiting import wait
from pdk_nb.stages import experiment
from pdk_nb.standalone_experiment import LEARNING_RATE
from pdk_nb.tasks.stage_task import StageTask
from pdk_shared.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from determined.common.experimental.experiment import Experiment
    from determined.common.experimental.model import ModelVersion

    from pdk_nb.session import Session

__all__ = [
    "METHODS",
    "VARIED",
    "Search",
    "configuration",
    "newest",
    "read",
    "register",
    "start",
    "version_of",
    "wait_search",
]

METHODS = ("random", "grid", "adaptive_asha")
#: The hyperparameter that the search varies.
VARIED = "learning_rate"
# With several learning rates, all pictures of the hold-out are right; the loss distinguishes them.
METRIC, SMALLER_IS_BETTER = "loss", True
# Trials at the same time; each takes its slots.
CONCURRENT = 2
# adaptive_asha: the best third of the trials gets past the first rung, at a third of the full length.
DIVISOR, RUNGS = 3, 2
# Validations of a trial that trains to the end.
VALIDATIONS = 6
LOOK_S = 1.0
# Of the old configuration: what the new one replaces, and the storage, whose credentials the master masks.
REPLACED = frozenset({"checkpoint_storage", "description", "labels", "name", "searcher"})


@dataclass(frozen=True)
class Search:
    """A search at one moment.

    Attributes:
        id: The experiment.
        state: Its state.
        fraction: How much is done, 0 to 1.
        config: Its configuration.
        trials: Its trials, the oldest first.
        seconds: How long it took; 0 while it runs.
    """

    id: int
    state: str
    fraction: float
    config: Mapping[str, Any]
    trials: tuple[mlde.Trial, ...] = ()
    seconds: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether the experiment has ended, whatever its end."""
        return self.state in mlde.TERMINAL

    @property
    def method(self) -> str:
        """The searcher's name."""
        return str(self.config["searcher"]["name"])

    @property
    def metric(self) -> str:
        """The metric that decides."""
        return str(self.config["searcher"]["metric"])

    @property
    def smaller_is_better(self) -> bool:
        """Which of two values of the metric is better."""
        return bool(self.config["searcher"].get("smaller_is_better", True))

    @property
    def length(self) -> int:
        """Batches of a trial that trains to the end."""
        return int(self.config["searcher"]["max_length"]["batches"])

    @property
    def commit(self) -> str:
        """The commit that its trials learn from."""
        return str(self.config["data"]["pachyderm"]["branch"])

    def best_of(self, trial: mlde.Trial) -> float | None:
        """A trial's best value of the metric so far; None before its first validation."""
        return trial.best(self.smaller_is_better)

    @property
    def ranked(self) -> list[mlde.Trial]:
        """The trials with a validation, the best first."""
        return mlde.ranked(self.trials, self.smaller_is_better)

    @property
    def best(self) -> mlde.Trial | None:
        """The best trial so far; None before the first validation."""
        return next(iter(self.ranked), None)

    def stopped_early(self, trial: mlde.Trial) -> bool:
        """Whether a trial has ended before its full length."""
        return trial.ended and trial.batches < self.length


def configuration(
    trained: Mapping[str, Any], method: str, trials: int, batches: int, *, label: str, repo: str, token: str = ""
) -> dict[str, Any]:
    """The configuration of a search, from that of the training.

    Args:
        trained: Configuration of the train pipeline's experiment, as the master has it.
        method: One of :data:`METHODS`.
        trials: Number of trials.
        batches: Batches of a trial that trains to the end.
        label: Label of the lab's searches.
        repo: The data repo, another label.
        token: Pachyderm token for the trials; the master shows only a mask of the old one.

    Raises:
        UsageError: There is no such method, or a number is too small.
    """
    if method not in METHODS:
        raise UsageError(
            f"There is no searcher '{method}' here.", where="searcher", fix=f"Use one of: {', '.join(METHODS)}"
        )
    if trials < 2 or batches < VALIDATIONS:
        raise UsageError(
            f"{trials} trials of {batches} batches are no search.",
            fix=f"Use at least 2 trials of {VALIDATIONS} batches.",
        )
    kept = {key: value for key, value in trained.items() if key not in REPLACED and value is not None}
    source = trained["data"]["pachyderm"]
    place = {key: str(source[key]) for key in ("host", "port", "project", "repo", "branch")}
    block = experiment.PachydermBlock(**place, token=token)
    pool = str((trained.get("resources") or {}).get("resource_pool") or "")
    low, high = LEARNING_RATE
    values: dict[str, Any] = {"type": "log", "base": 10, "minval": low, "maxval": high}
    if method == "grid":
        values["count"] = trials
    config = experiment.fill(kept, block, labels=[repo, label], pool=pool)
    config["hyperparameters"] = {**trained["hyperparameters"], VARIED: values}
    return config | {
        "name": f"{trained['name']}-search",
        "description": f"Search over the {VARIED} for commit {block.branch}",
        "searcher": _searcher(method, trials, batches),
        "min_validation_period": {"batches": max(1, batches // VALIDATIONS)},
        "scheduling_unit": max(1, min(10, batches // VALIDATIONS)),
    }


def _searcher(method: str, trials: int, batches: int) -> dict[str, Any]:
    """The section that decides how many trials there are, and how long each of them trains."""
    section: dict[str, Any] = {
        "name": method,
        "metric": METRIC,
        "smaller_is_better": SMALLER_IS_BETTER,
        "max_length": {"batches": batches},
        "max_concurrent_trials": CONCURRENT,
    }
    if method != "grid":
        section["max_trials"] = trials
    if method == "adaptive_asha":
        section |= {"mode": "aggressive", "divisor": DIVISOR, "max_rungs": RUNGS}
        # Release 0.38 asks for the length again, in the unit that the trials report.
        section |= {"time_metric": "batches", "max_time": batches}
    return section


def start(session: Session, trained: Experiment, method: str, trials: int, batches: int) -> tuple[int, bool]:
    """Start a search, unless the newest one is the same and hasn't failed.

    Args:
        session: The session.
        trained: The train pipeline's experiment of the newest commit: its code and configuration are used.
        method: One of :data:`METHODS`.
        trials: Number of trials.
        batches: Batches of a trial that trains to the end.

    Returns:
        The experiment's id, and whether it is a new one.

    Raises:
        UsageError: There is no such method, or a number is too small.
        TrainingError: Determined refuses the experiment.
    """
    names, client = session.names, session.determined
    config = configuration(
        dict(trained.config or {}),
        method,
        trials,
        batches,
        label=names.search_pipeline,
        repo=names.data_repo,
        token=session.settings.pac_token.reveal(),
    )
    known = newest(session)
    if known is not None and known.state not in ("ERROR", "CANCELED") and _same(known.config, config):
        return known.id, False
    with tempfile.TemporaryDirectory(prefix="pdk-search-") as scratch:
        folder = Path(scratch) / "code"
        with (
            mlde.api_errors(f"experiment {trained.id}", "Determined doesn't give the code", TrainingError),
            # The client prints where it puts the file.
            contextlib.redirect_stdout(io.StringIO()),
        ):
            packed = trained.download_code(scratch)
        with tarfile.open(packed) as archive:
            if hasattr(tarfile, "data_filter"):
                archive.extractall(folder, filter="data")
            else:  # Python 3.11.0 to 3.11.3; the master made the archive
                archive.extractall(folder)
        return mlde.create_experiment(client, config, folder).id, True


def _same(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two searches do the same: the master adds defaults to what was asked for."""
    searcher = known["searcher"]
    return (
        all(searcher.get(key) == value for key, value in wanted["searcher"].items())
        and known["hyperparameters"][VARIED].get("count") == wanted["hyperparameters"][VARIED].get("count")
        and known["data"]["pachyderm"]["branch"] == wanted["data"]["pachyderm"]["branch"]
    )


def newest(session: Session) -> Search | None:
    """The newest search of the lab; None while there is none.

    Args:
        session: The session.
    """
    wanted = {session.names.data_repo, session.names.search_pipeline}
    with mlde.api_errors():
        found = session.determined.list_experiments(labels=sorted(wanted))
    ours = [each.id for each in found if wanted <= set(each.labels or ())]
    return read(session, max(ours)) if ours else None


def read(session: Session, id: int) -> Search:
    """A search with its trials and their curves so far.

    Args:
        session: The session.
        id: The experiment.
    """
    client = session.determined
    now = mlde.progress(client, id)
    with mlde.api_errors(f"experiment {id}"):
        config = dict(client.get_experiment(id).config or {})
    found = mlde.trials(client, id, str(config["searcher"]["metric"]))
    seconds = max(0.0, now.ended - now.started)
    return Search(id, now.state, now.fraction, config, tuple(found), seconds)


def wait_search(session: Session, id: int, timeout: float, progress: Callable[[Search], object]) -> Search:
    """Wait until a search is complete.

    Args:
        session: The session.
        id: The experiment.
        timeout: Seconds to wait.
        progress: Called at every look.

    Raises:
        TrainingError: It failed, or didn't end in time.
    """

    def late(now: Search) -> TrainingError:
        return TrainingError(
            f"Experiment {id} didn't end within {timeout:.0f} s; it is {now.state}.",
            fix=f"Run the cell again to continue waiting, or stop it: det experiment cancel {id}",
        )

    found = wait(
        lambda: read(session, id),
        lambda now: now.finished,
        timeout=timeout,
        reason=late,
        interval=LOOK_S,
        progress=progress,
    )
    if found.state != "COMPLETED":
        raise TrainingError(
            f"Experiment {id} ended as {found.state}.",
            where=mlde.experiment_path(session.determined, id),
            fix=f"Read its log: det experiment logs {id}",
        )
    return found


def version_name(id: int) -> str:
    """The name of the version that a search's best checkpoint gets.

    Args:
        id: The experiment.
    """
    return f"search-{id}"


def version_of(session: Session, id: int) -> ModelVersion | None:
    """The registered version of a search; None while there is none.

    Args:
        session: The session.
        id: The experiment.
    """
    return mlde.version_for_commit(session.determined, session.names.model, version_name(id))


def _task(session: Session) -> StageTask:
    return tasks.for_stages(session.example.task)


def register(session: Session, search: Search) -> ModelVersion:
    """Register the best checkpoint of a search as a version of the model, named after the experiment.

    Args:
        session: The session.
        search: A complete search.

    Raises:
        TrainingError: It has no checkpoint, or the model isn't registered.
    """
    names, client = session.names, session.determined
    model = mlde.find_model(client, names.model)
    if model is None:
        raise TrainingError(f"The registry has no model {names.model}.", fix="Run notebook 03.")
    checkpoint = mlde.best_checkpoint(client, search.id)
    training = checkpoint.training
    hyperparameters = dict((training.hparams if training else None) or {})
    values = ((training.validation_metrics if training else None) or {}).get("avgMetrics") or {}
    # The search ran the code of this commit's training.
    trained = mlde.version_for_commit(client, names.model, search.commit)
    origin = dict(trained.metadata or {}) if trained is not None else {}
    code = origin.get("code") or {}
    metadata: mlde.SearchMetadata = {
        "project": str(search.config["data"]["pachyderm"]["project"]),
        "repo": str(search.config["data"]["pachyderm"]["repo"]),
        "commit": search.commit,
        "pipeline": "",
        "job": "",
        "experiment": search.id,
        "trial": training.trial_id if training else 0,
        "code": {"url": code.get("url", ""), "ref": code.get("ref", ""), "sha": code.get("sha", "")},
        "classes": [str(each) for each in search.config["data"].get("classes") or ()],
        "metric": {"name": search.metric, "value": float(values[search.metric])} if search.metric in values else None,
        "net": _task(session).architecture({**search.config, "hyperparameters": hyperparameters}),
        "resumed_from": "",
        "search": {"searcher": search.method, "trials": len(search.trials), VARIED: hyperparameters.get(VARIED)},
    }
    return mlde.register(
        model,
        checkpoint,
        name=version_name(search.id),
        notes=f"Best checkpoint of the search in experiment {search.id}, for commit {search.commit}",
        metadata=metadata,
    )
