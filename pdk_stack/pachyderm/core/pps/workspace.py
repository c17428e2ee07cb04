"""A worker's folders: writes a datum's files below ``/pfs`` and collects the code's output."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.upload import Upload
from pdk_stack.pachyderm.core.pps.datums import Datum, DatumInput
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import is_file_name
from pdk_stack.pachyderm.store.blobs import BlobReader
from pdk_stack.pachyderm.store.tree import FoundEntry

# The file with a datum's variables, in its folder.
ENVIRONMENT = ".env"


class Workspace:
    """The folders of one worker.

    Args:
        root: A private folder for this worker.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pfs = root / "pfs"
        self.out = self.pfs / "out"

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def renew(self) -> None:
        """Reset the workspace. ``pfs`` itself stays, because running code may have it mounted."""
        self.pfs.mkdir(parents=True, exist_ok=True)
        for each in os.scandir(self.pfs):
            if each.is_dir(follow_symlinks=False):
                shutil.rmtree(each.path, ignore_errors=True)
            else:
                os.unlink(each.path)
        self.out.mkdir()

    def lay_out(self, engine: Engine, datum: Datum, variables: Mapping[str, str]) -> int:
        """Write a datum's inputs and its ``.env`` below ``pfs``; return the inputs' size in bytes.

        Raises:
            Fault: An input's name leads out of ``pfs``.
        """
        self.renew()
        (self.pfs / ENVIRONMENT).write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        total = 0
        with engine.read() as connection, engine.blobs.reader(connection) as content:
            for each in datum.inputs:
                if not is_file_name(each.leaf.name):
                    raise Fault(f'input name "{each.leaf.name}" leads out of /pfs')
                folder = self.pfs / each.leaf.name
                folder.mkdir(exist_ok=True)
                if getattr(each.leaf, "s3", False):
                    continue
                for found in tree_of(connection, each.commit).walk(each.found):
                    target = Path(f"{folder}{found.path}")
                    if found.is_dir:
                        target.mkdir(parents=True, exist_ok=True)
                        continue
                    target.parent.mkdir(parents=True, exist_ok=True)
                    total += _write(content, each, found, target)
        return total

    def environment(self) -> bytes:
        """Return the content of the datum's ``.env``."""
        path = self.pfs / ENVIRONMENT
        return path.read_bytes() if path.is_file() else b""

    def collect(self, upload: Upload, tag: str) -> int:
        """Add the code's output to the job's upload; return its size in bytes.

        Args:
            upload: Receives the files.
            tag: The datum's ID, which tags its files.

        Raises:
            Fault: A file name is invalid, or an entry is neither a file nor a folder.
        """
        return self._collect(self.out, "", upload, tag, ())

    def _collect(self, folder: Path, place: str, upload: Upload, tag: str, above: tuple[str, ...]) -> int:
        real = os.path.realpath(folder)
        if real in above:
            raise Fault(f"links form a loop in output: {place}")
        total = 0
        for name in sorted(os.listdir(folder)):
            path = f"{place}/{name}"
            source = self._resolve(_absolute(folder / name, path))
            mode = source.stat().st_mode
            if stat.S_ISDIR(mode):
                total += self._collect(source, path, upload, tag, (*above, real))
            elif stat.S_ISREG(mode):
                total += upload.add_local(path, source, tag)
            else:
                raise Fault(f"not a regular file: {path}")
        return total

    def _resolve(self, source: Path) -> Path:
        """Resolve a link that points into ``/pfs``."""
        if source.is_symlink():
            target = os.readlink(source)
            if target.startswith("/pfs/"):
                return self._resolve(self.pfs / target[len("/pfs/") :])
        if not source.exists():
            raise Fault(f"broken link in output: {source.name}")
        return source


def _absolute(source: Path, path: str) -> Path:
    """Refuse a link with a relative target: a cluster looks for it in the worker's own folder (``handleSymlinks``)."""
    if source.is_symlink() and not os.readlink(source).startswith("/"):
        raise Fault(f"relative link in output: {path} -> {os.readlink(source)}; link to an absolute path")
    return source


def _write(content: BlobReader, each: DatumInput, found: FoundEntry, target: Path) -> int:
    with target.open("wb") as handle:
        if getattr(each.leaf, "empty_files", False):
            return 0
        for chunk in content.read(found.entry.blobs, path=found.path):
            handle.write(chunk)
    return found.entry.size
