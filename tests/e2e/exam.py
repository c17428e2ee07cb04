"""The exam of docs/exam.md as data: its sections in order, each with the blocks of code that a reader runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.command_line import ROOT

PAGE = ROOT / "docs" / "exam.md"
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of code: its language, the file that it is (or empty), its text, and its line in the page."""

    language: str
    file: str
    text: str
    line: int


@dataclass(frozen=True)
class Section:
    """One section of the page: its heading and its blocks."""

    title: str
    blocks: tuple[Block, ...]

    def run(self, space: dict[str, Any], folder: Path) -> None:
        """Do what a reader does, in order: write the files, run the commands, and execute the Python.

        Args:
            space: The names that earlier sections defined; extended.
            folder: The reader's working folder.
        """
        # A page whose blocks are not found would pass every test.
        assert any(block.language == "python" for block in self.blocks), f"{PAGE}: {self.title} has no answer"
        for block in self.blocks:
            if block.file:
                (folder / block.file).write_text(block.text)
            elif block.language == "bash":
                path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
                done = subprocess.run(
                    ["bash", "-ec", block.text],
                    cwd=folder,
                    env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
                    capture_output=True,
                    text=True,
                    timeout=120,
                )
                assert done.returncode == 0, done.stderr
            else:
                assert block.language == "python", f"{PAGE}:{block.line}"
                # Lines of a traceback are those of the page.
                exec(compile("\n" * block.line + block.text, str(PAGE), "exec"), space)


def sections() -> list[Section]:
    """All sections; the first one is the preparation before the first heading."""
    text = PAGE.read_text()
    starts = [0, *(found.start() for found in HEADING.finditer(text)), len(text)]
    found = []
    for begin, end in zip(starts, starts[1:], strict=False):
        part = text[begin:end]
        heading = HEADING.match(part)
        blocks = tuple(
            Block(each[1], each[2] or "", each[3], text.count("\n", 0, begin + each.start()) + 1)
            for each in BLOCK.finditer(part)
        )
        found.append(Section(heading[1] if heading else "Preparation", blocks))
    return found


SECTIONS = sections()
