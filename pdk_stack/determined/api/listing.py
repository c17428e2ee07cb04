"""Filtering, sorting, and pagination shared by all lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from pdk_stack.determined.api.routing import Request
from pdk_stack.determined.store.documents import Document

__all__ = ["Keys", "described", "labels_of", "listed", "matching"]

#: Sort key by the name that the client sends as ``sortBy``.
Keys = Mapping[str, Callable[[Any], Any]]


def listed(
    request: Request,
    name: str,
    found: Iterable[Any],
    view: Callable[[Any], Any],
    keys: Keys,
    default: Callable[[Any], Any] = itemgetter("id"),
    first: Callable[[Any], bool] = lambda each: True,
) -> dict[str, Any]:
    """Return the requested page of a list.

    Args:
        name: The list's key in the reply.
        found: The filtered items.
        view: Converts an item for display; called only for items on the page.
        keys: Sort keys that the client can request.
        default: The sort key when the client requests none of them.
        first: Items for which this is true come first, in any sort order.
    """
    ordered = sorted(found, key=keys.get(request.text("sortBy"), default), reverse=request.descending())
    shown, pagination = request.page(sorted(ordered, key=lambda each: not first(each)))
    return {name: [view(each) for each in shown], "pagination": pagination}


def matching(
    found: Iterable[Document],
    *,
    name: str = "",
    description: str = "",
    labels: Iterable[str] = (),
    archived: bool | None = None,
    user_ids: Iterable[int] = (),
) -> list[Document]:
    """Apply the filters that experiments and models share; a filter that is left out matches all.

    Names and descriptions match case-insensitive substrings; items must have every requested label.
    """
    wanted_labels, wanted_users = set(labels), set(user_ids)
    return [
        each
        for each in found
        if name.lower() in each["name"].lower()
        and description.lower() in each["description"].lower()
        and wanted_labels <= set(each["labels"])
        and (archived is None or each["archived"] == archived)
        and (not wanted_users or each["userId"] in wanted_users)
    ]


def described(request: Request, found: Iterable[Document]) -> list[Document]:
    """Return the items that match a list request's filters."""
    users = set(request.all("users"))
    fitting = matching(
        found,
        name=request.text("name"),
        description=request.text("description"),
        labels=[part for each in request.all("labels") for part in each.split(",") if part],
        archived=request.flag("archived"),
        user_ids=[int(each) for each in request.all("userIds")],
    )
    return [each for each in fitting if not users or request.master.user(each["userId"])["username"] in users]


def labels_of(found: Iterable[Document]) -> list[str]:
    """Return the items' labels, most used first."""
    counts = Counter(label for each in found for label in each["labels"])
    return sorted(counts, key=lambda label: (-counts[label], label))
