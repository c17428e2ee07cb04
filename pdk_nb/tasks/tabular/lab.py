"""What the notebooks need to know about rows with classes."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pdk_nb.counting import counted
from pdk_nb.display.progress import Progress
from pdk_nb.display.tables import Markup, Table
from pdk_nb.headless import log_event
from pdk_nb.journey import latest_commit
from pdk_nb.labels import parse_classes
from pdk_nb.lessons.lesson import expect
from pdk_nb.platforms import mldm, serving
from pdk_nb.platforms.serving.batches import predict_in_batches
from pdk_nb.tasks.lab_task import Findings, LabTask
from pdk_nb.tasks.tabular.judging import Drift, Evaluation, Judged, comparison, drift_between, plots
from pdk_nb.tasks.tabular.rows import Row, TableArrival, held_out, layout_of, open_table
from pdk_nb.tasks.tabular.training import SUFFIX
from pdk_shared.errors import UsageError

if TYPE_CHECKING:
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session

__all__ = ["TASK", "Tabular"]

# Rows of one request, and of the samples, of each class.
BATCH_ROWS, SAMPLES = 200, 5


class Tabular(LabTask):
    """CSV files. An item is a :class:`Row`."""

    name = "tabular"
    files = "files"

    def choose_classes(self, session: Session, named: str, source: str) -> tuple[str, ...]:
        """The configuration's classes: the values of its target column stand for them, so they can't be others."""
        own = layout_of(session).classes
        if named and parse_classes(named) != own:
            raise UsageError(
                f"The classes are {', '.join(own)}.",
                where="classes",
                fix="Leave the parameter empty, or change data.classes in the experiment's configuration.",
            )
        return own

    def open(self, session: Session, source: str, arrival: str, small: bool) -> TableArrival:
        """Read and check the CSV files of a folder, or one file."""
        return open_table(session, source, arrival, small)

    def hold_out(self, session: Session, arrivals: Sequence[Any]) -> Sequence[Row]:
        """Rows, of which the keys alone decide."""
        return held_out(arrivals)

    def samples(self, session: Session, source: str) -> Sequence[Row]:
        """A few rows of each class."""
        held = held_out([open_table(session, source, session.example.arrivals[0], small=False)])
        classes = layout_of(session).classes
        return [row for name in classes for row in [each for each in held if each.label == name][:SAMPLES]]

    def show_request(self, item: Any) -> Markup:
        """A row and its JSON."""
        text = json.dumps({"instances": [item.instance]}, indent=1)
        name = html.escape(item.key)
        return Markup(f"<p>{name}</p><pre>{html.escape(text)}</pre>", f"{item.key}:\n{text}")

    def ask(self, session: Session, items: Sequence[Any]) -> list[tuple[Any, Prediction]]:
        """Rows with the service's answers."""
        target = serving.endpoint(session.settings, session.names.service)
        answers: list[tuple[Any, Prediction]] = []
        with Progress(f"Asking {session.names.service}", len(items), "rows") as progress:
            instances = [each.instance for each in items]
            for batch in predict_in_batches(target, instances, progress.say, size=BATCH_ROWS):
                answers += zip(items[len(answers) :], batch, strict=False)
                progress.step(len(answers))
            progress.end(
                f"{session.names.service} answered for {counted(len(items), 'row')} in {progress.seconds:.1f} s."
            )
        return answers

    def predict(self, session: Session, items: Sequence[Any]) -> Table:
        """Predictions, compared with the rows' own classes."""
        rows = []
        for row, answer in self.ask(session, items):
            verdict = "right" if answer.label == row.label else "WRONG"
            rows.append((row.key, answer.label or answer.error, f"{answer.score:.0%}", row.label, verdict))
            log_event(
                "prediction", image=row.key, expected=row.label, label=answer.label, correct=answer.label == row.label
            )
        return Table(("Row", "Predicted", "Probability", "Should be", "Verdict"), rows)

    def evaluate(self, session: Session, items: Sequence[Any], title: str) -> Evaluation:
        """Judge the probabilities of the second class."""
        commit = serving.service_status(session.settings, session.names.service).version
        classes = layout_of(session).classes
        found = [Judged(row, answer.scores[classes[1]]) for row, answer in self.ask(session, items) if answer.scores]
        return Evaluation(title or commit[:12], commit, tuple(found), classes)

    def show_evaluation(self, evaluation: Any) -> Any:
        """ROC curve and calibration."""
        return plots([evaluation])

    def compare(self, evaluations: Sequence[Any]) -> Table:
        """ROC curves and calibrations, and the AUC by group."""
        from IPython.display import display

        display(plots(evaluations))
        return comparison(evaluations)

    def drift(self, old: Any, new: Any) -> Drift:
        """Means and shares of the columns."""
        return drift_between(old, new)

    def instance(self, item: Any) -> Mapping[str, Any] | Path:
        """The row's instance."""
        return dict(item.instance)

    def check_commit(self, session: Session, **facts: Any) -> Findings:
        """CSV files, and nothing else."""
        commit = latest_commit(session)
        source = mldm.commit_of(session.names.project, session.names.data_repo, id=commit)
        paths = mldm.files(session.pachyderm, source)
        tables = [path for path in paths if path.lower().endswith(SUFFIX)]
        yield expect(
            bool(tables),
            f"Commit {commit} holds {counted(len(tables), 'CSV file')}.",
            f"Commit {commit} holds no CSV file.",
            "Commit one with lab.commit().",
        )
        yield expect(
            len(tables) == len(paths),
            "All its files are CSV files.",
            f"{len(paths) - len(tables)} files aren't CSV files: {', '.join(sorted({*paths} - {*tables})[:3])}",
            "Training skips them. To remove them, use pachctl delete file.",
        )

    def check_answers(self, session: Session, **facts: Any) -> Findings:
        """The example's requests, and the sample rows; see :meth:`check_rows` for the facts."""
        return self.check_rows(session, **facts)

    def check_rows(
        self, session: Session, rows: Sequence[Row] | None = None, judge: bool = True, min_gap: float = 0.1
    ) -> Findings:
        """Whether the service answers, and rightly.

        Args:
            session: The session.
            rows: Rows that weren't used for training; the lab's own when None.
            judge: Whether to judge the answers.
            min_gap: By how much the mean probability of the second class must be higher for its rows than for others.
                Single answers may be wrong, because the class of a row is partly chance.
        """
        target, classes = serving.endpoint(session.settings, session.names.service), layout_of(session).classes
        for name in session.example.requests:
            request = json.loads(session.sample(name).read_text())
            answer = serving.predict(target, images=request, detail=False)[0]
            said = classes[answer.index] if answer.index is not None else answer.error
            fine = Path(name).stem == said if judge else answer.index is not None
            text = f"The answer for {name} is {said}."
            yield expect(fine, text, text, "Train with more rows; with only a few, a model guesses.")
        answers = self.ask(session, list(self.samples(session, "") if rows is None else rows))
        found = {
            name: [answer.scores.get(classes[1], 0.0) for row, answer in answers if row.label == name]
            for name in classes
        }
        yield expect(
            all(found.values()) and all(answer.scores for _, answer in answers),
            f"The service answered for {counted(len(answers), 'sample row')}.",
            "The service didn't answer for a sample row of each class.",
            "Check the log of the service's pod.",
        )
        if judge and all(found.values()):
            other, own = (fmean(found[name]) for name in classes)
            said = f"{classes[1]} has a probability of {own:.0%} for its sample rows, and of {other:.0%} for the others"
            yield expect(
                own - other >= min_gap, f"{said}.", f"{said}; {min_gap:.0%} more are required.", "Train with more rows."
            )


TASK = Tabular()
