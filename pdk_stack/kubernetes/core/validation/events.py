"""Validates Events.

Source: ``pkg/apis/core/validation/events.go``, ``legacyValidateEvent``.
"""

from __future__ import annotations

from pdk_stack.kubernetes.core.validation.metadata import each_message
from pdk_stack.kubernetes.core.validation.syntax import dns_subdomain, qualified_name
from pdk_stack.kubernetes.errors import FieldError, invalid_value, required
from pdk_stack.kubernetes.store.columns import Object

ELSEWHERE = "does not match event.namespace"
MOST = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}


def event(obj: Object) -> list[FieldError]:
    """Validate an event of the core group: its namespace, and what newer events need."""
    found: list[FieldError] = []
    namespace = obj["metadata"].get("namespace") or ""
    about = (obj.get("involvedObject") or {}).get("namespace") or ""
    if not obj.get("eventTime"):
        if about != namespace and (about or namespace != "default"):
            found.append(invalid_value("involvedObject.namespace", about, ELSEWHERE))
    else:
        if not about and namespace not in ("default", "kube-system"):
            found.append(invalid_value("involvedObject.namespace", about, ELSEWHERE))
        controller = obj.get("reportingComponent") or ""
        if not controller:
            found.append(required("reportingComponent"))
        found += each_message("reportingComponent", controller, qualified_name)
        for name in ("reportingInstance", "action", "reason"):
            if not obj.get(name):
                found.append(required(name))
        for name, most in MOST.items():
            if len((obj.get(name) or "").encode()) > most:
                found.append(invalid_value(name, "", f"can have at most {most} characters"))
    return found + each_message("namespace", namespace, dns_subdomain)
