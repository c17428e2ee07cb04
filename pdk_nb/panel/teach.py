"""Wrong answers become training data: the tray, and the way from its commit to the new version's answer."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import ipywidgets

from pdk_nb import journey
from pdk_nb.counting import counted
from pdk_nb.feedback import Tray
from pdk_nb.journey import jobs
from pdk_nb.journey.graph import graph
from pdk_nb.panel.compare import compare_view
from pdk_nb.panel.picture_results import PictureResult, ask
from pdk_nb.panel.styles import Html, escape
from pdk_nb.platforms import serving
from pdk_shared.errors import DataError

if TYPE_CHECKING:
    from pdk_nb.platforms.mldm import Job
    from pdk_nb.session import Session

TIMEOUT_S = 1800.0
NO_CLASS = "right class …"


class Teaching:
    """The controls that collect corrected answers and commit them.

    Args:
        session: The session.
        pictures: Returns the panel's last pictures.
        work: Runs a longer action with the panel's status and error handling.

    Attributes:
        view: What the last teaching showed: the answers before and after; None before the first.
    """

    def __init__(
        self,
        session: Session,
        pictures: Callable[[], Sequence[PictureResult]],
        work: Callable[[Callable[[], None]], None],
    ) -> None:
        self.session = session
        self.tray = Tray(session)
        self.view: Html | None = None
        self.say: Callable[[str, str], None] = lambda line, state: None
        self._taught: dict[bytes, PictureResult] = {}
        self._pictures, self._work = pictures, work
        self.choice = ipywidgets.Dropdown(
            options=[(NO_CLASS, "")], description="Wrong? Teach it", tooltip="The right class of this picture"
        )
        self.add = ipywidgets.Button(description="Put into the tray", tooltip="Collects the picture with this class")
        self.add.on_click(lambda _: self._work(self._add_chosen))
        self.commit = ipywidgets.Button(
            description="Commit the tray", tooltip="Commits the pictures to the data repo and starts a training"
        )
        self.commit.on_click(lambda _: self._work(self._teach))
        self.empty = ipywidgets.Button(description="Empty the tray", tooltip="Removes all pictures from the tray")
        self.empty.on_click(lambda _: self._work(self._clear))
        self.content = ipywidgets.HTML()
        self.flow = ipywidgets.HTML()
        self.result = ipywidgets.HTML()
        self.widget = ipywidgets.VBox(
            [
                ipywidgets.HBox([self.choice, self.add]),
                ipywidgets.HBox([self.content, self.commit, self.empty]),
                self.flow,
                self.result,
            ]
        )
        for row in self.widget.children[:2]:
            row.add_class("pdk-controls")
        self.widget.add_class("pdk-teach")
        self.offer()

    def offer(self) -> None:
        """Adapt the controls to the panel's last pictures and to the tray."""
        answered = [each for each in self._pictures() if each.answer and each.answer.scores]
        classes = list(answered[0].answer.scores) if answered and answered[0].answer else []
        wrong = [each for each in answered if each.right is False]
        options = [(NO_CLASS, ""), *((name, name) for name in classes)]
        if len(answered) > 1:
            options = [(f"the {counted(len(wrong), 'wrong answer')}, by the pictures' names", "*")] if wrong else []
        chosen = wrong[0].expected if len(answered) == 1 and wrong else (options or [("", "")])[0][1]
        self.choice.options, self.choice.value = options or [(NO_CLASS, "")], chosen
        self.widget.children[0].layout.display = "" if options and answered else "none"
        self.widget.children[1].layout.display = "" if self.tray else "none"
        text = "; ".join(f"{each.name} is {each.label}" for each in self.tray.corrections[:5])
        more = f" and {len(self.tray) - 5} more" if len(self.tray) > 5 else ""
        self.content.value = (
            f'<div class="pdk-view"><b>{escape(self.tray.summary())}</b> <span class="pdk-facts">'
            f"{escape(text + more)}</span></div>"
        )

    def put(self, label: str, pictures: Sequence[PictureResult]) -> None:
        """Put pictures with their right class into the tray.

        Args:
            label: The right class of all of them; ``*`` for the class that each picture's name gives.
            pictures: Pictures that have an answer.

        Raises:
            DataError: There is no class, no answer, or the model doesn't learn the class.
        """
        if not label:
            raise DataError("No class is chosen.", fix="Choose the right class beside 'Wrong? Teach it'.")
        chosen = [each for each in pictures if each.answer and (label != "*" or each.right is False)]
        if not chosen:
            raise DataError("There is no answer to correct.", fix="Ask the model about a picture first.")
        for each in chosen:
            assert each.answer is not None
            content = base64.b64decode((each.instance or {"data": ""})["data"])
            right = each.expected if label == "*" else label
            self.tray.add(each.name, content, right, tuple(each.answer.scores))
            self._taught[content] = replace(each, corrected=right)
        self.offer()

    def teach(self) -> str:
        """Commit the tray, follow the commit to its service, and ask the new version about the same pictures.

        Returns:
            The commit's id.

        Raises:
            PdkError: The commit is refused, a job fails, or the service doesn't answer.
        """
        before = [self._taught[each.content] for each in self.tray.corrections]
        self.say(f"Committing {counted(len(before), 'picture')} …", "")
        id = self.tray.commit()
        self._taught.clear()
        self.offer()
        names = self.session.names
        for title, pipeline in (("train", names.train_pipeline), ("deploy", names.deploy_pipeline)):
            jobs.wait_job(
                self.session,
                pipeline,
                id,
                TIMEOUT_S,
                lambda job, why, title=title: self._show_way(id, title, job, why),  # type: ignore[misc]
                interval=1.0,
            )
        serving.wait_ready(self.session.settings, names.service, version=id)
        after = ask(serving.endpoint(self.session.settings, names.service), before)
        self._draw(id)
        self.view = compare_view(after, before, ("After the training", "Before"))
        self.result.value = f'<div class="pdk-view">{self.view.content}</div>'
        learned = sum(bool(each.right) for each in after)
        self.say(
            f"Version {id[:12]}… answers: {learned} of {counted(len(after), 'corrected picture')} right.", "pdk-ok"
        )
        return id

    def _add_chosen(self) -> None:
        self.put(str(self.choice.value), self._pictures())
        self.say(self.tray.summary(), "pdk-ok")

    def _clear(self) -> None:
        self.tray.clear()
        self._taught.clear()
        self.offer()
        self.say(self.tray.summary(), "")

    def _teach(self) -> None:
        self.teach()

    def _show_way(self, id: str, title: str, job: Job | None, why: str) -> None:
        state = f"the {title} job is {job.state.lower()}" if job else f"the {title} job doesn't exist yet"
        self.say(f"Commit {id[:12]}…: {state}{why or '.'}", "")
        self._draw(id)

    def _draw(self, id: str) -> None:
        self.flow.value = graph(journey.read(self.session, id)).draw().inline()
