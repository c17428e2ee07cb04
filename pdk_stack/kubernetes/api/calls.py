"""A parsed call on a resource."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pdk_stack.kubernetes.core.selectors import Predicate, field_selector, label_selector
from pdk_stack.kubernetes.store.kind import Kind


@dataclass(frozen=True)
class ResourceCall:
    """A parsed call on a resource.

    Attributes:
        name: Object name; empty for a collection.
        subresource: ``status``, ``log``, or empty.
        gone: Returns whether the client has disconnected, for streaming answers.
    """

    method: str
    kind: Kind
    namespace: str | None
    name: str
    subresource: str
    query: dict[str, str]
    body: Any
    accept: str
    content_type: str
    user_agent: str = ""
    gone: Callable[[], bool] = lambda: False

    @property
    def manager(self) -> str:
        """The writer's name for ``managedFields``: the field manager, or else the program's name."""
        return self.query.get("fieldManager") or self.user_agent.partition("/")[0] or "unknown"

    def flag(self, name: str) -> bool:
        """Return a Boolean query parameter; like apimachinery, only ``0`` and ``false`` are false."""
        return name in self.query and self.query[name].lower() not in ("0", "false")

    @property
    def verb(self) -> str:
        """The verb, as roles name it."""
        if self.method in ("GET", "HEAD"):
            return "watch" if self.flag("watch") else "get" if self.name else "list"
        if self.method == "DELETE":
            return "delete" if self.name else "deletecollection"
        return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(self.method, self.method.lower())

    @property
    def dry_run(self) -> bool:
        """Whether the call is a dry run, which stores nothing."""
        return self.query.get("dryRun") == "All"

    def matches(self) -> Predicate:
        """Return a predicate that combines the call's label and field selectors."""
        labels = label_selector(self.query.get("labelSelector", ""))
        fields = field_selector(self.query.get("fieldSelector", ""), self.kind)
        return lambda obj: labels(obj) and fields(obj)
