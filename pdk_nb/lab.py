"""The lab: one object that the notebooks talk to.

``connect()`` reads the settings of the cluster that the kubeconfig names; clients of the platforms are made when they
are first used. The methods are the chapters' functions: what each does stands there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb import session
from pdk_nb.names import Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import python_pachyderm
    from determined.common.experimental.model import ModelVersion
    from determined.experimental import Determined

    from pdk_nb.chapters.cleanup import Plan
    from pdk_nb.chapters.data import Arrival
    from pdk_nb.chapters.prediction import Evaluation
    from pdk_nb.chapters.training import Trail
    from pdk_nb.display.diagrams import Drawing
    from pdk_nb.display.tables import Note, Table
    from pdk_nb.doctor import Report
    from pdk_nb.lineage import Chain
    from pdk_nb.panel import PredictionPanel
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session
    from pdk_nb.settings import Settings


def connect(kubeconfig: str = "", namespace: str = "default", participant: str = "", names: Names | None = None) -> Lab:
    """Read the settings of a cluster; arguments and errors as of :func:`pdk_nb.session.connect`."""
    return Lab(session.connect(kubeconfig, namespace, participant, names))


class Lab:
    """What the notebooks call: the lessons, the journey of a commit and the panel, over one session.

    Args:
        session: Settings, names and clients.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def __repr__(self) -> str:
        return f"Lab on {self.settings.kubeconfig or 'this pod'}: project {self.names.project}"

    @property
    def settings(self) -> Settings:
        """The cluster's settings."""
        return self.session.settings

    @property
    def names(self) -> Names:
        """What the lab calls its things."""
        return self.session.names

    @property
    def checkout(self) -> Path:
        """The lab's own files."""
        return self.session.checkout

    @property
    def pachyderm(self) -> python_pachyderm.Client:
        """Client of Pachyderm."""
        return self.session.pachyderm

    @property
    def determined(self) -> Determined:
        """Client of Determined."""
        return self.session.determined

    def start(self, notebook: str) -> Note:
        """See that a notebook has what it needs; says which earlier one has to run first.

        Raises:
            PdkError: Something is not there yet.
        """
        from pdk_nb import checks

        return checks.before(self.session, notebook)

    # 00 environment

    def settings_table(self) -> Table:
        """Every setting: value, source, where it is used."""
        from pdk_nb.chapters import environment

        return environment.settings_table(self.session)

    def preflight(self) -> Table:
        """Reach each platform and name its version."""
        from pdk_nb.chapters import environment

        return environment.preflight(self.session)

    def doctor(self, *only: str) -> Report:
        """Everything that the lab needs on the cluster: what is wrong, why it matters, and what mends it."""
        from pdk_nb.chapters import environment

        return environment.examine(self.session, only)

    # 01 project and pipelines

    def create_projects(self) -> Table:
        """Project, repo, workspace and storage access; what is there stays."""
        from pdk_nb.chapters import setup

        return setup.create_projects(self.session)

    def create_pipelines(self, classes: str = "", source: str = "", small: bool = False, **choices: Any) -> Table:
        """Render both pipeline specs and create or update the pipelines; the classes stand in the train pipeline's."""
        from pdk_nb.chapters import setup

        return setup.create_pipelines(self.session, classes, source, small, **choices)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names that the train pipeline learns, in the order of the model's outputs."""
        from pdk_nb.chapters import setup

        return setup.classes(self.session)

    def draw_flow(self, commit: str = "") -> Drawing:
        """The way from the data repo to the service, with states."""
        from pdk_nb.chapters import flow

        return flow.draw(self.session, commit)

    # 02 data

    def open_photos(self, source: str, arrival: str = "data1", small: bool = False) -> Arrival:
        """Pictures of a folder or a zip file, looked at one by one; a few of them when ``small``."""
        from pdk_nb.chapters import data

        return data.open_photos(self.session, source, arrival, self.classes, data.SMALL if small else 0)

    def commit(self, arrival: Arrival, folder: str = "") -> str:
        """Commit pictures; the same pictures again make no new commit."""
        from pdk_nb.chapters import data

        return data.commit(self.session, arrival, folder)

    def latest_commit(self) -> str:
        """The id that ties everything: the newest commit of the data repo."""
        from pdk_nb.chapters import data

        return data.latest_commit(self.session)

    def committed(self, commit: str = "") -> list[tuple[str, int]]:
        """Path and class index of every picture of a commit."""
        from pdk_nb.chapters import data

        return data.committed(self.session, commit or self.latest_commit(), self.classes)

    # 03 training

    def follow_training(self, commit: str = "", timeout: float = 900.0) -> Trail:
        """Watch the train job and its experiment until the job ends."""
        from pdk_nb.chapters import training

        return training.follow(self.session, commit or self.latest_commit(), timeout)

    def training_log(self, lines: int = 15, commit: str = "") -> str:
        """The end of the trial's log."""
        from pdk_nb.chapters import training

        return training.log_tail(self.session, commit or self.latest_commit(), lines)

    def trail(self, commit: str = "") -> Trail:
        """Commit, job, experiment, checkpoint, model version and service of one id."""
        from pdk_nb.chapters import training

        return training.trail(self.session, commit or self.latest_commit())

    def timeline(self, commit: str = "") -> Drawing:
        """When the jobs and the experiment of a commit ran."""
        from pdk_nb.chapters import flow

        return flow.timeline(self.session, commit or self.latest_commit()).draw()

    def model_version(self, commit: str = "") -> ModelVersion | None:
        """The registered version of a commit, as Determined's client has it."""
        from pdk_nb.platforms import mlde

        return mlde.version_for_commit(self.determined, self.names.model, commit or self.latest_commit())

    # 04 deployment

    def follow_deployment(self, commit: str = "", timeout: float = 600.0) -> None:
        """Wait until the deploy job has ended."""
        from pdk_nb.chapters import deployment

        deployment.follow(self.session, commit or self.latest_commit(), timeout)

    def deploy_log(self, lines: int = 25, commit: str = "") -> str:
        """What the deploy job printed."""
        from pdk_nb.chapters import deployment

        return deployment.log_tail(self.session, commit or self.latest_commit(), lines)

    def archive_table(self, commit: str = "") -> Table:
        """What lies in the model archive."""
        from pdk_nb.chapters import deployment

        return deployment.archive_table(self.session, commit or self.latest_commit())

    def services_table(self) -> Table:
        """InferenceServices as ``kubectl get`` prints them."""
        from pdk_nb.chapters import deployment

        return deployment.services_table(self.session)

    def wait_service(self, commit: str = "", timeout: float = 300.0) -> Note:
        """Wait until the service serves the model of a commit."""
        from pdk_nb.chapters import deployment

        return deployment.wait_service(self.session, commit or self.latest_commit(), timeout)

    # 05 predictions

    def sample(self, name: str) -> Path:
        """A file of ``sample-data``."""
        return self.session.sample(name)

    def show_request(self, picture: str | Path) -> Any:
        """A picture and the JSON that it becomes."""
        from pdk_nb.chapters import prediction

        return prediction.show_request(self.session, Path(picture))

    def samples(self, source: str = "") -> list[Path]:
        """A few pictures that training never learns from."""
        from pdk_nb.chapters import prediction

        return prediction.samples(self.session, source)

    def predict_json(self, *files: str | Path, judge: bool = True) -> Table:
        """Send request files as they are, like the setup guide's curl."""
        from pdk_nb.chapters import prediction

        return prediction.predict_json(self.session, [Path(file) for file in files], judge=judge)

    def predict_pictures(self, pictures: list[Path]) -> Table:
        """Predict pictures and compare each answer with the picture's name."""
        from pdk_nb.chapters import prediction

        return prediction.predict_pictures(self.session, pictures)

    def curl(self, file: str = "cat.json") -> str:
        """The same prediction as a shell command."""
        from pdk_nb.chapters import prediction

        return prediction.curl(self.session, file)

    def panel(self, samples: Sequence[Path] = ()) -> PredictionPanel:
        """Upload pictures and see their classes; the gallery holds the given samples, or the lab's own."""
        from pdk_nb.panel import PredictionPanel

        return PredictionPanel(self.session, samples)

    def ask(self, pictures: list[Path]) -> list[tuple[Path, Prediction]]:
        """Pictures with the service's answers, as data."""
        from pdk_nb.chapters import prediction

        return prediction.ask(self.session, pictures)

    def lineage(self, id: str = "", prediction: Prediction | None = None) -> Chain:
        """From an answer, or any id, back to the very pictures and code, and forward to the service.

        Args:
            id: A commit, version or checkpoint id, or a registry number; the model that answers now when empty.
            prediction: An answer: the version that gave it is followed.
        """
        from pdk_nb import lineage

        return lineage.trace(self.session, id, prediction=prediction)

    # 06 second arrival

    def hold_out(self, *arrivals: Arrival) -> list[Path]:
        """Pictures that no version has been trained with, the same for every version."""
        from pdk_nb.chapters import prediction

        return prediction.hold_out(arrivals)

    def evaluate(self, pictures: list[Path], title: str = "") -> Evaluation:
        """Ask the service for every picture and count what is right."""
        from pdk_nb.chapters import prediction

        return prediction.evaluate(self.session, pictures, title)

    def compare(self, *evaluations: Evaluation) -> Table:
        """Versions side by side."""
        from pdk_nb.chapters import prediction

        return prediction.compare(evaluations)

    def serve_version(self, commit: str, timeout: float = 300.0) -> Note:
        """Roll back, or forward, to the model of a commit."""
        from pdk_nb.chapters import deployment

        return deployment.serve_version(self.session, commit, timeout)

    def canary(self, commit: str, percent: int, timeout: float = 300.0) -> Note:
        """Give the model of a commit a share of the traffic; the rest stays where it is."""
        from pdk_nb.chapters import deployment

        return deployment.canary(self.session, commit, percent, timeout)

    def promote(self) -> Note:
        """Give the canary all of the traffic."""
        from pdk_nb.chapters import deployment

        return deployment.promote(self.session)

    def traffic_table(self) -> Table:
        """Which model version gets how much of the traffic."""
        from pdk_nb.chapters import deployment

        return deployment.traffic_table(self.session)

    def who_answers(self, picture: Path, requests: int = 40) -> Table:
        """Ask the same thing again and again, and count which version answered."""
        from pdk_nb.chapters import prediction

        return prediction.who_answers(self.session, picture, requests)

    def served_commit(self) -> str:
        """The commit whose model answers now."""
        from pdk_nb.chapters import deployment

        return deployment.served_commit(self.session)

    # 99 clean up

    def clean_up_plan(self) -> Plan:
        """What the lab made on the cluster, downstream first."""
        from pdk_nb.chapters import cleanup

        return cleanup.make_plan(self.session)

    def clean_up(self, plan: Plan) -> Table:
        """Delete what a plan lists."""
        from pdk_nb.chapters import cleanup

        return cleanup.apply(self.session, plan)

    def check(self, name: str, answer: Any = ..., **facts: Any) -> None:
        """Look at the cluster and say whether a notebook's goal is met, or whether an exercise's answer is right.

        Args:
            name: Number of a notebook, e.g. ``03``, or name of an exercise, e.g. ``03-best``.
            answer: The answer to an exercise.
            facts: What a notebook's check is to judge.

        Raises:
            CheckFailed: A goal is not met, or an answer is wrong, and nobody is there to read the hint.
        """
        from pdk_nb import checks, exercises

        if name in exercises.EXERCISES:
            exercises.check(self.session, name, answer)
        else:
            checks.check(self.session, name, **facts)

    def recap(self) -> Note:
        """The newest commit's id with everything that it ties so far."""
        from pdk_nb.chapters import flow

        return flow.recap(self.session)

    def hint(self, exercise: str) -> Note:
        """A hint for an exercise."""
        from pdk_nb import exercises

        return exercises.hint(exercise)

    def solution(self, exercise: str) -> Note:
        """The solution of an exercise."""
        from pdk_nb import exercises

        return exercises.solution(exercise)
