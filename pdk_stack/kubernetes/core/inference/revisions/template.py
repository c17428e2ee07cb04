"""A revision's template, as in Knative: its key and the names of its pods."""

from __future__ import annotations

import hashlib
import json

from pdk_stack.kubernetes.store.columns import Object

CONTAINER, INITIALIZER = "kserve-container", "storage-initializer"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def own_annotations(service: Object) -> dict[str, str]:
    """Return a service's annotations without those that tools maintain."""
    given = service["metadata"].get("annotations") or {}
    return {key: value for key, value in given.items() if key != LAST_APPLIED}


def replica_set_name(service: Object, revision: str) -> str:
    """Return the name of a revision's ReplicaSet."""
    return f"{revision}-deployment-{_digest(service, revision)[:9]}"


def pod_name(service: Object, revision: str, number: int) -> str:
    """Return the name of a revision's pod; the same number always gives the same name."""
    return f"{replica_set_name(service, revision)}-{_digest(service, revision, number)[:5]}"


def _digest(service: Object, revision: str, *more: int) -> str:
    text = "/".join(map(str, (service["metadata"]["uid"], revision, *more)))
    return hashlib.sha256(text.encode()).hexdigest()


# Predictor fields that say how a revision is used, not what it is: changing them needs no new revision.
USE_FIELDS = {
    "canaryTrafficPercent",
    "minReplicas",
    "maxReplicas",
    "scaleTarget",
    "containerConcurrency",
    "timeout",
}


def revision_key(service: Object) -> str:
    """Return the key that identifies a revision: spec, annotations, and labels, as in Knative's revision template.

    Annotations count because a new ``pach_id`` rolls out a new model version at the same URI.
    """
    meta = service["metadata"]
    notes = own_annotations(service)
    predictor = {key: value for key, value in service["spec"]["predictor"].items() if key not in USE_FIELDS}
    text = json.dumps([{**service["spec"], "predictor": predictor}, notes, meta.get("labels") or {}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
