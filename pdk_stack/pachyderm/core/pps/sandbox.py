"""Provides ``/pfs`` to user code.

Where the system permits it, user code runs in a private mount namespace: a root that shows the whole machine, with the
datum's folder as ``/pfs``. This works for root and, with user namespaces, for any user. Elsewhere (macOS, some
containers), the code runs without a namespace, and ``PDK_PFS_ROOT`` names the folder.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdk_stack.pachyderm.errors import Fault

log = logging.getLogger("pdk_stack.pachyderm.sandbox")

PROBE_TIMEOUT_S = 20.0
PFS_ROOT_VARIABLE = "PDK_PFS_ROOT"
# Any value makes user code run without a mount namespace.
DISABLE_VARIABLE = "PDK_NO_MOUNT_NAMESPACE"
_CHILD = Path(__file__).with_name("sandbox_child.py")


@dataclass(frozen=True)
class Command:
    """A command that is ready to start.

    Attributes:
        argv: The program and its arguments.
        cwd: The working directory.
        pfs_root: The folder that its code must use instead of ``/pfs``, or empty.
    """

    argv: list[str]
    cwd: str
    pfs_root: str


class Sandbox:
    """Wraps commands so that they see a datum's folder as ``/pfs``; probes the system once."""

    def __init__(self) -> None:
        self.has_namespace = not os.environ.get(DISABLE_VARIABLE) and self._probe()
        if not self.has_namespace:
            log.info("mount namespaces are not available or disabled; user code gets %s", PFS_ROOT_VARIABLE)

    def _probe(self) -> bool:
        if not sys.platform.startswith("linux"):
            return False
        with tempfile.TemporaryDirectory(prefix="pdk-probe-") as scratch:
            root, datum = Path(scratch, "root"), Path(scratch, "pfs")
            root.mkdir()
            datum.mkdir()
            argv = self._wrapped(root, datum, "/", ["sh", "-c", "echo yes > /pfs/answer"], {})
            try:
                subprocess.run(argv, capture_output=True, timeout=PROBE_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL)
                return (datum / "answer").read_text() == "yes\n"
            except (OSError, subprocess.SubprocessError) as error:
                log.info("mount namespaces do not work on this machine: %s", getattr(error, "stderr", b"") or error)
                return False

    @staticmethod
    def _wrapped(root: Path, datum: Path, work: str, command: Sequence[str], mounts: Mapping[str, Path]) -> list[str]:
        order = {
            "root": str(root),
            "pfs": str(datum),
            "cwd": work,
            "binds": [[str(source), target] for target, source in mounts.items()],
            "argv": list(command),
        }
        return [sys.executable, "-I", "-S", str(_CHILD), json.dumps(order)]

    def wrap(
        self,
        scratch: Path,
        datum: Path,
        workdir: str,
        command: Sequence[str],
        mounts: Mapping[str, Path] | None = None,
    ) -> Command:
        """Make a command see a datum's folder as ``/pfs``.

        Args:
            scratch: A private folder for this run.
            datum: The folder that becomes ``/pfs``.
            workdir: The working directory; empty means the file system's root.
            command: The program and its arguments.
            mounts: Additional folders, by the path where the command sees them.

        Raises:
            Fault: ``mounts`` is given but mount namespaces aren't available.
        """
        if not self.has_namespace:
            if mounts:
                raise Fault(
                    f"cannot mount {', '.join(mounts)}: this machine has no mount namespaces; "
                    "use env_var instead of mount_path"
                )
            here = scratch / "work"
            here.mkdir(exist_ok=True)
            return Command(list(command), workdir or str(here), str(datum))
        root = scratch / "root"
        root.mkdir(exist_ok=True)
        argv = self._wrapped(root, datum, workdir or "/", command, mounts or {})
        return Command(argv, os.sep, "")
