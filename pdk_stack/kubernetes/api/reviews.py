"""Access reviews: ``kubectl auth can-i``, ``auth can-i --list``, ``auth whoami``.

Source: ``pkg/registry/authorization`` and ``pkg/apis/authorization/validation``.
"""

from __future__ import annotations

from typing import Any

from pdk_stack.kubernetes.api.request_info import RequestInfo
from pdk_stack.kubernetes.core.rbac import Action, Authorizer, User
from pdk_stack.kubernetes.errors import StatusError, invalid, invalid_value, required
from pdk_stack.kubernetes.store.columns import Object, timestamp

GROUP = "authorization.k8s.io"
#: The reviews, by group and plural name.
REVIEWS = {
    ("authentication.k8s.io", "selfsubjectreviews"): "SelfSubjectReview",
    (GROUP, "localsubjectaccessreviews"): "LocalSubjectAccessReview",
    (GROUP, "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    (GROUP, "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    (GROUP, "subjectaccessreviews"): "SubjectAccessReview",
}


def review(authorizer: Authorizer, user: User, info: RequestInfo, body: Object, manager: str) -> Object:
    """Answer a review.

    Args:
        authorizer: Evaluates the roles.
        user: The caller.
        info: The request.
        body: The review.
        manager: The name of the calling program.

    Raises:
        StatusError: 422 for a review that asks for nothing or for two things.
    """
    spec = body.get("spec") or {}
    # A review is never stored; its metadata only tell who asked.
    entry = {"manager": manager, "operation": "Update", "apiVersion": body["apiVersion"], "time": timestamp()}
    meta = {**(body.get("metadata") or {}), "creationTimestamp": None, "managedFields": [entry]}
    answer = {**body, "metadata": meta}
    if info.resource == "selfsubjectreviews":
        return {**answer, "status": {"userInfo": {"username": user.name, "groups": list(user.groups)}}}
    if info.resource == "selfsubjectrulesreviews":
        return {**answer, "status": _rules(authorizer, user, spec.get("namespace", ""))}
    own = info.resource == "selfsubjectaccessreviews"
    _check(spec, own=own)
    subject = user if own else User.named(spec.get("user", ""), tuple(spec.get("groups") or ()))
    reason = authorizer.allowed(subject, _action(spec))
    return {**answer, "status": {"allowed": bool(reason), **({"reason": reason} if reason else {})}}


def _rules(authorizer: Authorizer, user: User, namespace: str) -> dict[str, Any]:
    rules = authorizer.rules(user, namespace)
    return {
        "resourceRules": [each for each in rules if each.get("resources")],
        "nonResourceRules": [each for each in rules if each.get("nonResourceURLs")],
        "incomplete": False,
    }


def _check(spec: dict[str, Any], *, own: bool) -> None:
    """Refuse a review of nothing, of two things, or of nobody.

    Raises:
        StatusError: 422.
    """
    place, resource, path = "spec.resourceAttributes", spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    wrong = []
    if resource is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        wrong.append(invalid_value("spec.nonResourceAttributes", None, why))
    if resource is None and path is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        wrong.append(invalid_value(place, "null", why))
    if not own and not spec.get("user") and not spec.get("groups"):
        wrong.append(required("spec.user", "at least one of user or group must be specified"))
    if wrong:
        raise _invalid(wrong)


def _invalid(wrong: list[Any]) -> StatusError:
    """Make the error; the real API leaves the kind out of it."""
    return invalid(GROUP, "", "", wrong)


def _action(spec: dict[str, Any]) -> Action:
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if wanted is None:
        return Action((path or {}).get("verb", ""), path=(path or {}).get("path", ""))
    plural = wanted.get("resource") or ""
    if wanted.get("subresource"):
        plural += "/" + wanted["subresource"]
    return Action(
        wanted.get("verb", ""),
        wanted.get("group", ""),
        plural or "*",
        wanted.get("namespace", ""),
        wanted.get("name", ""),
    )
