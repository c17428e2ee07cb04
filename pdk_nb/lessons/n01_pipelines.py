"""Lesson 01: project, repo, workspace, storage access, and both pipelines. A second run changes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pdk_nb import specs, tasks
from pdk_nb.display.tables import Note, Table
from pdk_nb.example import Gate
from pdk_nb.labels import parse_classes
from pdk_nb.lessons.explanation import Explanation
from pdk_nb.lessons.lesson import Exercise, Findings, Lesson, WrittenExercise, expect, read_written
from pdk_nb.platforms import mlde, mldm, serving
from pdk_nb.stages import experiment
from pdk_nb.stages.gate import ACCURACY

if TYPE_CHECKING:
    from pdk_nb.session import Session

CLASSES_FLAG = "--classes"
MIN_ACCURACY_FLAG, GATE_FLAG = "--min-accuracy", "--gate"
PROJECT_DESCRIPTION = "PDK Lab"


def create_projects(session: Session) -> Table:
    """Create what is missing on each platform."""
    names, client = session.names, session.pachyderm
    purpose = f"{tasks.for_lab(session).files.capitalize()} for training"
    rows: list[tuple[str, str, str]] = [
        ("Pachyderm project", names.project, mldm.ensure_project(client, names.project, PROJECT_DESCRIPTION)),
        (
            "Pachyderm repo",
            names.data_repo,
            mldm.ensure_repo(client, names.project, names.data_repo, purpose),
        ),
    ]
    rows += _determined_project(session)
    made = serving.ensure_service_account(session.settings)
    in_cloud = session.settings.kserve_model_bucket_name and not session.settings.minio_url
    account = "default" if in_cloud else specs.SERVICE_ACCOUNT
    rows.append(("Service account that reads models", account, "created" if made else "unchanged"))
    return Table(("What", "Name", "Outcome"), rows)


def _determined_project(session: Session) -> list[tuple[str, str, str]]:
    names, client = session.names, session.determined
    workspaces = {each.name for each in client.list_workspaces()}
    workspace = mlde.ensure_workspace(client, names.workspace)
    projects = {each.name for each in workspace.list_projects()}
    mlde.ensure_project(client, names.workspace, names.experiment_project)
    return [
        ("Determined workspace", names.workspace, "unchanged" if names.workspace in workspaces else "created"),
        (
            "Determined project",
            names.experiment_project,
            "unchanged" if names.experiment_project in projects else "created",
        ),
    ]


def rendered(
    session: Session, classes: Sequence[str] = (), small: bool = False, **choices: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both specs, rendered for this cluster. Empty choices keep the cluster's values.

    Args:
        session: The session.
        classes: Class names; the experiment's own when empty.
        small: Whether to train a smaller network for fewer batches. Such a model can't reach a gate, so it's open.
        choices: Fields of :class:`pdk_nb.specs.PipelineParams`.
    """
    if small:
        choices["gate_minimum"] = 0.0
    # The default classes are in the experiment's configuration.
    own = () if tuple(classes) in ((), default_classes(session)) else (CLASSES_FLAG, ",".join(classes))
    profile = ("--profile", "small") if small else ()
    train_args = (*choices.pop("train_args", ()), *own, *profile)
    return specs.render_for(session.settings, session.names, train_args=train_args, **choices)


def create_pipelines(
    session: Session, classes: str = "", source: str = "", small: bool = False, **choices: Any
) -> Table:
    """Create both pipelines, or update those whose spec has changed.

    Args:
        session: The session.
        classes: Class names, separated by commas, in the order of the model's outputs; read from ``source`` when empty.
        source: Data that will be committed; the example's own when empty.
        small: Whether to train a smaller network for fewer batches.
        choices: Fields of :class:`pdk_nb.specs.PipelineParams`.

    Raises:
        DataError: The class names are invalid, or the pictures' names give no classes.
    """
    chosen = tasks.for_lab(session).choose_classes(session, classes, source)
    rows = []
    for spec in rendered(session, chosen, small, **choices):
        name = spec["pipeline"]["name"]
        outcome = mldm.ensure_pipeline(session.pachyderm, spec)
        rows.append((name, spec["input"]["pfs"]["repo"], spec["transform"]["image"], outcome))
    required = gate(session)
    said = f"{required.metric} of at least {required.minimum}" if required.minimum else "open"
    caption = f"Classes: {', '.join(chosen)}. Gate: {said}."
    return Table(("Pipeline", "Starts with a commit in", "Image", "Outcome"), rows, caption=caption)


def classes(session: Session) -> tuple[str, ...]:
    """Class names that the train pipeline learns, in the order of the model's outputs.

    They are in the pipeline's command, so every notebook and every person uses the same ones.
    """
    given = _flag(session, session.names.train_pipeline, CLASSES_FLAG)
    return parse_classes(given) if given else default_classes(session)


def default_classes(session: Session) -> tuple[str, ...]:
    """Class names in the experiment's own configuration."""
    example = session.example
    return experiment.classes_of(experiment.read_yaml(example.experiment / example.config))


def gate(session: Session) -> Gate:
    """What the deploy pipeline requires of a version on the hold-out; a minimum of 0 when it deploys every version."""
    pipeline = session.names.deploy_pipeline
    metric, _, minimum = _flag(session, pipeline, GATE_FLAG).partition("=")
    return Gate(metric or ACCURACY, float(minimum or _flag(session, pipeline, MIN_ACCURACY_FLAG) or 0))


def _flag(session: Session, pipeline: str, flag: str) -> str:
    """The value of a flag in a pipeline's command; empty when it isn't given."""
    arguments = shlex.split(mldm.pipeline_command(session.pachyderm, session.names.project, pipeline))
    return next((value for each, value in zip(arguments, arguments[1:], strict=False) if each == flag), "")


class DeployInput(Exercise):
    """Understand how pipelines are chained."""

    name = "01-input"
    kind = "Find"
    question = "Nobody calls the deploy pipeline. A commit in which repo starts it?"
    hint = "A pipeline writes its output to its own repo, which has the pipeline's name."
    solution = "answer = lab.names.train_pipeline"
    why = "A pipeline's output repo is the next pipeline's input: that's the whole chain."

    def expected(self, session: Session) -> str:
        """The repo in the deploy pipeline's spec."""
        return mldm.pipeline_input(session.pachyderm, session.names.project, session.names.deploy_pipeline)


class PredictedDatums(Exercise):
    """Predict what a glob makes of a few files."""

    name = "01-glob"
    kind = "Predict"
    paths = ("/data1/cat/1.jpg", "/data1/dog/1.jpg", "/data1/dog/2.jpg", "/data2/cat/3.jpg")
    question = (
        "A repo holds `/data1/cat/1.jpg`, `/data1/dog/1.jpg`, `/data1/dog/2.jpg`, and `/data2/cat/3.jpg`. "
        "How many datums does the glob `/*/*` make?"
    )
    hint = "Each * stands for one level. A datum is one match of the glob: a file, or a folder with all its files."
    solution = 'matches = {"/data1/cat", "/data1/dog", "/data2/cat"}\nanswer = len(matches)'
    why = "Each class folder of each arrival is a datum, so three workers could share the work."

    def expected(self, session: Session) -> int:
        """Paths that have two levels."""
        return len({path.rsplit("/", 1)[0] for path in self.paths})


class PasswordVariable(Exercise):
    """Read how a credential reaches a pipeline's code."""

    name = "01-secret"
    kind = "Find"
    question = (
        "The train pipeline logs in to Determined, but its spec holds no password. From which environment variable "
        "does its code read it?"
    )
    hint = "Unfold the spec above: transform.secrets maps each key of the Secret to a variable (env_var)."
    solution = (
        "pipeline, project = lab.names.train_pipeline, lab.names.project\n"
        "info = next(iter(lab.pachyderm.inspect_pipeline(pipeline, details=True, project_name=project)))\n"
        'answer = next(each.env_var for each in info.details.transform.secrets if each.key == "det_password")'
    )
    why = "You can show the spec to anybody and keep it in git: the password stays in the cluster's Secret."

    def expected(self, session: Session) -> str:
        """The variable of the key ``det_password`` in the spec."""
        secrets = train_spec(session)["transform"]["secrets"]
        return next(str(each["env_var"]) for each in secrets if each["key"] == "det_password")


class WrittenInput(WrittenExercise):
    """Write a pipeline's input."""

    name = "01-write"
    kind = "Change"
    question = (
        "Write the `input` of another pipeline: it starts with commits in the data repo (`lab.names.data_repo`), and "
        "each top-level folder is a datum of its own. Answer with YAML text in triple quotes."
    )
    hint = "Copy the input of the spec above; only one field must change."
    solution = (
        'answer = f"""\n'
        "pfs:\n"
        "  project: {lab.names.project}\n"
        "  repo: {lab.names.data_repo}\n"
        "  branch: master\n"
        '  glob: /*\n"""'
    )
    why = "With /*, a new folder is a new datum, and the folders that didn't change aren't processed again."

    def fault(self, session: Session, answer: Any) -> str:
        """What is wrong; the field ``input`` around it may be written, too."""
        written, _ = read_written(answer)
        return super().fault(session, written["input"] if isinstance(written, dict) and "input" in written else answer)

    def expected(self, session: Session) -> dict[str, Any]:
        """The fields that the input needs."""
        return {"pfs": {"repo": session.names.data_repo, "glob": "/*"}}


def missing(session: Session) -> str:
    """Which of the two pipelines are missing."""
    names = session.names
    present = mldm.pipelines(session.pachyderm, names.project)
    absent = [name for name in (names.train_pipeline, names.deploy_pipeline) if name not in present]
    return f"there is no pipeline {' and no '.join(absent)}" if absent else ""


def check(session: Session) -> Findings:
    """01: project, repo, and both pipelines exist, and neither pipeline has failed."""
    names = session.names
    present = mldm.repos(session.pachyderm, names.project)
    yield expect(
        names.data_repo in present,
        f"Repo {names.project}/{names.data_repo} exists.",
        f"Repo {names.project}/{names.data_repo} doesn't exist.",
        "Run the cell with lab.create_projects().",
        state="not yet",
    )
    pipelines = mldm.pipelines(session.pachyderm, names.project)
    for name in (names.train_pipeline, names.deploy_pipeline):
        state, reason = pipelines.get(name, ("missing", ""))
        if state == "missing":
            yield Note("not yet", f"Pipeline {name} doesn't exist.", "Run the cell with lab.create_pipelines().")
            continue
        yield expect(
            state not in ("FAILURE", "CRASHING"),
            f"Pipeline {name} is {state.lower()}.",
            f"Pipeline {name} is {state.lower()}: {reason}",
            f"pachctl inspect pipeline {name} --project {names.project}",
        )
    mlde.check_project(session.determined, names.workspace, names.experiment_project)
    yield Note("ok", f"Determined has {names.workspace}/{names.experiment_project}.")


def train_spec(session: Session) -> dict[str, Any]:
    """The spec of the train pipeline, as Pachyderm has it."""
    return mldm.pipeline_spec(session.pachyderm, session.names.project, session.names.train_pipeline)


SPEC = Explanation(
    "01-spec",
    "The spec of the train pipeline",
    train_spec,
    {
        "pipeline.name": "Also the name of its output repo.",
        "input.pfs.repo": "The repo whose commits start a job.",
        "input.pfs.glob": "What becomes one datum: with /, the whole repo; with /*, each top-level entry.",
        "transform.image": "The container that the workers run.",
        "transform.secrets": "Credentials from the cluster's Secret become variables; the spec holds only their names.",
    },
    lambda session: f"pachctl inspect pipeline {session.names.train_pipeline} --project {session.names.project} --raw",
    lambda session: train_spec(session)["input"]["pfs"]["glob"],
)

LESSON = Lesson(
    "01",
    check,
    needs=("00",),
    missing=missing,
    exercises=(DeployInput(), PredictedDatums(), PasswordVariable(), WrittenInput()),
    explanations=(SPEC,),
)
