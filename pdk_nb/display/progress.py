"""Output that changes while a cell runs, and keeps its last state.

Everything here is plain output that updates in place, not a widget: a saved notebook shows the last state in every
viewer. Outside a notebook, only the last line is printed.
"""

from __future__ import annotations

import html
import time
from types import TracebackType
from typing import Any

from pdk_nb.display.diagrams.svg import COLOURS
from pdk_nb.display.tables import Note

REDRAW_S = 0.2
BAR_COLOUR = COLOURS["running"]


def in_notebook() -> bool:
    """Whether outputs can be updated in place."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell is not None and shell.has_trait("kernel")


class OutputArea:
    """One place in a cell's output; new output replaces the previous output."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown = ""

    def show(self, thing: Any) -> None:
        """Show an object, unless its output is the same as before."""
        from IPython.display import display

        text = _content(thing)
        if text == self._shown:
            return
        self._shown = text
        if self._handle is None:
            self._handle = display(thing, display_id=True)
        else:
            self._handle.update(thing)


def _content(thing: Any) -> str:
    """The output of an object, so that the same output isn't sent twice."""
    for method in ("_repr_html_", "_repr_mimebundle_"):
        if hasattr(thing, method) and not hasattr(thing, "savefig"):
            return str(getattr(thing, method)())
    return str(getattr(thing, "description", thing))


class LogLines:
    """The last lines of a text in a box with a fixed height.

    Args:
        title: Title of the box.
        lines: The lines.
    """

    def __init__(self, title: str, lines: list[str]) -> None:
        self.title = title
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join([f"{self.title}:", *self.lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        content = html.escape("\n".join(self.lines)) or "nothing yet"
        style = (
            "max-height:14em;overflow:auto;margin:0.2em 0 0.6em;padding:0.5em 0.8em;font-size:0.85em;line-height:1.45;"
            "border:1px solid #8884;border-radius:6px;white-space:pre"
        )
        return f'<div><b>{html.escape(self.title)}</b><pre style="{style}">{content}</pre></div>'


class ProgressBar:
    """A progress bar.

    Args:
        title: What the bar waits for.
        share: How much is done, 0 to 1; None when unknown.
        text: The current state.
    """

    def __init__(self, title: str, share: float | None, text: str) -> None:
        self.title = title
        self.share = None if share is None else min(1.0, max(0.0, share))
        self.text = text

    def __str__(self) -> str:
        return f"{self.title}: {self.text}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        share = self.share
        value = "" if share is None else f' aria-valuenow="{100 * share:.0f}"'
        width = "100%;opacity:0.35" if share is None else f"{100 * share:.1f}%"
        return (
            '<div style="margin:0.3em 0;max-width:46em">'
            f"<span>{html.escape(self.title)} &ensp;<span style='opacity:0.75'>{html.escape(self.text)}</span></span>"
            f'<div role="progressbar" aria-label="{html.escape(self.title)}"{value} aria-valuemin="0" '
            'aria-valuemax="100" style="height:6px;border-radius:3px;background:#8883;margin-top:4px;overflow:hidden">'
            f'<div style="height:100%;border-radius:3px;background:{BAR_COLOUR};width:{width}"></div></div></div>'
        )


class Progress:
    """Progress of one task, with its current state; it ends as one sentence.

    A context manager: if the task ends with an error, the last state stays, marked as stopped.

    Args:
        title: What the task waits for.
        total: The total number of units; 0 when unknown.
        unit: The unit.
    """

    def __init__(self, title: str, total: int = 0, unit: str = "") -> None:
        self.title = title
        self.total = total
        self.unit = unit
        self.text = ""
        self.done = 0
        self.started = time.monotonic()
        self._area = OutputArea()
        self._drawn = 0.0
        self._ended = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            return
        if kind is not None:
            self._finish(Note("wrong", f"{self.title}: stopped after {self.seconds:.0f} s. {self.text}".rstrip()))
        else:
            self.end(f"{self.title}: done after {self.seconds:.0f} s.")

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def step(self, done: int, total: int = 0) -> None:
        """Show how many units are done."""
        self.done, self.total = done, total or self.total
        self.say(f"{done} of {self.total} {self.unit}".rstrip(), done / self.total if self.total else None)

    def say(self, text: str, share: float | None = None) -> None:
        """Show the current state.

        Args:
            text: What happens now.
            share: How much is done, 0 to 1; None when unknown.
        """
        changed = text != self.text
        self.text = text
        now = time.monotonic()
        if in_notebook() and now - self._drawn > (REDRAW_S if changed else 1.0):
            self._drawn = now
            self._area.show(ProgressBar(self.title, share, f"{text} · {self.seconds:.0f} s"))

    def end(self, text: str, state: str = "ok") -> None:
        """Replace the bar with one sentence."""
        self._finish(Note(state, text))

    def _finish(self, note: Note) -> None:
        self._ended = True
        if in_notebook():
            self._area.show(note)
        else:
            print(note)
