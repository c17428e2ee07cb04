"""The ``det`` commands of a PDK user, each run against a real master."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack.determined import commands
from tests.stack.determined.conftest import new_master


@pytest.mark.slow
def test_every_command_answers(tmp_path: Path) -> None:
    master = new_master(tmp_path / "master").start()
    try:
        names = commands.prepare(master, tmp_path)
        problems = [
            found
            for command in commands.COMMANDS
            if (found := commands.problem(command, *commands.run(master, command, names), names))
        ]
    finally:
        master.stop()
    assert not problems, "\n\n".join(problems)


def test_page_is_current() -> None:
    assert commands.PAGE.read_text() == commands.page(), "run: python -m tests.stack.determined.commands"
