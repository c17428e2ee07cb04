"""The prediction panel: pictures in, answers out, corrections back.

It is a thin view over functions that the notebooks also use.

``panel.submit(path)`` sets the upload from the kernel and runs the same code as a person's upload. ``display`` also
shows the result, because a saved notebook keeps no widgets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
from IPython.display import display

from pdk_nb.lessons.n05_prediction import log_prediction
from pdk_nb.panel.answer import answer_view
from pdk_nb.panel.batch import batch_view, tally
from pdk_nb.panel.compare import VersionChoice, compare_view
from pdk_nb.panel.picture_results import SHOWN_SIDE, SHOWN_SIDE_OF_MANY, PictureResult, ask, prepare
from pdk_nb.panel.status import StatusLine
from pdk_nb.panel.styles import Html
from pdk_nb.panel.teach import Teaching
from pdk_nb.panel.upload import PictureUpload, entry_of
from pdk_nb.picture_sources import pictures_in
from pdk_nb.platforms import serving
from pdk_nb.platforms.serving.predictions import Endpoint
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session

WELCOME = "Upload a picture, or select a sample."


class PredictionPanel:
    """Upload, answers, corrections, comparison.

    Args:
        session: The session.
        samples: Pictures of the gallery; the lab's own when empty.

    Attributes:
        pictures: The last pictures, each with its answer or the reason why it has none.
        view: What the panel shows; None before the first picture.
    """

    def __init__(self, session: Session, samples: Sequence[Path] = ()) -> None:
        self.session = session
        self.pictures: list[PictureResult] = []
        self.view: Html | None = None
        folder = session.sample("pred")
        gallery = list(samples) or (pictures_in(folder) if folder.is_dir() else [])
        self.upload = PictureUpload(gallery, self._upload_refused)
        self.upload.observe(self._uploaded, names="value")
        self.status = StatusLine()
        self.answer = ipywidgets.HTML()
        self.answer.add_class("pdk-result")
        self.versions = VersionChoice(session, self._show_comparison, self._work)
        self.versions.say = self.status.say
        self.compared = ipywidgets.HTML()
        self.compared.add_class("pdk-comparison")
        self.teaching = Teaching(session, lambda: self.pictures, self._work)
        self.teaching.say = self.status.say
        self.widget = ipywidgets.VBox(
            [self.upload, self.status, self.answer, self.teaching.widget, self.versions.widget, self.compared]
        )
        self.widget.add_class("pdk-panel")
        self._target: Endpoint | None = None
        self.status.say(WELCOME)

    @property
    def error(self) -> PdkError | None:
        """The last error; None after a success."""
        return self.status.error

    @property
    def last(self) -> Prediction | None:
        """The newest answer; None before the first."""
        return next((each.answer for each in reversed(self.pictures) if each.answer), None)

    def _ipython_display_(self) -> None:
        display(self.widget)

    def submit(self, *pictures: str | Path) -> None:
        """Upload pictures from the kernel, as a person does in the browser, and show the result.

        Args:
            pictures: Paths. Names that don't exist refer to ``sample-data``.

        Raises:
            PdkError: A picture was refused, or the service failed.
        """
        paths = [path if path.exists() else self.session.sample(str(path)) for path in map(Path, pictures)]
        self.upload.value = tuple(entry_of(path) for path in paths)
        self._shown()

    def compare(self, version: str) -> None:
        """Compare with another version on the last pictures, as a person does in the panel.

        Args:
            version: A version that the service has served. If necessary, it starts in a second service.

        Raises:
            PdkError: The version doesn't exist or doesn't start.
        """
        self.versions.select(version)
        self._shown()

    def end_comparison(self) -> None:
        """Remove the second service that a comparison started."""
        self._work(self.versions.end)
        if self.error:
            raise self.error

    def correct(self, label: str) -> None:
        """Put the last pictures with their right class into the tray, as a person does in the panel.

        Args:
            label: The right class; ``*`` for all wrong answers, each with the class that the picture's name gives.

        Raises:
            DataError: There is nothing to correct, or the model doesn't learn this class.
        """
        self.teaching.put(label, self.pictures)

    def teach(self) -> str:
        """Commit the tray, wait until the new version is served, and show both versions' answers for its pictures.

        Returns:
            The commit's id.

        Raises:
            PdkError: A commit, a job, or the service failed.
        """
        id = self.teaching.teach()
        if self.teaching.view is not None:
            display(self.teaching.view)
        return id

    def _shown(self) -> None:
        if self.error:
            raise self.error
        if self.view is not None:
            display(self.view)

    def _upload_refused(self, error: PdkError, partly: bool) -> None:
        """Show why an upload, or a part of it, was refused."""
        if not partly:
            # An earlier picture's answer below the error would look like the answer to this one.
            self._forget()
        self.status.refuse(error)

    def _forget(self) -> None:
        """Remove the last pictures and their answers."""
        self.pictures, self.view = [], None
        self.answer.value = self.compared.value = ""
        self.teaching.offer()

    def _work(self, action: Callable[[], None]) -> None:
        """Run a longer action: the controls are disabled, and the panel shows any error."""
        with self.status.working(self._busy):
            action()

    def _busy(self, busy: bool) -> None:
        self.upload.busy = busy

    def _uploaded(self, change: dict[str, Any]) -> None:
        files = list(change["new"] or ())
        if files:
            # An upload that stays in the widget would use its memory until the next one.
            self.upload.value = ()
            self._work(lambda: self._predict(files))

    def _predict(self, files: Sequence[Mapping[str, Any]]) -> None:
        self._forget()
        what = files[0]["name"] if len(files) == 1 else f"{len(files)} pictures"
        self.status.say(f"Sending {what} to the service …")
        target = self._target = serving.endpoint(self.session.settings, self.session.names.service)
        side = SHOWN_SIDE if len(files) == 1 else SHOWN_SIDE_OF_MANY
        prepared = []
        for number, file in enumerate(files, 1):
            name, folder = str(file["name"]), str(file.get("folder", ""))
            prepared.append(prepare(name, bytes(file["content"]), target, shown_side=side, folder=folder))
            if len(files) > 1:
                self.status.say(f"Preparing pictures: {number} of {len(files)}")
        self.pictures = ask(
            target, prepared, lambda done: self.status.say(f"Answers: {done} of {len(files)}"), self.status.waits
        )
        for each in self.pictures:
            if each.answer:
                log_prediction(each.name, each.expected, each.answer.label)
        self._show()
        if self.versions.endpoint is not None:
            self._show_comparison()
        self.status.error = next((each.error for each in self.pictures if each.error), None)

    def _show(self) -> None:
        assert self._target is not None
        single = len(self.pictures) == 1
        self.view = answer_view(self.pictures[0], self._target) if single else batch_view(self.pictures)
        self.answer.value = f'<div class="pdk-view">{self.view.content}</div>'
        self.teaching.offer()
        if single and self.pictures[0].answer:
            self.status.say(self.view.text, "pdk-ok")
        elif single:
            self.status.say("There is no answer.", "pdk-wrong")
        else:
            self.status.say(f"{tally(self.pictures)}.", "" if any(each.error for each in self.pictures) else "pdk-ok")

    def _show_comparison(self) -> None:
        """Send the same pictures to the other version and show both answers."""
        target = self.versions.endpoint
        if target is None:
            self.compared.value = ""
            self.status.say("The comparison has ended.")
            return
        if not self.pictures:
            self.status.say("The other version is ready. Upload a picture, or select a sample.", "pdk-ok")
            return
        theirs = ask(target, self.pictures, say=self.status.waits)
        self.view = compare_view(self.pictures, theirs)
        self.compared.value = f'<div class="pdk-view">{self.view.content}</div>'
        self.status.say(self.view.text, "pdk-ok")
