"""Validates roles and their bindings.

Source: ``pkg/apis/rbac/validation``.
"""

from __future__ import annotations

from typing import Any

from pdk_stack.kubernetes.core.validation.metadata import each_message, label_selector
from pdk_stack.kubernetes.core.validation.syntax import dns_subdomain, path_segment
from pdk_stack.kubernetes.errors import FieldError, invalid_value, not_supported, quoted, required
from pdk_stack.kubernetes.store.columns import Object

GROUP = "rbac.authorization.k8s.io"


def _rule(rule: dict[str, Any], place: str, *, namespaced: bool) -> list[FieldError]:
    found = [] if rule.get("verbs") else [required(f"{place}.verbs", "verbs must contain at least one value")]
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            why = "namespaced rules cannot apply to non-resource URLs"
            found.append(invalid_value(f"{place}.nonResourceURLs", urls, why))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            found.append(invalid_value(f"{place}.nonResourceURLs", urls, why))
        return found
    if not rule.get("apiGroups"):
        found.append(required(f"{place}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        found.append(required(f"{place}.resources", "resource rules must supply at least one resource"))
    return found


def role(obj: Object) -> list[FieldError]:
    """Validate the rules of a Role."""
    rules = enumerate(obj.get("rules") or [])
    return [each for number, rule in rules for each in _rule(rule, f"rules[{number}]", namespaced=True)]


def cluster_role(obj: Object) -> list[FieldError]:
    """Validate the rules of a ClusterRole."""
    rules = enumerate(obj.get("rules") or [])
    found = [each for number, rule in rules for each in _rule(rule, f"rules[{number}]", namespaced=False)]
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        selectors = aggregation.get("clusterRoleSelectors") or []
        place = "aggregationRule.clusterRoleSelectors"
        if not selectors:
            why = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            found.append(required(place, why))
        for number, selector in enumerate(selectors):
            found += label_selector(selector, f"{place}[{number}]")
    return found


def _binding(obj: Object, kinds: tuple[str, ...], *, namespaced: bool) -> list[FieldError]:
    reference = obj.get("roleRef") or {}
    found: list[FieldError] = []
    group = reference.get("apiGroup", "")
    if group != GROUP:
        found.append(not_supported("roleRef.apiGroup", group, [GROUP]))
    if reference.get("kind") not in kinds:
        found.append(not_supported("roleRef.kind", reference.get("kind", ""), kinds))
    if not reference.get("name"):
        found.append(required("roleRef.name"))
    else:
        found += each_message("roleRef.name", reference["name"], path_segment)
    for number, subject in enumerate(obj.get("subjects") or []):
        found += _subject(subject, f"subjects[{number}]", namespaced=namespaced)
    return found


def _subject(subject: dict[str, Any], place: str, *, namespaced: bool) -> list[FieldError]:
    name, kind, group = (subject.get(each) or "" for each in ("name", "kind", "apiGroup"))
    found = [] if name else [required(f"{place}.name")]
    if kind == "ServiceAccount":
        if name:
            found += each_message(f"{place}.name", name, dns_subdomain)
        if group:
            found.append(not_supported(f"{place}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            found.append(required(f"{place}.namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            found.append(not_supported(f"{place}.apiGroup", group, [GROUP]))
    else:
        found.append(not_supported(f"{place}.kind", kind, ["ServiceAccount", "User", "Group"]))
    return found


def role_binding(obj: Object) -> list[FieldError]:
    """Validate the role and the subjects of a RoleBinding."""
    return _binding(obj, ("Role", "ClusterRole"), namespaced=True)


def cluster_role_binding(obj: Object) -> list[FieldError]:
    """Validate the role and the subjects of a ClusterRoleBinding."""
    return _binding(obj, ("ClusterRole",), namespaced=False)


def same_role(new: Object, old: Object) -> list[FieldError]:
    """Refuse another role in a binding."""
    reference = new.get("roleRef") or {}
    if reference == (old.get("roleRef") or {}):
        return []
    group, kind, name = (quoted(reference.get(each) or "") for each in ("apiGroup", "kind", "name"))
    shown = f"rbac.RoleRef{{APIGroup:{group}, Kind:{kind}, Name:{name}}}"
    return [FieldError("roleRef", "FieldValueInvalid", f"Invalid value: {shown}: cannot change roleRef")]


def fill_in_binding(obj: Object) -> None:
    """Add the API groups that a binding leaves out, in place (``pkg/apis/rbac/v1/defaults.go``)."""
    reference = obj.setdefault("roleRef", {})
    reference["apiGroup"] = reference.get("apiGroup") or GROUP
    for subject in obj.get("subjects") or []:
        if subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = subject.get("apiGroup") or GROUP
