"""Where user code finds ``/pfs``.

Where the system allows it, the code runs in a mount namespace of its own: a root that shows everything of
the machine, and the datum's folder as ``/pfs``. This works for root and, with user namespaces, for everybody.
Where it does not work (macOS, some containers), the code runs as it is, with ``PDK_PFS_ROOT`` naming the
folder.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("pdk_nb.local.pachyderm.sandbox")

PROBE_TIMEOUT_S = 20.0
PFS_ROOT_VARIABLE = "PDK_PFS_ROOT"

# Arguments: new root (an empty folder), datum folder, working folder, command.
_SCRIPT = """
set -e
root=$1; datum=$2; work=$3; shift 3
mount -t tmpfs -o mode=755 pdk-lab "$root"
for each in /* /.[!.]*; do
  name=${each#/}
  if [ "$name" = pfs ]; then continue
  elif [ -L "$each" ]; then cp -P "$each" "$root/$name"
  elif [ -d "$each" ]; then mkdir "$root/$name"; mount --rbind "$each" "$root/$name"
  elif [ -f "$each" ]; then : > "$root/$name"; mount --bind "$each" "$root/$name"
  fi
done
mkdir "$root/pfs"
mount --bind "$datum" "$root/pfs"
exec chroot "$root" sh -c 'cd "$0" && exec "$@"' "$work" "$@"
"""
_UNSHARE = (
    ("unshare", "--mount", "--propagation", "private"),
    ("unshare", "--map-root-user", "--mount", "--propagation", "private"),
)


@dataclass(frozen=True)
class Command:
    """A command ready to be started.

    Attributes:
        argv: Program and arguments.
        cwd: Where to start it.
        pfs_root: What its code must use instead of ``/pfs``, or empty.
    """

    argv: list[str]
    cwd: str
    pfs_root: str


class Sandbox:
    """Wraps commands so that they see a datum's folder as ``/pfs``; probes once what the system allows."""

    def __init__(self) -> None:
        self._prefix = self._probe()

    @property
    def has_namespace(self) -> bool:
        """Whether ``/pfs`` is really there for user code."""
        return self._prefix is not None

    def _probe(self) -> tuple[str, ...] | None:
        if shutil.which("unshare") is None:
            return None
        for prefix in _UNSHARE:
            with tempfile.TemporaryDirectory(prefix="pdk-probe-") as scratch:
                root, datum = Path(scratch, "root"), Path(scratch, "pfs")
                root.mkdir()
                datum.mkdir()
                argv = self._wrapped(prefix, root, datum, "/", ["sh", "-c", "echo yes > /pfs/answer"])
                try:
                    subprocess.run(
                        argv,
                        capture_output=True,
                        timeout=PROBE_TIMEOUT_S,
                        check=True,
                        stdin=subprocess.DEVNULL,
                    )
                    if (datum / "answer").read_text() == "yes\n":
                        return prefix
                except (OSError, subprocess.SubprocessError) as error:
                    log.debug("%s does not work here: %s", " ".join(prefix), error)
        log.info("no private mount namespace here: user code gets %s", PFS_ROOT_VARIABLE)
        return None

    @staticmethod
    def _wrapped(prefix: tuple[str, ...], root: Path, datum: Path, work: str, command: Sequence[str]) -> list[str]:
        return [*prefix, "sh", "-c", _SCRIPT, "sh", str(root), str(datum), work, *command]

    def wrap(self, scratch: Path, datum: Path, workdir: str, command: Sequence[str]) -> Command:
        """Make a command see a datum's folder as ``/pfs``.

        Args:
            scratch: A folder of this run alone.
            datum: The folder that becomes ``/pfs``.
            workdir: Where the command starts, or empty for the root of the file system.
            command: Program and arguments.
        """
        if self._prefix is None:
            here = scratch / "work"
            here.mkdir(exist_ok=True)
            return Command(list(command), workdir or str(here), str(datum))
        root = scratch / "root"
        root.mkdir(exist_ok=True)
        argv = self._wrapped(self._prefix, root, datum, workdir or "/", command)
        return Command(argv, os.sep, "")
