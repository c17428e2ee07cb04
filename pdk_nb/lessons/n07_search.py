"""Lesson 07, an elective: a hyperparameter search, and its best version beside the served one."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb import candidate_deployment, hyperparameter_search, version_comparison
from pdk_nb.counting import counted
from pdk_nb.display.diagrams import Drawing, Plot, Series, side_by_side
from pdk_nb.display.diagrams.plot import Style
from pdk_nb.display.progress import OutputArea, Progress
from pdk_nb.display.tables import Note, Table
from pdk_nb.evaluation import Evaluation
from pdk_nb.hyperparameter_search import VARIED, Search
from pdk_nb.journey import latest_commit
from pdk_nb.labels import split
from pdk_nb.lessons import n02_data, n03_training, n06_second_arrival
from pdk_nb.lessons.explanation import Explanation
from pdk_nb.lessons.lesson import Exercise, Findings, Lesson, WrittenExercise, expect
from pdk_nb.platforms import mlde, mldm
from pdk_shared.errors import NotFound, TrainingError

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion

    from pdk_nb.session import Session

# Trials and batches at most with ``small``.
SMALL_TRIALS, SMALL_BATCHES = 3, 30


def start_search(session: Session, method: str, trials: int, batches: int, small: bool) -> int:
    """Start a search on the newest commit, unless the newest search is the same.

    Args:
        session: The session.
        method: The searcher: ``random``, ``grid``, or ``adaptive_asha``.
        trials: Number of trials.
        batches: Batches of a trial that trains to the end.
        small: Whether to use fewer and shorter trials.

    Returns:
        The experiment's id.
    """
    if small:
        trials, batches = min(trials, SMALL_TRIALS), min(batches, SMALL_BATCHES)
    trained = n03_training.newest_experiment(session)
    id, new = hyperparameter_search.start(session, trained, method, trials, batches)
    if new:
        print(f"Experiment {id} searches with the code and the data of experiment {trained.id}.")
    else:
        print(f"Experiment {id} is this search already; no new one.")
    return id


def follow_search(session: Session, id: int, timeout: float) -> None:
    """Watch a search until it is complete: progress, learning curves, and values against results.

    Args:
        session: The session.
        id: The experiment.
        timeout: Seconds to wait.

    Raises:
        TrainingError: It failed, or didn't end in time.
    """
    area = OutputArea()
    with Progress(f"Experiment {id}") as progress:

        def look(now: Search) -> None:
            ended = sum(trial.ended for trial in now.trials)
            state = f"{counted(len(now.trials), 'trial')} so far, {ended} ended" if now.trials else now.state.lower()
            progress.say(state, now.fraction or None)
            # Before the first validation, axes without a curve would only puzzle.
            if now.best is not None:
                area.show(draw(now))

        found = hyperparameter_search.wait_search(session, id, timeout, look)
        early = sum(found.stopped_early(trial) for trial in found.trials)
        progress.end(
            f"Experiment {id} tried {counted(len(found.trials), 'value')} of the {VARIED} in {found.seconds:.0f} s; "
            f"{early or 'no'} {'trial was' if early == 1 else 'trials were'} stopped early."
        )


def draw(search: Search) -> Drawing:
    """A search as two plots: the learning curves of its trials, and the results by the varied value.

    Args:
        search: The search.
    """
    metric = f"validation {search.metric}"
    best = search.best
    curves, results = [], []
    for trial in search.trials:
        style: Style = "other"
        if best is not None and trial.id == best.id:
            style = "best"
        elif search.stopped_early(trial):
            style = "stopped"
        elif not trial.ended:
            style = "running"
        curves.append(Series(f"trial {trial.id}", trial.points, style))
        value, result = trial.hyperparameters.get(VARIED), search.best_of(trial)
        if isinstance(value, (int, float)) and result is not None:
            results.append(Series(f"{value:.2g}", [(float(value), result)], style))
    return side_by_side(
        [
            Plot(curves, "Learning curves", "batches", metric, log_y=True, from_zero=True),
            Plot(results, "Each trial's best result", VARIED, f"best {metric}", log_x=True, log_y=True),
        ]
    )


def trials_table(session: Session, id: int) -> Table:
    """The trials of a search, the best first.

    Args:
        session: The session.
        id: The experiment.
    """
    search = hyperparameter_search.read(session, id)
    best = search.best
    rows = []
    for trial in (*search.ranked, *(each for each in search.trials if search.best_of(each) is None)):
        outcome = "stopped early" if search.stopped_early(trial) else trial.state.lower()
        if best is not None and trial.id == best.id:
            outcome += ", the best"
        rows.append(
            (trial.id, f"{trial.hyperparameters.get(VARIED):.2g}", trial.batches, search.best_of(trial), outcome)
        )
    return Table(
        ("Trial", VARIED, "Batches", f"Best {search.metric}", "Outcome"),
        rows,
        caption=f"Experiment {id}, searcher {search.method}",
    )


def register_best(session: Session, id: int) -> Note:
    """Register the best checkpoint of a search as a version of the model.

    Args:
        session: The session.
        id: The experiment.

    Raises:
        TrainingError: The search has no checkpoint.
    """
    version = hyperparameter_search.register(session, hyperparameter_search.read(session, id))
    found = (version.metadata or {}).get("search") or {}
    return Note(
        "ok",
        f"Model {session.names.model} has version {version.model_version}, named {version.name}: "
        f"{VARIED} {found.get(VARIED, 0):.2g}.",
    )


def held_pictures(session: Session) -> list[Path]:
    """The newest commit's pictures that aren't used for training, downloaded; the same for every version.

    Args:
        session: The session.
    """
    commit = latest_commit(session)
    _, held = split(n02_data.committed(session, commit))
    ordered = sorted(held, key=lambda path: hashlib.sha256(path.encode()).hexdigest())[: n02_data.HOLD_OUT]
    source = mldm.commit_of(session.names.project, session.names.data_repo, id=commit)
    folder = Path(tempfile.mkdtemp(prefix="pdk-hold-out-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    found = []
    with Progress("Downloading the hold-out", len(ordered), "pictures") as progress:
        for path in ordered:
            target = folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(mldm.read_file(session.pachyderm, source, path))
            found.append(target)
            progress.step(len(found))
        progress.end(f"Downloaded the {len(found)} pictures of the hold-out of commit {commit[:12]}….")
    return found


def serve_candidate(session: Session, id: int, timeout: float) -> Note:
    """Serve the version of a search in a second service; the service in use keeps its version and its requests.

    Args:
        session: The session.
        id: The experiment.
        timeout: Seconds to wait for the deploy job, and then for the service.

    Raises:
        TrainingError: The search has no registered version, or the job failed.
        DeploymentError: The service doesn't become ready.
    """
    version = _registered(session, id)
    name = version_comparison.service_name(session)
    with Progress(f"{name} loads {version.name}") as progress:
        url = candidate_deployment.deploy(session, version, timeout, progress.say)
        progress.end(f"{name} loaded {version.name} in {progress.seconds:.0f} s.")
    return Note("ready", f"{url} answers with {version.name}; nobody's requests go there.")


def evaluate_candidate(session: Session, pictures: Sequence[Path], title: str) -> Evaluation:
    """Send every picture to the second service and judge the answers.

    Args:
        session: The session.
        pictures: Picture files whose names or folders give the class.
        title: What is evaluated.
    """
    return n06_second_arrival.evaluate(candidate_deployment.session_of(session), pictures, title)


def remove_candidate(session: Session) -> Note:
    """Remove the second service; the registered version stays."""
    name = version_comparison.service_name(session)
    if version_comparison.stop(session):
        return Note("ok", f"{name} is removed.")
    return Note("ok", f"There is no {name}.")


def _registered(session: Session, id: int) -> ModelVersion:
    version = hyperparameter_search.version_of(session, id)
    if version is None:
        raise TrainingError(
            f"The search in experiment {id} has no registered version.", fix="Run the cell with lab.register_best()."
        )
    return version


def newest_search(session: Session) -> Search:
    """The newest search.

    Raises:
        NotFound: There is none.
    """
    found = hyperparameter_search.newest(session)
    if found is None:
        raise NotFound("There is no search yet.", fix="Run notebook 07.")
    return found


class BestRate(Exercise):
    """Read a trial's hyperparameters."""

    name = "07-best"
    kind = "Find"
    question = "Which learning rate does the best trial of the newest search have?"
    hint = (
        "experiment.list_trials() gives the trials; a trial has hparams, and summary_metrics with min, max, and last."
    )
    solution = (
        "found = lab.determined.list_experiments(labels=[lab.names.data_repo, lab.names.search_pipeline])\n"
        "trials = max(found, key=lambda each: each.id).list_trials()\n"
        'best = min(trials, key=lambda trial: trial.summary_metrics["validation_metrics"]["loss"]["min"])\n'
        'answer = best.hparams["learning_rate"]'
    )
    why = "A search finds the region of good values, not one exact value: another search would find a similar one."

    def expected(self, session: Session) -> float:
        """The learning rate of the best trial; 0 while none has been validated."""
        best = newest_search(session).best
        return float(best.hyperparameters[VARIED]) if best is not None else 0.0

    def fault(self, session: Session, answer: Any) -> str:
        """What is wrong; two digits are enough."""
        wanted = self.expected(session)
        if isinstance(answer, (int, float)) and not isinstance(answer, bool) and f"{answer:.2g}" == f"{wanted:.2g}":
            return ""
        return f"{answer!r} isn't right"


class SavedBatches(Exercise):
    """Predict what stopping early saves."""

    name = "07-saved"
    kind = "Predict"
    question = (
        "A search has 9 trials with a `max_length` of 300 batches. With `random`, all of them train to the end. With "
        "`adaptive_asha`, two rungs, and a divisor of 3, all reach the first rung at 100 batches, and the best third "
        "trains to the end. How many batches does `adaptive_asha` save?"
    )
    hint = "Count the batches of both searches: 9 times 300, and 9 times 100 plus 3 times the rest."
    solution = "answer = 9 * 300 - (9 * 100 + 3 * 200)"
    why = (
        "More than half. In practice a little less: the decision is made for each trial when it arrives, and the first "
        "ones have nobody to lose against."
    )

    def expected(self, session: Session) -> int:
        """The difference between both searches."""
        trials, length, divisor = 9, 300, 3
        halved = trials * length // divisor + trials // divisor * (length - length // divisor)
        return trials * length - halved


class WrittenSearcher(WrittenExercise):
    """Write a searcher by hand."""

    name = "07-write"
    kind = "Change"
    question = (
        "Write the `searcher` of another search: 12 random configurations, at most 4 of them at the same time, 400 "
        "batches each, and the highest accuracy wins. Answer with YAML text in triple quotes."
    )
    hint = "Copy the searcher of the configuration above. What about smaller_is_better?"
    solution = '''answer = """
name: random
metric: accuracy
smaller_is_better: false
max_trials: 12
max_concurrent_trials: 4
max_length:
  batches: 400
"""'''
    why = "max_trials limits the cost of the search, and max_concurrent_trials the share of the cluster that it takes."

    def expected(self, session: Session) -> dict[str, Any]:
        """The fields that the searcher needs."""
        return {
            "name": "random",
            "metric": "accuracy",
            "smaller_is_better": False,
            "max_trials": 12,
            "max_concurrent_trials": 4,
            "max_length": {"batches": 400},
        }


def check(session: Session) -> Findings:
    """07: the newest search is complete, and its best checkpoint is a version of the model."""
    search = hyperparameter_search.newest(session)
    if search is None:
        yield Note("not yet", "There is no search yet.", "Run the cell with lab.start_search().")
        return
    yield expect(
        search.state == "COMPLETED" and len(search.trials) > 1,
        f"Experiment {search.id} compared {counted(len(search.trials), 'trial')}.",
        f"Experiment {search.id} is {search.state.lower()} with {counted(len(search.trials), 'trial')}.",
        "Run the cell with lab.follow_search(): it waits for the search.",
        state="not yet",
    )
    version = hyperparameter_search.version_of(session, search.id)
    yield expect(
        version is not None,
        f"Its best checkpoint is version {version.model_version if version else ''} of {session.names.model}.",
        f"Its best checkpoint isn't a version of {session.names.model}.",
        "Run the cell with lab.register_best().",
        state="not yet",
    )


def search_config(session: Session) -> dict[str, Any]:
    """The configuration of the newest search, as the master has it.

    Raises:
        NotFound: There is none.
    """
    return dict(newest_search(session).config)


def trial_count(session: Session) -> int:
    """How many trials the newest search has."""
    search = newest_search(session)
    return len(mlde.trials(session.determined, search.id, search.metric))


SEARCH = Explanation(
    "07-search",
    "The configuration of the search",
    search_config,
    {
        "searcher.name": "random: each trial gets its own random values. grid: all combinations. adaptive_asha: stops "
        "trials that fall behind.",
        "searcher.metric": "What decides which trial is the best, and with adaptive_asha, which goes on.",
        "searcher.max_length": "How long a trial trains if nobody stops it.",
        "searcher.max_concurrent_trials": "How many trials run at the same time; the others wait.",
        f"hyperparameters.{VARIED}": "A range instead of a value: log means that each power of ten is equally likely.",
        "hyperparameters.global_batch_size": "const: the same value in all trials.",
    },
    lambda session: f"det experiment list-trials {newest_search(session).id}",
    trial_count,
)

LESSON = Lesson(
    "07",
    check,
    needs=("00", "01", "02", "03", "04"),
    exercises=(BestRate(), SavedBatches(), WrittenSearcher()),
    explanations=(SEARCH,),
)
