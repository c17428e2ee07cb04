"""Label and field selectors, parsed as by ``k8s.io/apimachinery/pkg/labels`` and ``fields``."""

from __future__ import annotations

import re
from collections.abc import Callable

from pdk_stack.kubernetes.errors import bad_request
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind

Predicate = Callable[[Object], bool]


def label_selector(text: str) -> Predicate:
    """Return a predicate for a selector such as ``a=b,c!=d,e in (f,g),h,!i``."""
    terms = [_label_term(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda obj: all(term(obj["metadata"].get("labels") or {}) for term in terms)


def _label_term(part: str) -> Callable[[dict[str, str]], bool]:
    listed = re.fullmatch(r"([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)", part)
    if listed:
        key, values = listed[1], {each.strip() for each in listed[3].split(",")}
        if listed[2] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    compared = re.fullmatch(r"([\w./-]+)\s*(!=|==?)\s*([\w.-]*)", part)
    if compared:
        key, value = compared[1], compared[3]
        if compared[2] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if re.fullmatch(r"!\s*[\w./-]+", part):
        absent = part[1:].strip()
        return lambda labels: absent not in labels
    if re.fullmatch(r"[\w./-]+", part):
        return lambda labels: part in labels
    raise bad_request(f"unable to parse requirement: {part!r}")


def field_selector(text: str, kind: Kind) -> Predicate:
    """Return a predicate for ``metadata.name=x,type!=y``; custom resources support only name and namespace."""
    terms = []
    for part in filter(None, text.split(",")):
        pieces = re.split("(!=|==?)", part, maxsplit=1)
        if len(pieces) != 3:
            raise bad_request(f"invalid field selector: {part!r}")
        path, operator, value = pieces
        if kind.custom and path not in ("metadata.name", "metadata.namespace"):
            raise bad_request(f"field label not supported: {path}")
        terms.append((path.split("."), operator == "!=", value))

    def matches(obj: Object) -> bool:
        for keys, negated, value in terms:
            found: object = obj
            for key in keys:
                found = found.get(key) if isinstance(found, dict) else None
            if (("" if found is None else str(found)) == value) == negated:
                return False
        return True

    return matches
