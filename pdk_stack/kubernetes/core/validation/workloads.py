"""Validates Deployments.

Source: ``pkg/apis/apps/validation``.
"""

from __future__ import annotations

import re
from typing import Any

from pdk_stack.kubernetes.core.validation.metadata import check_annotations, label_selector, labels, not_negative
from pdk_stack.kubernetes.core.validation.pods import pod_spec
from pdk_stack.kubernetes.core.validation.syntax import percent
from pdk_stack.kubernetes.errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    quoted,
    required,
)
from pdk_stack.kubernetes.store.columns import Object

MISMATCH = "`selector` does not match template `labels`"


def _shown(selector: dict[str, Any]) -> str:
    """Format a selector as Go code."""
    matches = selector.get("matchLabels")
    shown = quoted(matches) if matches is not None else "map[string]string(nil)"
    return f"v1.LabelSelector{{MatchLabels:{shown}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}}"


def _term_matches(term: dict[str, Any], given: dict[str, str]) -> bool:
    key, operator, values = term.get("key", ""), term.get("operator"), term.get("values") or []
    if operator in ("Exists", "DoesNotExist"):
        return (key in given) == (operator == "Exists")
    return (key in given and given[key] in values) == (operator == "In")


def matches(selector: dict[str, Any], given: dict[str, str]) -> bool:
    """Return whether labels match a label selector of an object."""
    wanted = selector.get("matchLabels") or {}
    return wanted.items() <= given.items() and all(
        _term_matches(term, given) for term in selector.get("matchExpressions") or []
    )


def _template(spec: dict[str, Any], place: str) -> list[FieldError]:
    selector, template = spec.get("selector"), spec.get("template") or {}
    meta, inner = template.get("metadata") or {}, template.get("spec") or {}
    found: list[FieldError] = []
    given = meta.get("labels")
    # Without a selector nothing matches (``LabelSelectorAsSelector`` of nil); an empty one is not compared.
    if selector is None or (
        (selector.get("matchLabels") or selector.get("matchExpressions")) and not matches(selector, given or {})
    ):
        shown = quoted(given) if given is not None else "map[string]string(nil)"
        text = f"Invalid value: {shown}: {MISMATCH}"
        found.append(FieldError(f"{place}.metadata.labels", "FieldValueInvalid", text))
    found += labels(given, f"{place}.labels") + check_annotations(meta.get("annotations"), f"{place}.annotations")
    found += pod_spec(inner, f"{place}.spec")
    if inner.get("restartPolicy") not in (None, "Always"):
        found.append(not_supported(f"{place}.spec.restartPolicy", inner["restartPolicy"], ["Always"]))
    if inner.get("activeDeadlineSeconds") is not None:
        why = "activeDeadlineSeconds in ReplicaSet is not Supported"
        found.append(forbidden_field(f"{place}.spec.activeDeadlineSeconds", why))
    return found


def _strategy(strategy: dict[str, Any], place: str) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        why = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden_field(f"{place}.rollingUpdate", why)] if rolling is not None else []
    if kind != "RollingUpdate":
        return [not_supported(place, kind, ("Recreate", "RollingUpdate"))]
    found: list[FieldError] = []
    values = {name: (rolling or {}).get(name, "25%") for name in ("maxUnavailable", "maxSurge")}
    for name, value in values.items():
        field = f"{place}.rollingUpdate.{name}"
        if isinstance(value, str):
            found += [invalid_value(field, value, words) for words in percent(value)]
        else:
            found += not_negative(field, value)
    if all(_number(value) == 0 for value in values.values()):
        why = "may not be 0 when `maxSurge` is 0"
        found.append(invalid_value(f"{place}.rollingUpdate.maxUnavailable", values["maxUnavailable"], why))
    unavailable = values["maxUnavailable"]
    if isinstance(unavailable, str) and _number(unavailable) > 100:
        found.append(
            invalid_value(f"{place}.rollingUpdate.maxUnavailable", unavailable, "must not be greater than 100%")
        )
    return found


def _number(value: Any) -> int:
    found = re.match(r"\d+", str(value))
    return int(found[0]) if found else 0


def deployment(obj: Object) -> list[FieldError]:
    """Validate a Deployment that has its defaults."""
    spec = obj.get("spec") or {}
    selector = spec.get("selector")
    found = not_negative("spec.replicas", spec.get("replicas"))
    if selector is None:
        found.append(required("spec.selector"))
    else:
        found += label_selector(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            text = f"Invalid value: {_shown(selector)}: empty selector is invalid for deployment"
            found.append(FieldError("spec.selector", "FieldValueInvalid", text))
    found += _template(spec, "spec.template") + _strategy(spec.get("strategy") or {}, "spec.strategy")
    for name in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        found += not_negative(f"spec.{name}", spec.get(name))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        found.append(invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return found
