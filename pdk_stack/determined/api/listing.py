"""What all lists have in common: filtered, sorted, and given page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from pdk_stack.determined.api.routing import Request
from pdk_stack.determined.store.documents import Document

__all__ = ["Keys", "described", "labels_of", "listed"]

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


def described(request: Request, found: Iterable[Document]) -> list[Document]:
    """Those that fit the filters that lists of experiments and of models share.

    Names and descriptions are looked for as parts, upper and lower case alike; every wanted label must be there.
    """
    labels = {part for each in request.all("labels") for part in each.split(",") if part}
    name, description, archived = request.text("name"), request.text("description"), request.flag("archived")
    users, user_ids = set(request.all("users")), {int(each) for each in request.all("userIds")}
    return [
        each
        for each in found
        if name.lower() in each["name"].lower()
        and description.lower() in each["description"].lower()
        and labels <= set(each["labels"])
        and (archived is None or each["archived"] == archived)
        and (not users or request.master.user(each["userId"])["username"] in users)
        and (not user_ids or each["userId"] in user_ids)
    ]


def labels_of(found: Iterable[Document]) -> list[str]:
    """Their labels, the most used first."""
    counts = Counter(label for each in found for label in each["labels"])
    return sorted(counts, key=lambda label: (-counts[label], label))
