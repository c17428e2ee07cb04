"""What the two pipeline images run: ``train`` and ``deploy``, and the file that one hands to the other."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["pfs_root"]


def pfs_root() -> Path:
    """Where a Pachyderm worker finds its inputs and leaves its output: ``/pfs``, or what ``PDK_PFS_ROOT`` names.

    The variable is for workers that cannot have a ``/pfs`` of their own (no mount namespaces).
    """
    return Path(os.environ.get("PDK_PFS_ROOT") or "/pfs")
