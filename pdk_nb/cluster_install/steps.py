"""Progress of an installation: numbered steps, each with a log and a time, and an error that names its step."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pdk_nb.cluster_install.tools import InstallError
from pdk_shared.errors import PdkError

__all__ = ["Step", "Steps"]


@dataclass
class Step:
    """One step while it runs.

    Attributes:
        log: File for what its programs print.
        say: Called with a line of progress.
        changed: Whether it did anything; a step that only looked sets it to False.
    """

    log: Path
    say: Callable[[str], None]
    changed: bool = True


class Steps:
    """The steps of one run.

    Args:
        total: Number of steps.
        logs: Folder for their logs; only the user can read it.
        say: Called with each line for people.
    """

    def __init__(self, total: int, logs: Path, say: Callable[[str], None]) -> None:
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._total, self._logs, self._say = total, logs, say
        self._number = 0
        self.changed: list[str] = []

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run one step.

        Args:
            title: What it does, for people.

        Raises:
            InstallError: It failed; with its name and, unless the error says another place, its log.
        """
        self._number += 1
        log = self._logs / f"{self._number:02d}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')[:40]}.log"
        log.write_text("")
        self._say(f"[{self._number}/{self._total}] {title} ...")
        step, started = Step(log, lambda line: self._say(f"      {line}")), time.monotonic()
        try:
            yield step
        except PdkError as error:
            failed = InstallError(
                f"Step {self._number} of {self._total} failed: {title}. {error.what}",
                where=error.where or f"log: {log}",
                fix=error.fix,
            )
            failed.exit_code = error.exit_code
            raise failed from error
        if step.changed:
            self.changed.append(title)
        self._say(f"      {'done' if step.changed else 'as it was'}, {time.monotonic() - started:.0f} s")
