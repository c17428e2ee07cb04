"""The input of pictures: files, drag and drop, the camera, an address, or a sample.

``upload.js`` is the browser's side. The kernel requests files in chunks, one by one, so a message never comes near the
limit of Jupyter's websocket (10 MiB by default), above which a plain upload is lost silently. All pictures end up in
``value``, in the form of ipywidgets' ``FileUpload``, so setting ``value`` from the kernel is the same as an upload by
hand.
"""

from __future__ import annotations

import mimetypes
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from pdk_nb.panel import styles
from pdk_nb.panel.download import MAX_PICTURE_BYTES, fetch_picture
from pdk_nb.photos import thumbnail
from pdk_shared.errors import DataError, PdkError

MAX_PICTURES = 100


def entry(name: str, content: bytes | bytearray, kind: str = "", folder: str = "") -> dict[str, Any]:
    """One uploaded file in the form of ipywidgets' ``FileUpload``, and its folder.

    Args:
        name: The file's name.
        content: Its bytes.
        kind: Its media type; guessed from the name when empty.
        folder: Name of its folder, which may give the class; empty when unknown.
    """
    return {
        "name": name,
        "folder": folder,
        "type": kind or mimetypes.guess_type(name)[0] or "application/octet-stream",
        "size": len(content),
        "content": memoryview(content),
        "last_modified": datetime.now(timezone.utc),
    }


def entry_of(path: Path) -> dict[str, Any]:
    """A file on this machine as an upload."""
    return entry(path.name, path.read_bytes(), folder=path.parent.name)


@dataclass
class Transfer:
    """A transfer of files from the browser.

    Attributes:
        key: The browser's name for this transfer.
        files: Name, media type and size of each file that was accepted.
        places: Position of each file in the browser's list.
        received: The received part of each file.
        refusal: Why other files weren't accepted; None when all were.
    """

    key: str
    files: list[tuple[str, str, int]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    received: list[bytearray] = field(default_factory=list)
    refusal: PdkError | None = None

    @property
    def current(self) -> int | None:
        """The first incomplete file."""
        pairs = zip(self.files, self.received, strict=True)
        return next((n for n, (file, got) in enumerate(pairs) if len(got) < file[2]), None)


class PictureUpload(anywidget.AnyWidget):
    """The control that takes pictures.

    Args:
        samples: Pictures of the gallery.
        refused: Called with the reason when files are refused, and whether others were accepted.
    """

    _esm = Path(__file__).with_name("upload.js")
    _css = styles.SHEET

    value = traitlets.Tuple(help="Uploaded files in the form of ipywidgets' FileUpload.")
    gallery: traitlets.List[dict[str, str]] = traitlets.List(help="Name and thumbnail of each sample.").tag(sync=True)
    limit_mb = traitlets.Int(MAX_PICTURE_BYTES >> 20).tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)

    def __init__(self, samples: Sequence[Path], refused: Callable[[PdkError, bool], None]) -> None:
        plain = Counter(path.name for path in samples)
        # Two folders may contain pictures with the same name.
        named = {path.name if plain[path.name] == 1 else f"{path.parent.name}/{path.name}": path for path in samples}
        super().__init__(gallery=[{"name": name, "picture": thumbnail(path)} for name, path in named.items()])
        self._samples = named
        self._refused = refused
        self._transfer: Transfer | None = None
        self.on_msg(self._receive)
        self.add_class("pdk-upload-widget")

    def _receive(self, _: Any, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        try:
            kind = content.get("kind")
            if kind == "begin":
                self._begin(str(content["key"]), content["files"])
            elif kind == "chunk":
                self._chunk(str(content["key"]), bytes(buffers[0]))
            elif kind == "samples":
                chosen = [self._samples[name] for name in content["names"]]
                self.value = tuple(entry_of(path) for path in chosen)
            elif kind == "address":
                name, picture = fetch_picture(str(content["address"]))
                self.value = (entry(name, picture),)
        except PdkError as error:
            self._refused(error, False)
        except OSError as error:
            self._refused(DataError(f"Can't read the sample: {error}"), False)

    def _begin(self, key: str, files: Sequence[dict[str, Any]]) -> None:
        """Check names and sizes before anything is sent."""
        transfer = Transfer(key)
        refused, fixes = [], []
        for place, file in enumerate(files):
            name, size = str(file["name"]), int(file["size"])
            if size > MAX_PICTURE_BYTES:
                refused.append(f"{name} has {size / 2**20:.0f} MB; the limit is {self.limit_mb} MB")
                fixes.append("Use smaller pictures.")
            elif not size:
                refused.append(f"{name} is empty")
                fixes.append("Save the picture again in the program that it comes from.")
            elif len(transfer.files) >= MAX_PICTURES:
                refused.append(f"{name} is one too many; the limit is {MAX_PICTURES} at a time")
                fixes.append(f"Upload at most {MAX_PICTURES} pictures at a time.")
            else:
                transfer.files.append((name, str(file.get("type", "")), size))
                transfer.places.append(place)
                transfer.received.append(bytearray())
        if refused:
            more = f" (and {len(refused) - 3} more)" if len(refused) > 3 else ""
            message = "; ".join(refused[:3]) + more + "."
            transfer.refusal = DataError(message, fix=" ".join(dict.fromkeys(fixes)))
        self._transfer = transfer
        self._go_on(transfer)

    def _chunk(self, key: str, content: bytes) -> None:
        transfer = self._transfer
        if transfer is None or transfer.key != key or transfer.current is None:
            # A newer transfer has replaced it.
            return
        number = transfer.current
        got, size = transfer.received[number], transfer.files[number][2]
        if not content or len(got) + len(content) > size:
            self._transfer = None
            self.send({"kind": "done", "key": key})
            raise DataError(f"{transfer.files[number][0]} changed during the upload.", fix="Upload it again.")
        got += content
        self._go_on(transfer)

    def _go_on(self, transfer: Transfer) -> None:
        """Request the next chunk, or pass on the complete files."""
        number = transfer.current
        if number is not None:
            offset = len(transfer.received[number])
            self.send({"kind": "next", "key": transfer.key, "place": transfer.places[number], "offset": offset})
            return
        self._transfer = None
        self.send({"kind": "done", "key": transfer.key})
        if transfer.files:
            pairs = zip(transfer.files, transfer.received, strict=True)
            self.value = tuple(entry(name, got, kind) for (name, kind, _), got in pairs)
        if transfer.refusal is not None:
            # Last, so that other answers don't overwrite it.
            self._refused(transfer.refusal, bool(transfer.files))
