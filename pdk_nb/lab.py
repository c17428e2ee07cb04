"""The lab: one object that the notebooks talk to.

Each method is one line; for details, see the function that it calls in the lessons, the journey, or the panel. If a
method takes a commit, the default is the newest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb import journey, lessons, session, tasks
from pdk_nb.evaluation import sheet
from pdk_nb.journey import graph, recap, timeline, trail, watch
from pdk_nb.journey import lineage as lineages
from pdk_nb.lessons import (
    n00_environment,
    n01_pipelines,
    n02_data,
    n03_training,
    n04_deployment,
    n05_prediction,
    n06_second_arrival,
    n07_search,
    n08_batch,
    n99_clean_up,
)
from pdk_nb.names import Names
from pdk_nb.settings import ANNOUNCED

if TYPE_CHECKING:
    import python_pachyderm
    from determined.common.experimental.determined import Determined
    from determined.common.experimental.model import ModelVersion
    from kubernetes.client import ApiClient

    from pdk_nb.display.diagrams import Drawing
    from pdk_nb.display.tables import Markup, Note, Table
    from pdk_nb.doctor import Report
    from pdk_nb.evaluation import Evaluation
    from pdk_nb.lessons.n02_data import Arrival
    from pdk_nb.lessons.n08_batch import Batch
    from pdk_nb.lessons.n99_clean_up import Plan
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session
    from pdk_nb.settings import Settings

__all__ = ["Lab", "connect"]


def connect(
    kubeconfig: str = "",
    namespace: str = "default",
    participant: str = "",
    names: Names | None = None,
    *,
    example: str = "",
) -> Lab:
    """Read the settings of a cluster; arguments and errors as in :func:`pdk_nb.session.connect`.

    Says so if nobody named the cluster.
    """
    made = Lab(session.connect(kubeconfig, namespace, participant, names, example=example))
    if made.settings.kubeconfig_reason == ANNOUNCED:
        print(f"KUBECONFIG isn't set, so the lab uses {ANNOUNCED}.")
    return made


class Lab:
    """The methods that the notebooks call: lessons, journey, and panel, with one session.

    Args:
        session: Settings, names, and clients.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def __repr__(self) -> str:
        known = self.settings
        reason = f" ({known.kubeconfig_reason})" if known.kubeconfig and known.kubeconfig_reason else ""
        return f"Lab on {known.kubeconfig or 'this pod'}{reason}: project {self.names.project}"

    @property
    def settings(self) -> Settings:
        """The cluster's settings."""
        return self.session.settings

    @property
    def names(self) -> Names:
        """Names of the lab's resources."""
        return self.session.names

    @property
    def pachyderm(self) -> python_pachyderm.Client:
        """Client of Pachyderm."""
        return self.session.pachyderm

    @property
    def determined(self) -> Determined:
        """Client of Determined."""
        return self.session.determined

    @property
    def kubernetes(self) -> ApiClient:
        """Client of Kubernetes."""
        return self.session.kubernetes

    # Every notebook

    def start(self, notebook: str) -> Note:
        """Check that a notebook has what it needs; otherwise, name the notebook to run first."""
        return lessons.start(self.session, notebook)

    def check(self, name: str, answer: Any = ..., **facts: Any) -> None:
        """Check on the cluster whether a notebook's goal is met, or whether an exercise's answer is right.

        Args:
            name: Number of a notebook, e.g. ``03``, or name of an exercise, e.g. ``03-best``.
            answer: The answer to an exercise.
            facts: Values for the notebook's check.

        Raises:
            CheckFailed: A goal isn't met, or an answer is wrong, in a headless run.
        """
        if name in lessons.EXERCISES:
            lessons.find_exercise(name).check(self.session, answer)
        else:
            lessons.find_lesson(name).check(self.session, **facts)

    def hint(self, exercise: str) -> None:
        """Show a hint for an exercise."""
        lessons.find_exercise(exercise).show_hint()

    def solution(self, exercise: str) -> None:
        """Show the solution of an exercise, as code for its cell."""
        lessons.find_exercise(exercise).show_solution()

    def explain(self, name: str) -> Markup:
        """The real object behind a step: foldable, with its fields that matter and the command that shows it.

        Args:
            name: Number of a notebook and a word, e.g. ``01-spec``.
        """
        return lessons.find_explanation(name).show(self.session)

    def agrees(self, name: str, value: Any) -> Note:
        """Compare what an official client gave with what the lab reads; see :meth:`explain` for the names."""
        return lessons.find_explanation(name).compare(self.session, value)

    def recap(self) -> Note:
        """The newest commit's id with everything linked to it so far."""
        return recap.recap(journey.read(self.session))

    # 00 environment

    def settings_table(self) -> Markup:
        """Every setting with its value, source, and use: those that matter first, the others folded."""
        return n00_environment.settings_table(self.session)

    def preflight(self) -> Table:
        """Connect to each platform and show its version."""
        return n00_environment.preflight(self.session)

    def doctor(self, *only: str) -> Report:
        """Check everything that the lab needs on the cluster: what is wrong, why it matters, and how to fix it."""
        return n00_environment.examine(self.session, only)

    # 01 project and pipelines

    def create_projects(self) -> Table:
        """Create project, repo, workspace, and storage access; keep what exists."""
        return n01_pipelines.create_projects(self.session)

    def create_pipelines(self, classes: str = "", source: str = "", small: bool = False, **choices: Any) -> Table:
        """Render both pipeline specs, and create or update the pipelines."""
        return n01_pipelines.create_pipelines(self.session, classes, source, small, **choices)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names that the train pipeline learns, in the order of the model's outputs."""
        return n01_pipelines.classes(self.session)

    def draw_flow(self, commit: str = "") -> Drawing:
        """The graph from the data repo to the service, with states."""
        return graph.graph(journey.read(self.session, commit)).draw()

    # 02 data

    def open_photos(self, source: str, arrival: str = "data1", small: bool = False) -> Arrival:
        """Open and inspect the pictures of a folder or zip file; only a few when ``small``."""
        return n02_data.open_photos(self.session, source, arrival, self.classes, n02_data.SMALL if small else 0)

    def open_arrival(self, source: str = "", arrival: str = "data1", small: bool = False) -> Any:
        """Open and inspect the data of a folder or file; only a little of it when ``small``."""
        return tasks.for_lab(self.session).open(self.session, source, arrival, small)

    def commit(self, arrival: Arrival, folder: str = "") -> str:
        """Commit an arrival; the same files again don't create a new commit."""
        return n02_data.commit(self.session, arrival, folder)

    def latest_commit(self) -> str:
        """The id that links everything: the newest commit of the data repo."""
        return journey.latest_commit(self.session)

    def committed(self, commit: str = "") -> list[tuple[str, int]]:
        """Path and class index of every picture of a commit."""
        return n02_data.committed(self.session, commit or self.latest_commit())

    def datums(self, *globs: str) -> Table:
        """The datums that globs would make of the newest commit."""
        return n02_data.datums(self.session, globs)

    def console(self, changes: bool = False) -> Markup:
        """Start the console beside this kernel, and link to it; see ``docs/console.md``.

        Args:
            changes: Whether its pages offer actions, such as to promote a version.
        """
        from pdk_nb.console.server import start
        from pdk_nb.display.tables import Markup

        address = start(self.session, changes)
        link = f'<a href="{address}" target="_blank" rel="noopener">Open the console</a>'
        said = "It runs on this computer, as long as this kernel."
        return Markup(f"<p>{link} {said}</p>", f"The console is at {address} {said}")

    # 03 training

    def follow_training(self, commit: str = "", timeout: float = 900.0) -> trail.Trail:
        """Watch the train job and its experiment until the job ends."""
        return trail.Trail(watch.follow_training(self.session, commit or self.latest_commit(), timeout))

    def training_log(self, lines: int = 15, commit: str = "") -> str:
        """The end of the trial's log, without the reports of metrics."""
        return n03_training.log_tail(self.session, commit or self.latest_commit(), lines)

    def gate(self, commit: str = "") -> Note:
        """Judge a commit's model version by the gate of the deploy pipeline; see ``n03_training.judge``."""
        return n03_training.judge(self.session, commit)

    def trail(self, commit: str = "") -> trail.Trail:
        """Commit, job, experiment, checkpoint, model version, and service of one id."""
        return trail.Trail(journey.read(self.session, commit or self.latest_commit()))

    def timeline(self, commit: str = "") -> Drawing:
        """A timeline of the jobs and the experiment of a commit."""
        return timeline.timeline(journey.read(self.session, commit or self.latest_commit())).draw()

    def model_version(self, commit: str = "") -> ModelVersion | None:
        """The registered version of a commit, as an object of Determined's client."""
        return n03_training.model_version(self.session, commit or self.latest_commit())

    # 04 deployment

    def follow_deployment(self, commit: str = "", timeout: float = 600.0, *, until_ready: bool = False) -> None:
        """Wait until the deploy job ends, or until the service answers with the commit's model."""
        watch.follow_deployment(self.session, commit or self.latest_commit(), timeout, until_ready=until_ready)

    def deploy_log(self, lines: int = 25, commit: str = "") -> str:
        """The log of the deploy job."""
        return n04_deployment.log_tail(self.session, commit or self.latest_commit(), lines)

    def archive_table(self, commit: str = "") -> Table:
        """Contents of the model archive."""
        return n04_deployment.archive_table(self.session, commit or self.latest_commit())

    def services_table(self) -> Table:
        """InferenceServices as ``kubectl get`` prints them."""
        return n04_deployment.services_table(self.session)

    def wait_service(self, commit: str = "", timeout: float = 300.0) -> Note:
        """Wait until the service serves the model of a commit."""
        return n04_deployment.wait_service(self.session, commit or self.latest_commit(), timeout)

    # 05 predictions

    def sample(self, name: str) -> Path:
        """A file of the example's sample data."""
        return self.session.sample(name)

    def samples(self, source: str = "") -> list[Any]:
        """A few items, such as pictures, that are never used for training."""
        return list(tasks.for_lab(self.session).samples(self.session, source))

    def show_request(self, item: Any) -> Markup:
        """An item, such as a picture, and its JSON request."""
        return tasks.for_lab(self.session).show_request(item)

    def predict_json(self, *files: str | Path, judge: bool = True) -> Table:
        """Send request files unchanged, like the setup guide's curl command."""
        return n05_prediction.predict_json(self.session, [Path(file) for file in files], judge=judge)

    def predict_pictures(self, pictures: list[Path]) -> Table:
        """Predict pictures and compare each answer with the picture's name."""
        return n05_prediction.predict_pictures(self.session, pictures)

    def predict(self, items: Sequence[Any]) -> Table:
        """Predict items, and compare each answer with what is known about it."""
        return tasks.for_lab(self.session).predict(self.session, items)

    def ask(self, items: Sequence[Any]) -> list[tuple[Any, Prediction]]:
        """Items, such as pictures, with the service's answers, as data."""
        return tasks.for_lab(self.session).ask(self.session, items)

    def curl(self, file: str = "cat.json") -> str:
        """The same prediction as a shell command."""
        return n05_prediction.curl(self.session, file)

    def panel(self, samples: Sequence[Any] = ()) -> Any:
        """The prediction panel of the example; it offers the given samples, or the lab's own."""
        # Widgets take half a second to import, and only this notebook has them.
        from pdk_nb.panel import panel_of

        return panel_of(self.session, samples)

    def lineage(self, id: str = "", prediction: Prediction | None = None) -> lineages.Lineage:
        """Trace an answer, or any id, back to the exact pictures and code, and forward to the service."""
        return lineages.trace(self.session, id, prediction=prediction)

    # 06 second arrival

    def hold_out(self, *arrivals: Arrival) -> list[Any]:
        """Items, such as pictures, that aren't used for training, the same for every version."""
        return list(tasks.for_lab(self.session).hold_out(self.session, arrivals))

    def evaluate(self, items: Sequence[Any], title: str = "") -> Any:
        """Send every item to the service, and judge the answers."""
        return tasks.for_lab(self.session).evaluate(self.session, items, title)

    def show_evaluation(self, evaluation: Any) -> Any:
        """One evaluation, drawn."""
        return tasks.for_lab(self.session).show_evaluation(evaluation)

    def contact_sheet(self, evaluation: Evaluation) -> Markup:
        """The pictures of an evaluation by kind: every wrong answer in a frame, and some of the right ones."""
        return sheet(evaluation)

    def drift(self, old: Arrival, new: Arrival) -> Any:
        """How a new arrival differs from the one that the model was trained with."""
        return tasks.for_lab(self.session).drift(old, new)

    def compare(self, *evaluations: Any) -> Table:
        """Compare versions on the same items; the oldest first."""
        return tasks.for_lab(self.session).compare(evaluations)

    def served_commit(self) -> str:
        """The commit whose model is in service; empty while none is."""
        return n04_deployment.served_commit(self.session)

    def serve_version(self, commit: str, timeout: float = 300.0) -> Note:
        """Roll back or forward to the model of a commit."""
        return n06_second_arrival.serve_version(self.session, commit, timeout)

    def canary(self, commit: str, percent: int, timeout: float = 300.0) -> Note:
        """Give the model of a commit a share of the traffic."""
        return n06_second_arrival.canary(self.session, commit, percent, timeout)

    def promote(self) -> Note:
        """Give the canary all of the traffic."""
        return n06_second_arrival.promote(self.session)

    def traffic_table(self) -> Table:
        """The share of the traffic of each model version."""
        return n06_second_arrival.traffic_table(self.session)

    def who_answers(self, item: Any, requests: int = 40) -> Table:
        """Send the same request many times, and count which version answers."""
        return n06_second_arrival.who_answers(self.session, item, requests)

    # 07 search

    def start_search(self, searcher: str, trials: int, batches: int, small: bool = False) -> int:
        """Start a hyperparameter search on the newest commit; its experiment's number."""
        return n07_search.start_search(self.session, searcher, trials, batches, small)

    def follow_search(self, search: int, timeout: float = 900.0) -> None:
        """Watch a search until it is complete."""
        n07_search.follow_search(self.session, search, timeout)

    def trials_table(self, search: int) -> Table:
        """The trials of a search, the best first."""
        return n07_search.trials_table(self.session, search)

    def register_best(self, search: int) -> Note:
        """Register the best checkpoint of a search as a version of the model."""
        return n07_search.register_best(self.session, search)

    def held_pictures(self) -> list[Path]:
        """The newest commit's pictures that aren't used for training, downloaded."""
        return n07_search.held_pictures(self.session)

    def serve_candidate(self, search: int, timeout: float = 600.0) -> Note:
        """Serve the version of a search in a second service."""
        return n07_search.serve_candidate(self.session, search, timeout)

    def evaluate_candidate(self, pictures: list[Path], title: str = "") -> Evaluation:
        """Send every picture to the second service and count the correct answers."""
        return n07_search.evaluate_candidate(self.session, pictures, title)

    def remove_candidate(self) -> Note:
        """Remove the second service; the registered version stays."""
        return n07_search.remove_candidate(self.session)

    # 08 batch

    def open_batch(self, source: str = "", small: bool = False, broken: bool = False) -> Batch:
        """The pictures of a folder or zip file, or some of the lab's own, to classify."""
        return n08_batch.open_batch(self.session, source, small, broken)

    def create_batch_pipeline(self, workers: int = 2) -> Table:
        """Create or update the pipeline that classifies pictures."""
        return n08_batch.create_pipeline(self.session, workers)

    def commit_batch(self, batch: Batch) -> str:
        """Commit pictures to classify; the same pictures again don't create a new commit."""
        return n08_batch.commit_batch(self.session, batch)

    def follow_batch(self, commit: str, timeout: float = 600.0) -> None:
        """Watch the job of a batch until it ends: one sign for each datum."""
        n08_batch.follow_batch(self.session, commit, timeout)

    def batch_results(self, commit: str, rows: int = 12) -> Markup:
        """The answers of a batch, the least sure pictures first."""
        return n08_batch.results(self.session, commit, rows)

    # 99 clean up

    def clean_up_plan(self) -> Plan:
        """What the lab created on the cluster, downstream first."""
        return n99_clean_up.make_plan(self.session)

    def clean_up(self, plan: Plan) -> Table:
        """Delete what a plan lists."""
        return n99_clean_up.apply(self.session, plan)
