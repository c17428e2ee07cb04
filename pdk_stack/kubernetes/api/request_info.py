"""What a request is about, from its method and path alone.

Source: ``k8s.io/apiserver/pkg/endpoints/request/requestinfo.go``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from pdk_stack.kubernetes.core.rbac import Action
from pdk_stack.kubernetes.core.validation.options import first, flag

VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
#: Parts of a namespace's path that stand for the namespace itself.
NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True)
class RequestInfo:
    """What a request is about.

    Attributes:
        verb: The verb, as roles name it; for a path that is no resource, the method in lower case.
        path: The decoded path.
        query: The query's values by name.
        parts: The decoded parts of the path.
        group: API group of the resource.
        version: Its version.
        resource: Plural name; empty for a path that is no resource.
        subresource: The subresource.
        namespace: The namespace in the path.
        name: The object's name; empty for a collection.
        selected: The only name that the field selector of a list allows; a role can allow that one.
        rest: Further parts of the path.
    """

    verb: str
    path: str
    query: Mapping[str, Sequence[str]]
    parts: tuple[str, ...] = ()
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    selected: str = ""
    rest: tuple[str, ...] = ()

    @property
    def action(self) -> Action:
        """The action to authorize."""
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        if not self.resource:
            return Action(self.verb, path=self.path)
        return Action(self.verb, self.group, resource, self.namespace, self.name or self.selected)


def request_info(method: str, path: str, query: str) -> RequestInfo:
    """Parse a request.

    Args:
        method: The HTTP method.
        path: The raw path, still percent-encoded.
        query: The raw query.
    """
    values = parse_qs(query, keep_blank_values=True)
    parts = tuple(unquote(each) for each in path.strip("/").split("/"))
    plain = RequestInfo(method.lower(), unquote(path), values, parts)
    is_core, is_group = parts[0] == "api", parts[0] == "apis"
    if not (is_core and len(parts) > 2) and not (is_group and len(parts) > 3):
        return plain
    group, version, rest = ("", parts[1], parts[2:]) if is_core else (parts[1], parts[2], parts[3:])
    verb = VERBS.get(method, "")
    if rest[0] == "watch" and len(rest) > 1:
        values["watch"], rest = ["true"], rest[1:]
    namespace = ""
    # namespaces/<name>[/status] is the namespace itself; namespaces/<name>/<plural> is inside it.
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    resource, name, subresource = (*rest[:3], "", "", "")[:3]
    if verb == "get" and not name:
        verb = "watch" if flag(values, "watch") else "list"
    elif verb == "get" and flag(values, "watch") and not subresource:
        verb = "watch"
    if verb == "delete" and not name:
        verb = "deletecollection"
    listing = verb in ("list", "watch") and not name
    selected = _selected(first(values, "fieldSelector")) if listing else ""
    more = tuple(rest[3:])
    return RequestInfo(
        verb, unquote(path), values, parts, group, version, resource, subresource, namespace, name, selected, more
    )


def _selected(selector: str) -> str:
    """Return the name that a field selector requires; empty without one."""
    for term in selector.split(","):
        for operator in ("==", "="):
            start = f"metadata.name{operator}"
            if term.startswith(start):
                return term.removeprefix(start)
    return ""
