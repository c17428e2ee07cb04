"""What Knative refuses of the service that KServe makes for an InferenceService.

KServe's webhook takes such values, and its controller then fails to create or update the Knative service. Sources:
``pkg/apis/serving/v1`` and ``pkg/apis/serving/metadata_validation.go`` of Knative Serving 1.15, with the limits of its
``config-defaults``.
"""

from __future__ import annotations

from pdk_stack.kubernetes.store.columns import Object

__all__ = ["knative_problem"]

LABEL_LENGTH = 63
# Greatest values: max-revision-timeout-seconds, container-concurrency-max-limit.
TIMEOUT_SECONDS, CONCURRENCY = 600, 1000
WEBHOOK = 'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed: '


def knative_problem(service: Object) -> str:
    """Return why Knative refuses a service, in its webhook's words; empty when it takes it."""
    predictor = service["spec"]["predictor"]
    if len(f"{service['metadata']['name']}-predictor") > LABEL_LENGTH:
        return f"{WEBHOOK}not a DNS 1035 label: [must be no more than {LABEL_LENGTH} characters]: metadata.name"
    for field, most, path in (
        ("timeout", TIMEOUT_SECONDS, "spec.template.spec.timeoutSeconds"),
        ("containerConcurrency", CONCURRENCY, "spec.template.spec.containerConcurrency"),
        ("canaryTrafficPercent", 100, "spec.traffic[0].percent"),
    ):
        given = predictor.get(field)
        if given is not None and not 0 <= given <= most:
            return f"{WEBHOOK}expected 0 <= {given} <= {most}: {path}"
    return ""
