"""A parsed call on a resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pdk_stack.kubernetes.api.bodies import Body
from pdk_stack.kubernetes.api.negotiation import Format, negotiate
from pdk_stack.kubernetes.core.rbac import ANONYMOUS, User
from pdk_stack.kubernetes.core.selectors import Predicate, field_selector, label_selector
from pdk_stack.kubernetes.core.validation.options import first, flag
from pdk_stack.kubernetes.store.kind import Kind


@dataclass(frozen=True)
class ResourceCall:
    """A parsed call on a resource.

    Attributes:
        verb: The verb, as roles name it.
        kind: The resource's kind.
        namespace: The namespace in the path; None for a kind without namespaces, or a list over all of them.
        name: Object name; empty for a collection.
        subresource: ``status``, ``log``, or empty.
        query: The query's values by name.
        body: The body, not yet parsed.
        accept: The ``Accept`` header.
        user_agent: The ``User-Agent`` header.
        user: Who calls.
        gone: Returns whether the client has disconnected, for streaming answers.
    """

    verb: str
    kind: Kind
    namespace: str | None
    name: str
    subresource: str = ""
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: Body = field(default_factory=lambda: Body(b"", ""))
    accept: str = ""
    user_agent: str = ""
    user: User = ANONYMOUS
    gone: Callable[[], bool] = lambda: False

    @property
    def manager(self) -> str:
        """The writer's name for ``managedFields``: the field manager, or else the program's name."""
        return self.value("fieldManager") or self.user_agent.partition("/")[0][:128] or "unknown"

    def value(self, name: str) -> str:
        """Return the first value of a query parameter; empty without one."""
        return first(self.query, name)

    def flag(self, name: str) -> bool:
        """Return a Boolean query parameter; like apimachinery, only ``0`` and ``false`` are false."""
        return bool(flag(self.query, name))

    @property
    def dry_run(self) -> bool:
        """Whether the call is a dry run, which stores nothing."""
        return "All" in self.query.get("dryRun", ())

    @property
    def mode(self) -> str:
        """What the call does about unknown fields; empty for the default."""
        return self.value("fieldValidation")

    def format(self) -> Format:
        """Return the format of the answer.

        Raises:
            StatusError: 406 when the client accepts none.
        """
        pretty = self.value("pretty")
        streams = self.verb in ("list", "watch")
        return negotiate(self.accept, user_agent=self.user_agent, pretty=pretty, streams=streams)

    def matches(self) -> Predicate:
        """Return a predicate that combines the call's label and field selectors."""
        labels = label_selector(self.value("labelSelector"))
        fields = field_selector(self.value("fieldSelector"), self.kind)
        return lambda obj: labels(obj) and fields(obj)
