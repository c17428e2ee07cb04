"""Filtering, sorting, and pagination shared by all lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from pdk_stack.determined.api.routing import Request
from pdk_stack.determined.core.patterns import like
from pdk_stack.determined.store.documents import Document

__all__ = ["Keys", "described", "labels_of", "listed", "matching", "separated"]

#: Sort key by the name that the client sends as ``sortBy``; a key that returns None sorts last, as in PostgreSQL.
Keys = Mapping[str, Callable[[Any], Any]]


def listed(
    request: Request,
    name: str,
    found: Iterable[Any],
    view: Callable[[Any], Any],
    keys: Keys,
    default: Callable[[Any], Any] = itemgetter("id"),
    *,
    ties_ascend: bool = False,
    clipped: bool = False,
    nulls_last: bool = False,
) -> dict[str, Any]:
    """Return the requested page of a list.

    Args:
        name: The list's key in the reply.
        found: The filtered items.
        view: Converts an item for display; called only for items on the page.
        keys: Sort keys that the client can request.
        default: The sort key when the client requests none of them; it also orders what the requested one leaves equal.
        ties_ascend: Whether it does so in ascending order even if the client wants a descending one.
        clipped: See :meth:`Request.page`.
        nulls_last: Whether what has no sort key comes last in descending order, too.
    """
    descending = request.descending()
    key = keys.get(request.text("sortBy"), default)
    ordered = sorted(found, key=default, reverse=descending and (key is default or not ties_ascend))
    if key is not default:
        ordered.sort(key=lambda each: _nulls_last(key(each)), reverse=descending)
        if nulls_last:
            ordered.sort(key=lambda each: key(each) is None)
    shown, pagination = request.page(ordered, clipped=clipped)
    return {name: [view(each) for each in shown], "pagination": pagination}


def _nulls_last(value: Any) -> tuple[bool, Any]:
    return value is None, value


def separated(values: Iterable[str]) -> set[str]:
    """Return the values of a filter; commas also separate them."""
    return {part for each in values for part in each.split(",") if part}


def matching(
    found: Iterable[Document],
    *,
    name: str = "",
    description: str = "",
    labels: Iterable[str] = (),
    any_label: bool = False,
    archived: bool | None = None,
    user_ids: Iterable[int] = (),
) -> list[Document]:
    """Apply the filters that experiments and models share; a filter that is left out matches all.

    Names and descriptions match case-insensitive substrings; items must have every requested label, or one of them
    (``any_label``).
    """
    wanted_labels, wanted_users = set(labels), set(user_ids)
    return [
        each
        for each in found
        if like(each["name"], f"%{name}%")
        and like(each["description"], f"%{description}%")
        and (
            wanted_labels & set(each["labels"]) if any_label and wanted_labels else wanted_labels <= set(each["labels"])
        )
        and (archived is None or each["archived"] == archived)
        and (not wanted_users or each["userId"] in wanted_users)
    ]


def described(request: Request, found: Iterable[Document], *, any_label: bool = False) -> list[Document]:
    """Return the items that match a list request's filters; see :func:`matching`."""
    users = separated(request.all("users"))
    fitting = matching(
        found,
        name=request.text("name"),
        description=request.text("description"),
        labels=separated(request.all("labels")),
        any_label=any_label,
        archived=request.flag("archived"),
        user_ids=[int(each) for each in request.all("userIds")],
    )
    return [each for each in fitting if not users or request.master.user(each["userId"])["username"] in users]


def labels_of(found: Iterable[Document]) -> list[str]:
    """Return the items' labels, most used first."""
    counts = Counter(label for each in found for label in each["labels"])
    return sorted(counts, key=lambda label: (-counts[label], label))
