"""What the notebooks need to know about pictures with classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb.evaluation import sheet
from pdk_nb.labels import choose_classes
from pdk_nb.lessons import n01_pipelines, n02_data, n05_prediction, n06_second_arrival
from pdk_nb.picture_sources import names_in
from pdk_nb.tasks.lab_task import Arrival, Findings, LabTask

if TYPE_CHECKING:
    from pdk_nb.display.tables import Markup, Table
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session

__all__ = ["TASK", "ImageClassification"]


class ImageClassification(LabTask):
    """Pictures, whose names or folders give their classes. An item is a picture's path."""

    name = "image-classification"
    files = "pictures"

    def choose_classes(self, session: Session, named: str, source: str) -> tuple[str, ...]:
        """The named classes, or else those of the pictures' names."""
        return choose_classes(named, names_in(source) if source and not named else ())

    def open(self, session: Session, source: str, arrival: str, small: bool) -> Arrival:
        """Inspect the pictures of a folder or zip file."""
        limit = n02_data.SMALL if small else 0
        return n02_data.open_photos(session, source, arrival, n01_pipelines.classes(session), limit)

    def hold_out(self, session: Session, arrivals: Sequence[Any]) -> Sequence[Path]:
        """Pictures, of which the paths alone decide."""
        return n02_data.hold_out(arrivals)

    def samples(self, session: Session, source: str) -> Sequence[Path]:
        """A few pictures."""
        return n05_prediction.samples(session, source)

    def show_request(self, item: Any) -> Markup:
        """A picture and its base64 text."""
        return n05_prediction.show_request(Path(item))

    def ask(self, session: Session, items: Sequence[Any]) -> list[tuple[Any, Prediction]]:
        """Pictures with the service's answers."""
        return list(n05_prediction.ask(session, items))

    def predict(self, session: Session, items: Sequence[Any]) -> Table:
        """Predictions, compared with the pictures' names."""
        return n05_prediction.predict_pictures(session, items)

    def evaluate(self, session: Session, items: Sequence[Any], title: str) -> Any:
        """Count right and wrong answers."""
        return n06_second_arrival.evaluate(session, items, title)

    def show_evaluation(self, evaluation: Any) -> Markup:
        """A contact sheet by kind."""
        return sheet(evaluation)

    def compare(self, evaluations: Sequence[Any]) -> Table:
        """Confusion matrices, and the accuracy by kind."""
        return n06_second_arrival.compare_pictures(evaluations)

    def drift(self, old: Any, new: Any) -> Any:
        """Brightness, size, classes, and novelty."""
        return n06_second_arrival.picture_drift(old, new)

    def instance(self, item: Any) -> Mapping[str, Any] | Path:
        """The picture itself."""
        return Path(item)

    def check_commit(self, session: Session, **facts: Any) -> Findings:
        """Pictures of every class, and nothing else."""
        return n02_data.check_pictures(session, **facts)

    def check_answers(self, session: Session, **facts: Any) -> Findings:
        """The setup guide's two requests, and the sample pictures."""
        return n05_prediction.check_pictures(session, **facts)


TASK = ImageClassification()
