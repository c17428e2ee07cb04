"""Authorization: evaluates Roles, ClusterRoles, and their bindings as the RBAC authorizer does.

This is handwritten because libraries such as Casbin support neither bindings nor Kubernetes' rules.
Source: ``plugin/pkg/auth/authorizer/rbac`` and ``pkg/registry/rbac/validation`` of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pdk_stack.kubernetes.errors import StatusError, forbidden, quoted
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from pdk_stack.kubernetes.store.objects import ObjectStore

MASTERS = "system:masters"
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True)
class User:
    """The user who makes a call."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""

    @classmethod
    def named(cls, name: str, groups: tuple[str, ...] = (), uid: str = "") -> User:
        """Return a user with the groups that its name implies."""
        found = list(groups)
        if name.startswith(ACCOUNT_PREFIX):
            namespace = name.removeprefix(ACCOUNT_PREFIX).partition(":")[0]
            found += ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        return cls(name, tuple(dict.fromkeys([*found, AUTHENTICATED])), uid)


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))


@dataclass(frozen=True)
class Action:
    """An action to authorize.

    Attributes:
        resource: Plural name, with ``/subresource`` if any; empty for a path that is no resource.
        namespace: Empty for cluster-wide resources and for a list over all namespaces.
        path: The path, if it is no resource.
    """

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer:
    """Authorizes actions by the roles in the store.

    Args:
        store: The cluster's objects.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def allowed(self, user: User, action: Action) -> str:
        """Return why a user is allowed to do something; empty when nothing allows it."""
        if MASTERS in user.groups:
            return f'RBAC: allowed by group "{MASTERS}"'
        for rule, reason in self._rules(user, action.namespace):
            if _covers(rule, action):
                return reason
        return ""

    def require(self, user: User, action: Action) -> None:
        """Refuse an action that nothing allows.

        Raises:
            StatusError: 403 with the real API's message.
        """
        if not self.allowed(user, action):
            raise refusal(user, action)

    def rules(self, user: User, namespace: str) -> list[dict[str, Any]]:
        """Return all rules that apply to a user in a namespace."""
        if MASTERS in user.groups:
            return [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        return [rule for rule, _ in self._rules(user, namespace)]

    def _rules(self, user: User, namespace: str) -> Iterator[tuple[dict[str, Any], str]]:
        for binding in self._store.view(CLUSTER_ROLE_BINDINGS)[0]:
            yield from self._bound(binding, user, "ClusterRoleBinding", "")
        if namespace:
            for binding in self._store.view(ROLE_BINDINGS, namespace)[0]:
                yield from self._bound(binding, user, "RoleBinding", namespace)

    def _bound(self, binding: Object, user: User, kind: str, namespace: str) -> Iterator[tuple[dict[str, Any], str]]:
        subject = next((each for each in binding.get("subjects") or [] if _is(each, user, namespace)), None)
        if subject is None:
            return
        reference = binding.get("roleRef") or {}
        in_namespace = reference.get("kind") == "Role"
        role = self._store.find(
            ROLES if in_namespace else CLUSTER_ROLES, namespace if in_namespace else None, reference.get("name", "")
        )
        if role is None:  # a binding can exist before its role
            return
        bound = binding["metadata"]["name"] + (f"/{namespace}" if namespace else "")
        who = subject.get("name", "") + (f"/{subject['namespace']}" if subject.get("namespace") else "")
        reason = (
            f'RBAC: allowed by {kind} "{bound}" of {reference.get("kind")} "{reference.get("name")}" '
            f'to {subject.get("kind")} "{who}"'
        )
        for rule in role.get("rules") or []:
            yield rule, reason


def refusal(user: User, action: Action) -> StatusError:
    """Make the error for an action that nothing allows."""
    if not action.resource:
        return forbidden("", "", "", f"User {quoted(user.name)} cannot {action.verb} path {quoted(action.path)}")
    place = f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
    why = f'User {quoted(user.name)} cannot {action.verb} resource "{action.resource}" in API group "{action.group}"'
    return forbidden(action.group, action.resource.partition("/")[0], action.name, f"{why} {place}")


def _is(subject: dict[str, Any], user: User, namespace: str) -> bool:
    if subject.get("kind") == "ServiceAccount":
        owner = subject.get("namespace") or namespace
        return user.name == f"{ACCOUNT_PREFIX}{owner}:{subject.get('name')}"
    if subject.get("kind") == "Group":
        return subject.get("name") in user.groups
    return subject.get("kind") == "User" and subject.get("name") == user.name


def _covers(rule: dict[str, Any], action: Action) -> bool:
    if not {"*", action.verb} & set(rule.get("verbs") or []):
        return False
    if not action.resource:
        return any(_covers_path(each, action.path) for each in rule.get("nonResourceURLs") or [])
    subresource = action.resource.partition("/")[2]
    wanted = {"*", action.resource, *([f"*/{subresource}"] if subresource else [])}
    names = rule.get("resourceNames") or []
    return (
        bool({"*", action.group} & set(rule.get("apiGroups") or []))
        and bool(wanted & set(rule.get("resources") or []))
        and (not names or action.name in names)
    )


def _covers_path(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern.removesuffix("*"))
    return pattern == path
