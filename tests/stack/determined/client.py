"""The client's own command line, imported once and forked for each command: importing costs more than most of them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.stack.determined.conftest import ADMIN_PASSWORD, USER_PASSWORD
from tests.support.processes import ServiceProcess

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["determined.cli.cli"])
SECONDS = 120.0


def _run(words: list[str], environment: dict[str, str], output: str) -> None:
    """One command in a process of its own; its exit code is the process's."""
    os.environ.update(environment)
    with open(output, "wb", buffering=0) as sink, open(os.devnull, "rb") as nothing:
        for target, number in ((nothing, 0), (sink, 1), (sink, 2)):
            os.dup2(target.fileno(), number)
    sys.argv = ["det", *words]
    from determined.cli import cli

    cli.main(words)


class Det:
    """A command under way.

    Args:
        master: The master that it talks to.
        words: What follows ``det`` on the command line.
        admin: Whether the administrator runs it.
    """

    def __init__(self, master: ServiceProcess, *words: str, admin: bool = False) -> None:
        handle, name = tempfile.mkstemp(prefix="det-", suffix=".txt")
        os.close(handle)
        self._output = Path(name)
        environment = {
            "DET_USER": "admin" if admin else "determined",
            "DET_PASS": ADMIN_PASSWORD if admin else USER_PASSWORD,
            "DET_DEBUG_CONFIG_PATH": os.environ["DET_DEBUG_CONFIG_PATH"],
            "COLUMNS": "200",
        }
        arguments = (["-m", master.ready["determined"], *words], environment, name)
        self._process: Any = _FORKS.Process(target=_run, args=arguments, daemon=True)
        self._process.start()

    def output(self) -> str:
        """What it printed so far."""
        return self._output.read_text(errors="replace")

    def wait(self, seconds: float = SECONDS) -> tuple[int, str]:
        """Exit code and output, when it has ended."""
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            raise AssertionError(f"the command did not end within {seconds:.0f} s:\n{self.output()[-2000:]}")
        text = self.output()
        self._output.unlink()
        return int(self._process.exitcode), text


def det(master: ServiceProcess, *words: str, admin: bool = False) -> tuple[int, str]:
    """Exit code and output of one command."""
    return Det(master, *words, admin=admin).wait()
