"""``pdk-config`` and what goes with it, filled from what is on the cluster.

What people have written there stays; what the cluster tells is put where nothing stands; what nobody tells is marked.
Secrets go from where they are to where they are needed, and into no text.
"""

from __future__ import annotations

from pdk_nb.configure.applying import apply, put
from pdk_nb.configure.plan import MINIO_FLAGS, Plan, check_names, make_plan

__all__ = ["MINIO_FLAGS", "Plan", "apply", "check_names", "make_plan", "put"]
