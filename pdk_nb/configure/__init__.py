"""``pdk-config`` and related objects, filled in from the cluster.

Existing values stay. Empty keys get the values that are detected on the cluster. Required values that aren't found are
marked ``FILL IN``. Secrets are copied on the cluster and never printed.
"""

from __future__ import annotations

from pdk_nb.configure.applying import apply, put
from pdk_nb.configure.plan import MINIO_FLAGS, Plan, check_names, make_plan

__all__ = ["MINIO_FLAGS", "Plan", "apply", "check_names", "make_plan", "put"]
