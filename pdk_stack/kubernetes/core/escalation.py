"""Keeps users from granting rights that they don't have themselves, by roles and by bindings.

Sources: ``pkg/registry/rbac`` (``escalation_check.go``, ``validation``), and ``auth/rbac/validation`` of
``k8s.io/component-helpers``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pdk_stack.kubernetes.core.rbac import MASTERS, Action, Authorizer, User
from pdk_stack.kubernetes.errors import forbidden, quoted
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from pdk_stack.kubernetes.store.objects import ObjectStore

Rule = dict[str, Any]

GUARDED = (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS)
#: Metadata that anybody who may write an object can change, so that the garbage collector can delete it.
FREE = ("ownerReferences", "finalizers", "selfLink", "managedFields")
EVERYTHING: tuple[Rule, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)
SHOWN = ("apiGroups", "resources", "nonResourceURLs", "resourceNames", "verbs")


class Escalation:
    """Checks what users grant.

    Args:
        store: The cluster's objects.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._authorizer = Authorizer(store)

    def check(
        self, user: User, kind: Kind, namespace: str | None, name: str, new: Object, old: Object | None = None
    ) -> None:
        """Refuse a role or a binding that grants more than its writer has.

        Args:
            user: The writer.
            kind: The object's kind; only roles and bindings are checked.
            namespace: The namespace in the call's path, if any.
            name: The name in the call's path, if any.
            new: The object to be stored.
            old: The stored object, if there is one.

        Raises:
            StatusError: 403 for a right that the writer lacks, 404 for a binding to a role that doesn't exist.
        """
        if kind not in GUARDED or MASTERS in user.groups or (old is not None and _frees(new, old)):
            return
        place = namespace or ""
        own_name = str(new["metadata"].get("name") or "")
        if kind in (ROLES, CLUSTER_ROLES):
            if not self._allowed(user, "escalate", kind, place, name):
                self._confirm(user, kind, place, own_name, new.get("rules") or [])
                if any((each or {}).get("aggregationRule") for each in (new, old)):
                    self._confirm(user, kind, place, own_name, EVERYTHING)
            return
        reference = new.get("roleRef") or {}
        of_cluster = reference.get("kind") == "ClusterRole"
        role, bound = CLUSTER_ROLES if of_cluster else ROLES, str(reference.get("name") or "")
        if not self._allowed(user, "bind", role, place, bound):
            found = self._store.get(role, None if of_cluster else place, bound)
            self._confirm(user, kind, place, own_name, found.get("rules") or [])

    def _allowed(self, user: User, verb: str, role: Kind, namespace: str, name: str) -> bool:
        action = Action(verb, role.group, role.plural, namespace, name)
        return bool(self._authorizer.allowed(user, action))

    def _confirm(self, user: User, kind: Kind, namespace: str, name: str, rules: Sequence[Rule]) -> None:
        held = self._authorizer.rules(user, namespace)
        missing = [part for rule in rules for part in _parts(rule) if not any(_covers(own, part) for own in held)]
        if not missing:
            return
        if rules is EVERYTHING:
            why = "must have cluster-admin privileges to use the aggregationRule"
        else:
            groups = " ".join(map(quoted, user.groups))
            listed = "\n".join(sorted(map(_shown, _compact(missing))))
            why = (
                f"user {quoted(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions not currently "
                f"held:\n{listed}"
            )
        raise forbidden(*kind.resource, name, why)


def _frees(new: Object, old: Object) -> bool:
    """Return whether a change is only one of ``FREE``."""

    def rest(obj: Object) -> Object:
        meta = {key: value for key, value in obj["metadata"].items() if key not in FREE}
        return {**{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}, "metadata": meta}

    return rest(new) == rest(old)


def _parts(rule: Rule) -> Iterator[Rule]:
    """Break a rule down into rules of one verb and one resource or path each."""
    names = [{"resourceNames": [each]} for each in rule.get("resourceNames") or []] or [{}]
    for group in rule.get("apiGroups") or []:
        for resource in rule.get("resources") or []:
            for verb in rule.get("verbs") or []:
                for name in names:
                    yield {"apiGroups": [group], "resources": [resource], "verbs": [verb], **name}
    for path in rule.get("nonResourceURLs") or []:
        for verb in rule.get("verbs") or []:
            yield {"nonResourceURLs": [path], "verbs": [verb]}


def _has(own: Rule, key: str, part: Rule) -> bool:
    held = own.get(key) or []
    return "*" in held or set(part.get(key) or []) <= set(held)


def _covers(own: Rule, part: Rule) -> bool:
    held, wanted = own.get("resources") or [], part.get("resources") or []
    resources = "*" in held or all(
        each in held or ("/" in each and f"*/{each.partition('/')[2]}" in held) for each in wanted
    )
    paths = own.get("nonResourceURLs") or []
    covered = all(
        any(path == each or (path.endswith("*") and each.startswith(path.rstrip("*"))) for path in paths)
        for each in part.get("nonResourceURLs") or []
    )
    names = own.get("resourceNames") or []
    named = not names or bool(part.get("resourceNames") and set(part["resourceNames"]) <= set(names))
    return _has(own, "verbs", part) and _has(own, "apiGroups", part) and resources and covered and named


def _compact(parts: Sequence[Rule]) -> list[Rule]:
    """Join the verbs of parts that are about the same resource."""
    joined: dict[str, Rule] = {}
    for number, part in enumerate(parts):
        alike = {key: value for key, value in part.items() if key != "verbs"}
        key = str(number) if "nonResourceURLs" in part else json.dumps(alike, sort_keys=True)
        known = joined.setdefault(key, {**part, "verbs": []})
        known["verbs"] = [*known["verbs"], *part["verbs"]]
    return list(joined.values())


def _shown(rule: Rule) -> str:
    """Show a rule as Go's ``CompactString``."""
    shown = [
        f"{key[0].upper()}{key[1:]}:[{' '.join(map(quoted, rule[key]))}]".replace("ApiGroups", "APIGroups")
        for key in SHOWN
        if rule.get(key)
    ]
    return "{" + ", ".join(shown) + "}"
