"""Where user code finds ``/pfs``.

Where the system allows it, the code runs in a mount namespace of its own: a root that shows everything of
the machine, and the datum's folder as ``/pfs``. This works for root and, with user namespaces, for everybody.
Where it does not work (macOS, some containers), the code runs as it is, with ``PDK_PFS_ROOT`` naming the
folder.
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
# Set to anything, it makes user code run without a namespace, as it does where there are none.
DISABLE_VARIABLE = "PDK_NO_MOUNT_NAMESPACE"
_CHILD = Path(__file__).with_name("sandbox_child.py")


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
        self.has_namespace = not os.environ.get(DISABLE_VARIABLE) and self._probe()
        if not self.has_namespace:
            log.info("no private mount namespace here: user code gets %s", PFS_ROOT_VARIABLE)

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
                log.info("mount namespaces do not work here: %s", getattr(error, "stderr", b"") or error)
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
            scratch: A folder of this run alone.
            datum: The folder that becomes ``/pfs``.
            workdir: Where the command starts, or empty for the root of the file system.
            command: Program and arguments.
            mounts: More folders, by the path at which the command sees them.

        Raises:
            Fault: There are mounts, and the system has no mount namespaces.
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
