"""Access reviews: ``kubectl auth can-i``, ``auth can-i --list``, ``auth whoami``."""

from __future__ import annotations

from typing import Any

from pdk_stack.kubernetes.core.rbac import Action, Authorizer, User
from pdk_stack.kubernetes.errors import not_implemented


def review(authorizer: Authorizer, user: User, resource: str, body: Any) -> dict[str, Any]:
    """Answer a review.

    Args:
        authorizer: Evaluates the roles.
        user: The caller.
        resource: Plural name of the review.
        body: The review.

    Raises:
        StatusError: 501 for other reviews, 403 when the caller can't review other users' access.
    """
    spec = (body or {}).get("spec") or {}
    if resource == "selfsubjectreviews":
        return {**body, "status": {"userInfo": {"username": user.name, "groups": list(user.groups)}}}
    if resource == "selfsubjectrulesreviews":
        rules = authorizer.rules(user, spec.get("namespace", ""))
        return {**body, "status": {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}}
    if resource not in ("selfsubjectaccessreviews", "subjectaccessreviews"):
        raise not_implemented(resource)
    if resource == "subjectaccessreviews":
        # Reviewing other users' access needs permission.
        authorizer.require(user, Action("create", "authorization.k8s.io", resource))
        user = User.named(spec.get("user", ""), tuple(spec.get("groups") or ()))
    wanted = spec.get("resourceAttributes")
    if wanted is None:
        return {**body, "status": {"allowed": True, "reason": "paths of discovery and health are open to every user"}}
    plural = wanted.get("resource", "")
    if wanted.get("subresource"):
        plural += "/" + wanted["subresource"]
    reason = authorizer.allowed(
        user,
        Action(
            wanted.get("verb", ""), wanted.get("group", ""), plural, wanted.get("namespace", ""), wanted.get("name", "")
        ),
    )
    return {**body, "status": {"allowed": bool(reason), **({"reason": reason} if reason else {})}}
