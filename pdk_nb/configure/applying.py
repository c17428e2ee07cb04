"""Applying a plan: objects are created, or merged into existing ones."""

from __future__ import annotations

import re
from typing import Any

from pdk_nb.configure.plan import REQUEST_TIMEOUT_S, Plan
from pdk_nb.platforms.cluster import Object
from pdk_shared.errors import PdkError


def apply(client: Any, plan: Plan) -> list[tuple[str, str]]:
    """Create or update every object of a plan; other keys and labels of existing objects stay.

    Returns:
        Each object with ``created``, ``updated`` or ``unchanged``.

    Raises:
        PdkError: The cluster refuses an object.
    """
    return [(_name(each), put(client, each)) for each in plan.objects()]


def _name(each: Object) -> str:
    meta = each["metadata"]
    return f"{each['kind']} {meta['namespace'] + '/' if 'namespace' in meta else ''}{meta['name']}"


def put(client: Any, each: Object) -> str:
    """Create an object, or merge it into the existing one; unknown fields are refused."""
    import kubernetes

    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", each["kind"]).lower()
    api = (
        kubernetes.client.RbacAuthorizationV1Api(client)
        if each["apiVersion"].startswith("rbac.")
        else kubernetes.client.CoreV1Api(client)
    )
    place = [each["metadata"]["namespace"]] if "namespace" in each["metadata"] else []
    scope = "namespaced_" if place else ""
    options = {"field_validation": "Strict", "_request_timeout": REQUEST_TIMEOUT_S}
    try:
        try:
            getattr(api, f"create_{scope}{kind}")(*place, each, **options)
            return "created"
        except kubernetes.client.ApiException as error:
            if error.status != 409:
                raise
        name = each["metadata"]["name"]
        before = getattr(api, f"read_{scope}{kind}")(name, *place, _request_timeout=REQUEST_TIMEOUT_S)
        after = getattr(api, f"patch_{scope}{kind}")(name, *place, each, **options)
    except kubernetes.client.ApiException as error:
        raise PdkError(
            f"The cluster refuses it: {error.status} {error.reason}",
            where=_name(each),
            fix="Ask a cluster administrator to run this command.",
        ) from error
    same = before.metadata.resource_version == after.metadata.resource_version
    return "unchanged" if same else "updated"
