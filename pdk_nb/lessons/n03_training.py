"""Lesson 03: a commit becomes a job, the job an experiment, and the experiment a model version."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pdk_nb.display.tables import Note
from pdk_nb.journey import latest_commit, log_lines, served_commit
from pdk_nb.lessons import n01_pipelines
from pdk_nb.lessons.explanation import Explanation
from pdk_nb.lessons.lesson import Exercise, Findings, Lesson, WrittenExercise, expect
from pdk_nb.platforms import mlde, mldm
from pdk_nb.stages.gate import shown
from pdk_shared.errors import TrainingError

if TYPE_CHECKING:
    from determined.common.experimental.experiment import Experiment
    from determined.common.experimental.model import ModelVersion

    from pdk_nb.session import Session


# How much of a log is read: most of its lines are reports of metrics.
LOG_LINES = 500


def model_version(session: Session, commit: str) -> ModelVersion | None:
    """The registered version of a commit, as an object of Determined's client; None while there is none.

    Args:
        session: The session.
        commit: Id of a commit of the data repo.
    """
    return mlde.version_for_commit(session.determined, session.names.model, commit)


def log_tail(session: Session, commit: str, lines: int) -> str:
    """The end of the trial's log, without the reports of metrics, which the curves show.

    Args:
        session: The session.
        commit: Id of a commit of the data repo.
        lines: Number of lines.

    Raises:
        TrainingError: The commit has no experiment.
    """
    experiment = mlde.experiment_for_job(session.determined, commit)
    if experiment is None:
        raise TrainingError(
            "No experiment belongs to this commit yet.",
            where=commit,
            fix=f"pachctl logs --project {session.names.project} --pipeline {session.names.train_pipeline}",
        )
    trial = mlde.progress(session.determined, experiment.id).trial
    found = mlde.tail_logs(session.determined, trial, LOG_LINES)
    return "\n".join(log_lines.cut(line) for line in log_lines.without_reports(found)[-lines:])


class BestCheckpoint(Exercise):
    """Read a checkpoint's metadata."""

    name = "03-best"
    kind = "Find"
    question = "After how many batches was the registered checkpoint written?"
    hint = "lab.model_version() is an object of Determined's client; its checkpoint has metadata."
    solution = 'answer = lab.model_version().checkpoint.metadata["steps_completed"]'
    why = "The best checkpoint isn't always the last one."

    def expected(self, session: Session) -> int:
        """Batches of the newest commit's registered checkpoint; 0 while there is none."""
        version = model_version(session, latest_commit(session))
        checkpoint = version.checkpoint if version is not None else None
        return int((checkpoint.metadata or {})["steps_completed"]) if checkpoint is not None else 0


class PicturesSeen(Exercise):
    """Compute the length of a training from its configuration."""

    name = "03-pictures"
    kind = "Measure"
    question = (
        "How many pictures does the trial see if it trains to the end, counting repetitions? Multiply the batches in "
        "`searcher.max_length` by the size of a batch."
    )
    hint = (
        "experiment.config is a dictionary; the table above gives the paths of its fields. The master writes a fixed "
        "hyperparameter as {type: const, val: …}."
    )
    solution = (
        "config = lab.determined.list_experiments(labels=[lab.latest_commit()])[0].config\n"
        'batches = config["searcher"]["max_length"]["batches"]\n'
        'answer = batches * config["hyperparameters"]["global_batch_size"]["val"]'
    )
    why = "Divided by the number of training pictures, that's the number of epochs."

    def expected(self, session: Session) -> int:
        """Batches times pictures of a batch, from the newest commit's experiment."""
        config = experiment_config(session)
        size = config["hyperparameters"]["global_batch_size"]["val"]
        return int(config["searcher"]["max_length"]["batches"] * size)


class GridTrials(Exercise):
    """Predict how many trials a searcher starts."""

    name = "03-grid"
    kind = "Predict"
    question = (
        "The searcher `single` starts one trial. The searcher `grid` starts one for each combination of the values "
        "given: how many for 3 learning rates, 2 batch sizes, and 2 widths of the network?"
    )
    hint = "Each learning rate meets each batch size and each width."
    solution = "answer = 3 * 2 * 2"
    why = "Grids grow fast; that's why random and adaptive searchers exist."

    def expected(self, session: Session) -> int:
        """Size of the grid."""
        return math.prod((3, 2, 2))


class RepairedSearcher(WrittenExercise):
    """Repair a searcher that prefers the worst checkpoint."""

    name = "03-repair"
    kind = "Repair"
    question = """With this searcher, the registry would get the worst checkpoint of the trial. Repair it, and answer \
with the whole text in triple quotes.

```yaml
name: single
metric: accuracy
smaller_is_better: true
max_length:
  batches: 100
```"""
    hint = "A loss should be small. What about an accuracy?"
    solution = '''answer = """
name: single
metric: accuracy
smaller_is_better: false
max_length:
  batches: 100
"""'''
    why = "The searcher's metric decides which checkpoint is the best, and so which model is registered and served."

    def expected(self, session: Session) -> dict[str, Any]:
        """The searcher that keeps the best accuracy."""
        return {"name": "single", "metric": "accuracy", "smaller_is_better": False, "max_length": {"batches": 100}}


def missing(session: Session) -> str:
    """Whether the newest commit has no model version."""
    commit = latest_commit(session)
    return "" if model_version(session, commit) is not None else f"there is no model version of commit {commit[:12]}…"


def judge(session: Session, commit: str = "") -> Note:
    """Judge a commit's model version by the gate of the deploy pipeline, which deploys only what passes.

    Args:
        session: The session.
        commit: Id of a commit of the data repo; the newest when empty.

    Raises:
        TrainingError: The commit has no model version yet.
    """
    commit = commit or latest_commit(session)
    version = model_version(session, commit)
    if version is None:
        raise TrainingError("No model version belongs to this commit yet.", where=commit, fix="Run notebook 03.")
    metric, minimum = (gate := n01_pipelines.gate(session)).metric, gate.minimum
    value = mlde.validation_metric(version, metric)
    number = version.model_version
    if minimum <= 0:
        known = shown(value) if value is not None else "unknown"
        return Note("ok", f"The gate is open: version {number} is deployed, whatever its {metric} is ({known}).")
    if value is None:
        return Note("wrong", f"Version {number} has no {metric}, so the gate stays closed.", "Check the trial's log.")
    # Pachyderm doesn't run a job again that has succeeded, so a higher gate leaves what is in service.
    became = "was deployed under a lower gate" if served_commit(session) == commit else "is registered, not deployed"
    measured = f"{metric} on the hold-out is {shown(value)}, at least {minimum} required."
    return expect(
        value >= minimum,
        f"Version {number} passes the gate: {measured}",
        f"Version {number} misses the gate: {measured} It {became}.",
        "Commit more data (notebook 02), train longer (const.yaml), or lower the gate's minimum in notebook 01.",
    )


def check(session: Session) -> Findings:
    """03: the newest commit has a successful job and a model version named after it that passes the gate."""
    commit = latest_commit(session)
    job = mldm.job(session.pachyderm, session.names.project, session.names.train_pipeline, commit)
    fix = "Run notebook 03: it waits for the train job."
    yield expect(
        job is not None and job.state == "SUCCESS",
        f"The train job of {commit} succeeded.",
        f"The train job of {commit} is {job.state.lower() if job else 'missing'}.",
        fix,
        state="not yet",
    )
    version = model_version(session, commit)
    if version is None:
        yield Note("not yet", f"Model {session.names.model} has no version named {commit}.", fix)
        return
    yield Note("ok", f"Model {session.names.model} has version {version.model_version}, named after the commit.")
    yield judge(session, commit)


def newest_experiment(session: Session) -> Experiment:
    """The experiment of the newest commit, as an object of Determined's client.

    Raises:
        TrainingError: The commit has no experiment.
    """
    commit = latest_commit(session)
    experiment = mlde.experiment_for_job(session.determined, commit)
    if experiment is None:
        raise TrainingError("No experiment belongs to this commit yet.", where=commit, fix="Run notebook 03.")
    return experiment


def experiment_config(session: Session) -> dict[str, Any]:
    """The configuration of the newest commit's experiment, as the master has it: const.yaml, the profile, and defaults.

    Raises:
        TrainingError: The commit has no experiment.
    """
    return dict(newest_experiment(session).config or {})


CONFIG = Explanation(
    "03-config",
    "The configuration of the experiment",
    experiment_config,
    {
        "searcher.name": "single: one trial. Other searchers start many, each with its own hyperparameters.",
        "searcher.metric": "What decides which checkpoint is the best.",
        "hyperparameters.global_batch_size": "Pictures for each step, over all slots of the trial.",
        "resources.resource_pool": "Where the trial waits for a slot.",
        "checkpoint_policy": "best: a checkpoint is written whenever the metric improves.",
        "entrypoint": "The class whose methods train, validate, and load data; here in model_def.py.",
    },
    lambda session: f"det experiment config {newest_experiment(session).id}",
    lambda session: experiment_config(session)["searcher"]["metric"],
)

LESSON = Lesson(
    "03",
    check,
    needs=("00", "01", "02"),
    missing=missing,
    exercises=(BestCheckpoint(), PicturesSeen(), GridTrials(), RepairedSearcher()),
    explanations=(CONFIG,),
)
