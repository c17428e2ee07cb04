"""What all lists have in common: filtered, sorted, and given page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from pdk_stack.determined.api.routing import Request
from pdk_stack.determined.store.documents import Document

__all__ = ["Keys", "described", "labels_of", "listed", "matching"]

#: How to sort by a name that the client sends as ``sortBy``.
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
    """The part of a list that the client asked for.

    Args:
        name: What the list is called in the reply.
        found: What belongs to it, filtered.
        view: How one of them is shown; only those on the page are.
        keys: Orders that the client may ask for.
        default: The order when it asks for none of them.
        first: Those for which it holds lead, in whatever order.
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
    """Those that fit the filters that experiments and models share; a filter that is left out fits all.

    Names and descriptions are looked for as parts, upper and lower case alike; every wanted label must be there.
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
    """Those that fit the filters of a request that lists them."""
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
    """Their labels, the most used first."""
    counts = Counter(label for each in found for label in each["labels"])
    return sorted(counts, key=lambda label: (-counts[label], label))
