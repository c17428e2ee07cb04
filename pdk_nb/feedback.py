"""Corrected answers become training data: a tray of pictures with their right class, committed as one arrival.

Each picture is committed as ``feedback/<class>/<number>.<suffix>``. The number comes from the picture's bytes, so a
picture that is corrected twice stays one file, and no camera's file name can contradict the class.
"""

from __future__ import annotations

import getpass
import hashlib
import io
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from pdk_nb.counting import counted
from pdk_nb.labels import LabelRule
from pdk_nb.photos import refused_name
from pdk_nb.platforms import mldm
from pdk_shared.errors import DataError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["FOLDER", "Correction", "Tray"]

#: The arrival's folder in the data repo.
FOLDER = "feedback"


@dataclass(frozen=True)
class Correction:
    """A picture with its right class.

    Attributes:
        name: The picture's file name, for people.
        content: The bytes that the model was asked about.
        label: The right class.
    """

    name: str
    content: bytes
    label: str

    @property
    def path(self) -> str:
        """Its path in the folder ``feedback``."""
        with Image.open(io.BytesIO(self.content)) as picture:
            suffix = (picture.format or "png").lower().replace("jpeg", "jpg")
        number = int(hashlib.sha256(self.content).hexdigest(), 16) % 10**12
        return f"{self.label}/{number:012d}.{suffix}"


class Tray:
    """Corrections that are not committed yet.

    Args:
        session: The session.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._corrections: dict[bytes, Correction] = {}

    def __len__(self) -> int:
        return len(self._corrections)

    @property
    def corrections(self) -> list[Correction]:
        """All corrections, in the order of their arrival."""
        return list(self._corrections.values())

    def add(self, name: str, content: bytes, label: str, classes: Sequence[str]) -> None:
        """Put a picture into the tray; a later correction of the same picture replaces the earlier one.

        Args:
            name: The picture's file name.
            content: The bytes that the model was asked about.
            label: The right class.
            classes: The classes that the pipeline learns.

        Raises:
            DataError: The pipeline doesn't learn that class, or Pachyderm refuses its name.
        """
        if label not in classes:
            raise DataError(f"The model doesn't learn {label!r}.", fix=f"Choose one of: {', '.join(classes)}")
        correction = Correction(name, content, label)
        path = f"{FOLDER}/{correction.path}"
        if refused_name(path) or LabelRule(tuple(classes)).name(path) != label:
            raise DataError(
                f"A folder can't be named {label}, so the repo can't keep this class.",
                fix="Give the class a name with the letters a to z in notebook 01.",
            )
        self._corrections[hashlib.sha256(content).digest()] = correction

    def clear(self) -> None:
        """Empty the tray."""
        self._corrections.clear()

    def summary(self) -> str:
        """What is in the tray, for people."""
        counts = Counter(each.label for each in self.corrections)
        kinds = ", ".join(f"{label}: {count}" for label, count in sorted(counts.items()))
        return f"{counted(len(self), 'picture')} in the tray ({kinds})." if self else "The tray is empty."

    def description(self, now: datetime | None = None) -> str:
        """The commit's description: who corrected what, and when.

        Args:
            now: The time; the current one by default.
        """
        who = self.session.names.participant or getpass.getuser()
        when = (now or datetime.now().astimezone()).strftime("%Y-%m-%d %H:%M %Z").strip()
        return f"feedback from {who}, {when}: " + ", ".join(f"{each.name} is {each.label}" for each in self.corrections)

    def commit(self, progress: Callable[[int, int], None] = lambda done, total: None) -> str:
        """Commit the tray to the data repo, which starts a training, and empty it.

        A picture that an earlier commit holds under another class moves to its new one.

        Args:
            progress: Called with the number of pictures sent and their total.

        Returns:
            The commit's id.

        Raises:
            DataError: The tray is empty, or Pachyderm refuses the commit.
        """
        if not self:
            raise DataError("The tray is empty.", fix="Add a picture and its right class first.")
        names, client = self.session.names, self.session.pachyderm
        paths = {each.path: each for each in self.corrections}
        known = {path.rpartition("/")[2] for path in paths}
        head = mldm.commit_of(names.project, names.data_repo, branch="master")
        moved = [
            path.removeprefix(f"/{FOLDER}/")
            for path in mldm.files(client, head, f"/{FOLDER}")
            if path.rpartition("/")[2] in known
        ]
        with tempfile.TemporaryDirectory(prefix="pdk-feedback-") as scratch:
            local = {}
            for number, (path, each) in enumerate(paths.items()):
                local[path] = Path(scratch, str(number))
                local[path].write_bytes(each.content)
            id = mldm.commit_files(
                client,
                names.project,
                names.data_repo,
                FOLDER,
                local,
                progress,
                description=self.description(),
                remove=[path for path in moved if path not in paths],
            )
        self.clear()
        return id
