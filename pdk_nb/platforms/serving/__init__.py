"""InferenceServices of KServe: create or update, wait with reasons, split traffic, roll back, predict.

Everything goes through the Kubernetes API with the official client; every function takes the lab's settings or a
:class:`Cluster` made by :func:`connect`. An update is a merge patch of the fields that belong to the lab, guarded by
the object's ``resourceVersion``: what others set (autoscaling, labels, a canary share) stays. Both modes of KServe are
known (:mod:`pdk_nb.platforms.serving.installation`).

Notebook 04 shows ``kserve.KServeClient``, the client for people. The lab's own calls go to the same API through
``kubernetes.CustomObjectsApi``, on which ``KServeClient`` is built: the client of KServe 0.13 has no timeout for a
request, turns every refusal into a ``RuntimeError`` without its status (a conflict must be tried again, a missing right
must not), can't make a dry run, and sets the kubeconfig for the whole process.
"""

from pdk_nb.platforms.cluster import Cluster, connect
from pdk_nb.platforms.serving.account import ensure_service_account
from pdk_nb.platforms.serving.applying import apply, delete
from pdk_nb.platforms.serving.endpoints import curl_command, endpoint, predict
from pdk_nb.platforms.serving.objects import Applied, refusal
from pdk_nb.platforms.serving.pods import Pod
from pdk_nb.platforms.serving.predictions import Endpoint, Prediction
from pdk_nb.platforms.serving.readiness import resource_version, service_status, status_table, wait_ready
from pdk_nb.platforms.serving.rollout import (
    NoCanary,
    Share,
    canary,
    promote,
    revisions,
    rollback,
    set_canary,
    traffic,
    wait_share,
)
from pdk_nb.platforms.serving.server_log import ErrorLine, error_lines
from pdk_nb.platforms.serving.spec import Deployment, check_service_name, manifest
from pdk_nb.platforms.serving.status import ServiceStatus
from pdk_nb.platforms.serving.usage import Counts, Reading, Usage, between, read_usage

__all__ = [
    "Applied",
    "Cluster",
    "Counts",
    "Deployment",
    "Endpoint",
    "ErrorLine",
    "NoCanary",
    "Pod",
    "Prediction",
    "Reading",
    "ServiceStatus",
    "Share",
    "Usage",
    "apply",
    "between",
    "canary",
    "check_service_name",
    "connect",
    "curl_command",
    "delete",
    "endpoint",
    "ensure_service_account",
    "error_lines",
    "manifest",
    "predict",
    "promote",
    "read_usage",
    "refusal",
    "resource_version",
    "revisions",
    "rollback",
    "service_status",
    "set_canary",
    "status_table",
    "traffic",
    "wait_ready",
    "wait_share",
]
