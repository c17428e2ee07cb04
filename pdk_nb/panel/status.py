"""The line of a panel that says what it does, and why it has no answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ipywidgets

from pdk_nb.panel.answer import error_html
from pdk_nb.panel.styles import escape
from pdk_shared.errors import PdkError, PredictionError

__all__ = ["StatusLine"]


class StatusLine(ipywidgets.HTML):  # type: ignore[misc]
    """A message, or an error.

    Attributes:
        error: The last error; None after a success.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error: PdkError | None = None
        self.add_class("pdk-status")

    def say(self, line: str, state: str = "") -> None:
        """Show a message.

        Args:
            line: A text; it is escaped.
            state: A further class: ``pdk-ok`` or ``pdk-wrong``.
        """
        self.value = f'<div class="pdk-view"><p class="pdk-message {state}">{escape(line)}</p></div>'

    def waits(self, line: str) -> None:
        """Show what is waited for."""
        self.say(f"{line} …")

    def refuse(self, error: PdkError) -> None:
        """Show an error."""
        self.error = error
        self.value = f'<div class="pdk-view">{error_html(error)}</div>'

    @contextmanager
    def working(self, busy: Callable[[bool], None]) -> Iterator[None]:
        """Run a longer action: the controls are disabled, and any error is shown.

        Args:
            busy: Disables the controls, or enables them again.
        """
        self.error = None
        busy(True)
        try:
            yield
        except PdkError as error:
            self.refuse(error)
        except Exception as error:  # a callback's traceback would be lost; the person at the panel must see it
            self.refuse(
                PredictionError(f"{type(error).__name__}: {error}", fix="This is a bug in the panel. Please report it.")
            )
        finally:
            busy(False)
