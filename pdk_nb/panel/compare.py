"""Two versions side by side, for one picture or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from pdk_nb import version_comparison
from pdk_nb.counting import counted
from pdk_nb.panel.answer import bars, error_html, headline, label_of, title, version_name
from pdk_nb.panel.batch import matrix, tally
from pdk_nb.panel.picture_results import PictureResult
from pdk_nb.panel.styles import Html, escape
from pdk_nb.platforms.serving.predictions import Endpoint
from pdk_nb.version_comparison import Candidate
from pdk_shared.errors import DeploymentError

if TYPE_CHECKING:
    from pdk_nb.session import Session

NOBODY = "no other version"


class VersionChoice:
    """The control that selects, starts, and stops the other version.

    Args:
        session: The session.
        changed: Called when the endpoint to compare with changes.
        work: Runs a longer action with the panel's status and error handling.
    """

    def __init__(
        self, session: Session, changed: Callable[[], None], work: Callable[[Callable[[], None]], None]
    ) -> None:
        self.session = session
        self.endpoint: Endpoint | None = None
        self._filling = False
        self.say: Callable[[str], None] = lambda line: None
        self._changed, self._work = changed, work
        self.choice = ipywidgets.Dropdown(
            options=[(NOBODY, "")],
            description="Compare with",
            tooltip="Another version of the model, side by side with the one in service",
        )
        self.choice.observe(self._chosen, names="value")
        self.look = ipywidgets.Button(description="Look for versions", tooltip="Versions that the service has served")
        self.look.on_click(lambda _: self._work(self.refresh))
        self.stop = ipywidgets.Button(description="End the comparison", tooltip="Removes the second service")
        self.stop.on_click(lambda _: self._work(self.end))
        self.stop.layout.display = "none"
        self.widget = ipywidgets.HBox([self.choice, self.look, self.stop])
        self.widget.add_class("pdk-compare-choice")

    def refresh(self) -> None:
        """Look up the versions again; shows a message when there is no other."""
        found = self._fill()
        if not found:
            self.say("The service has served only one version; there is nothing to compare yet.")
        else:
            self.say(f"{counted(len(found), 'other version')} available.")

    def _fill(self) -> list[Candidate]:
        found = version_comparison.candidates(self.session)
        kept = self.choice.value
        options = [(NOBODY, ""), *((candidate.title, candidate.version) for candidate in found)]
        if tuple(options) != tuple(self.choice.options):
            # New options must not select anything, whatever the dropdown does with them.
            self._filling = True
            self.choice.options = options
            self.choice.value = kept if kept in [version for _, version in options] else ""
            self._filling = False
        running = any(candidate.endpoint and candidate.version != version_comparison.PREVIOUS for candidate in found)
        self.stop.layout.display = "" if running else "none"
        return found

    def _chosen(self, change: dict[str, Any]) -> None:
        if not self._filling:
            self._work(self._switch)

    def _switch(self) -> None:
        """Use the selected version, and start it if necessary."""
        version = str(self.choice.value)
        self.endpoint = None
        if version:
            candidate = next(
                (each for each in version_comparison.candidates(self.session) if each.version == version), None
            )
            if candidate is None:
                raise DeploymentError(f"{version} is no longer available.", fix="Look for versions again.")
            self.endpoint = candidate.endpoint or version_comparison.start(
                self.session, version, progress=lambda line: self.say(f"Starting {version[:12]}…: {line}")
            )
            self._fill()
        self._changed()

    def select(self, version: str) -> None:
        """Select a version from the kernel, as a person does.

        Args:
            version: Name of a version that the service has served; empty for none.

        Raises:
            DeploymentError: The service has never served it.
        """
        self._fill()
        if version not in [value for _, value in self.choice.options]:
            raise DeploymentError(
                f"{version or 'Nothing'} isn't available for a comparison.",
                where=self.session.names.service,
                fix="Give a version that the service has served, except the one in service.",
            )
        self.choice.value = version

    def end(self) -> None:
        """Stop comparing and remove the second service."""
        removed = version_comparison.stop(self.session)
        self.choice.value = ""
        self._fill()
        self.say("The second service is removed." if removed else "There was no second service.")


def compare_view(
    ours: Sequence[PictureResult],
    theirs: Sequence[PictureResult],
    titles: tuple[str, str] = ("In service", "Compared with"),
) -> Html:
    """The answers of two versions for the same pictures.

    Args:
        ours: Answers of the service.
        theirs: Answers of the other version, in the same order.
        titles: Headings of the two columns.
    """
    columns = []
    for heading, pictures in zip(titles, (ours, theirs), strict=True):
        name = next((version_name(each.answer) for each in pictures if each.answer), "no answer")
        body = _single(pictures[0]) if len(pictures) == 1 else f"<p>{escape(tally(pictures))}</p>{matrix(pictures)}"
        columns.append(f'<div class="pdk-card">{title(heading)}<p class="pdk-facts">{escape(name)}</p>{body}</div>')
    both = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.answer and b.answer]
    differ = [(a, b) for a, b in both if label_of(a.answer) != label_of(b.answer)]  # type: ignore[arg-type]
    summary = _agreement(len(both), len(differ))
    sheet = "".join(_pair(a, b) for a, b in differ[:60])
    content = (
        f'<p class="pdk-message"><b>Side by side</b>{escape(summary)}</p>'
        f'<div class="pdk-versions">{"".join(columns)}</div>'
        + (f'<div class="pdk-sheet">{sheet}</div>' if sheet else "")
    )
    return Html(content, summary)


def _agreement(both: int, differ: int) -> str:
    if not both:
        return "No picture has an answer from both versions."
    if both == 1:
        return "The two versions disagree." if differ else "Both versions agree."
    return (
        f"The two versions disagree on {differ} of {both} pictures."
        if differ
        else f"They agree on all {both} pictures."
    )


def _single(result: PictureResult) -> str:
    if result.answer is None:
        return error_html(result.error) if result.error else ""
    return headline(result, result.answer) + bars(result.answer)


def _pair(ours: PictureResult, theirs: PictureResult) -> str:
    def line(title: str, each: PictureResult) -> str:
        assert each.answer is not None
        mark = "" if each.right is None else (" ✓" if each.right else " ✗")
        return f"<div>{title}: <b>{escape(label_of(each.answer))}</b>{mark}</div>"

    return (
        f'<figure><img src="{ours.picture}" alt="{escape(ours.name)}">{line("in service", ours)}{line("other", theirs)}'
        f"<figcaption>{escape(ours.name)}</figcaption></figure>"
    )
