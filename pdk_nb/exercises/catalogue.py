"""The exercises themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdk_nb import lineage
from pdk_nb.chapters import data, deployment, prediction, setup
from pdk_nb.labels import split
from pdk_nb.packaging.archive import INDEX_FILE
from pdk_nb.platforms import mlde, mldm

if TYPE_CHECKING:
    from pdk_nb.session import Session


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        name: Number of its notebook and a word.
        question: What is asked.
        hint: Where to look.
        solution: Code that sets ``answer``, with ``lab`` at hand.
        expected: The right answer, read from the cluster.
        why: What the answer teaches.
    """

    name: str
    question: str
    hint: str
    solution: str
    expected: Callable[[Session], Any]
    why: str

    @property
    def notebook(self) -> str:
        """Number of its notebook."""
        return self.name[:2]


def _ingress_key(session: Session) -> str:
    port = str(session.settings.kserve_ingress_port)
    return next(each.key for each in session.settings.entries if "ingress" in each.key and each.value == port)


def _deploy_input(session: Session) -> str:
    return mldm.pipeline_input(session.pachyderm, session.names.project, session.names.deploy_pipeline)


def _held_out(session: Session) -> int:
    return len(split(data.committed(session, data.latest_commit(session), setup.classes(session)))[1])


def _best_batches(session: Session) -> int:
    version = mlde.version_for_commit(session.determined, session.names.model, data.latest_commit(session))
    checkpoint = version.checkpoint if version is not None else None
    return int((checkpoint.metadata or {})["steps_completed"]) if checkpoint is not None else 0


def _index_file(session: Session) -> str:
    table = deployment.archive_table(session, data.latest_commit(session))
    # A machine that may not read the bucket of models has no rows.
    return next((row[0] for row in table.rows if row[0] == INDEX_FILE), INDEX_FILE)


def _least_sure(session: Session) -> str:
    return min(prediction.ask(session, prediction.samples(session, "")), key=lambda pair: pair[1].score)[0].name


def _code(session: Session) -> str:
    station = lineage.trace(session).station("code")
    return station.id if station is not None else ""


EXERCISES: dict[str, Exercise] = {
    each.name: each
    for each in (
        Exercise(
            "00-ingress",
            "Predictions are sent to the ingress. Which key of `pdk-config` holds its port?",
            "It is one of the rows of the settings table; its variable says KSERVE.",
            'answer = next(each.key for each in lab.settings.entries if "ingress_port" in each.key)',
            _ingress_key,
            "One ConfigMap tells every notebook, pipeline and person the same address.",
        ),
        Exercise(
            "01-input",
            "Nobody calls the deploy pipeline. A commit in which repo starts it?",
            "A pipeline's output goes to a repo of its own, and that repo has the pipeline's name.",
            "answer = lab.names.train_pipeline",
            _deploy_input,
            "A pipeline's output repo is the next pipeline's input: that is the whole chain.",
        ),
        Exercise(
            "02-hold-out",
            "How many pictures of the newest commit will no training ever see?",
            "lab.committed() gives path and class of every picture; pdk_nb.labels.split() divides them like training.",
            "from pdk_nb.labels import split\n\nanswer = len(split(lab.committed())[1])",
            _held_out,
            "A picture's path alone decides, so it stays on its side when more arrive.",
        ),
        Exercise(
            "03-best",
            "After how many batches was the registered checkpoint written?",
            "lab.model_version() is Determined's own object; its checkpoint has metadata.",
            'answer = lab.model_version().checkpoint.metadata["steps_completed"]',
            _best_batches,
            "The best checkpoint need not be the last one.",
        ),
        Exercise(
            "04-names",
            "Which file of the model archive turns a class index into a name?",
            "lab.archive_table() lists them with what they are for.",
            'answer = next(row[0] for row in lab.archive_table().rows if "class names" in row[2])',
            _index_file,
            "A model's outputs are numbers; without this file nobody knows what they mean.",
        ),
        Exercise(
            "05-unsure",
            "Which of the six sample pictures is the model least sure about? Answer with its file name.",
            "lab.ask(pictures) gives pairs of picture and answer; an answer has a score.",
            "answer = min(lab.ask(lab.samples()), key=lambda pair: pair[1].score)[0].name",
            _least_sure,
            "The pictures that a model is unsure about are those that a person should look at.",
        ),
        Exercise(
            "06-code",
            "Which commit of the experiment's code trained the model that answers now?",
            "lab.lineage() follows the model that answers; its stations have names.",
            'answer = lab.lineage().station("code").id',
            _code,
            "Data and code together decide a model; both are written down with it.",
        ),
    )
}
