"""Files that a person has dropped on the console and not committed yet."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from pdk_nb.photos import refused_name
from pdk_shared.errors import DataError, NotFound

__all__ = ["Tray", "Trays"]

#: Largest tray.
MOST_FILES, MOST_BYTES = 2_000, 1_000_000_000


@dataclass
class Tray:
    """Files for one commit.

    Attributes:
        folder: Where they are until then.
        files: Local file by the name that it gets in the repo.
        bytes: Their size.
    """

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    bytes: int = 0


class Trays:
    """The trays of a console; they go when it stops."""

    def __init__(self) -> None:
        self._root: Path | None = None
        self._trays: dict[str, Tray] = {}

    def close(self) -> None:
        """Remove all trays."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    def new(self) -> str:
        """Open a tray; its key is in the page that fills it."""
        self._root = self._root or Path(tempfile.mkdtemp(prefix="pdk-console-"))
        key = secrets.token_urlsafe(12)
        self._trays[key] = Tray(Path(tempfile.mkdtemp(dir=self._root)))
        return key

    def get(self, key: str) -> Tray:
        """An open tray.

        Raises:
            NotFound: There is none: it was committed, or the console has started again.
        """
        if key not in self._trays:
            raise NotFound("This tray is empty or committed already.", where="tray", fix="Drop the files again.")
        return self._trays[key]

    def remove(self, key: str) -> None:
        """Remove a tray after its commit."""
        shutil.rmtree(self._trays.pop(key).folder, ignore_errors=True)

    async def add(self, key: str, name: str, body: AsyncIterator[bytes]) -> Tray:
        """Put a file into a tray; a later file of the same name replaces the earlier one.

        Args:
            key: The tray.
            name: The file's name, without a folder.
            body: Its content.

        Raises:
            NotFound: There is no such tray.
            DataError: Pachyderm would refuse the name, or the tray is full.
        """
        tray = self.get(key)
        if not name or "/" in name or name in (".", "..") or refused_name(name):
            raise DataError(f"Pachyderm refuses the name '{name}'.", fix="Rename the file, and drop it again.")
        if len(tray.files) >= MOST_FILES:
            raise DataError(f"A tray takes {MOST_FILES} files.", fix="Commit them, and drop the others afterwards.")
        target = tray.folder / secrets.token_hex(8)
        size = 0
        try:
            with target.open("wb") as file:
                async for piece in body:
                    size += len(piece)
                    if tray.bytes + size > MOST_BYTES:
                        raise DataError(f"A tray takes {MOST_BYTES // 1_000_000} MB.", fix="Commit in several parts.")
                    file.write(piece)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        old = tray.files.get(name)
        if old is not None:
            tray.bytes -= old.stat().st_size
            old.unlink()
        tray.files[name] = target
        tray.bytes += size
        return tray
