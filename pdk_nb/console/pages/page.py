"""What a page of the console is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdk_shared.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

    from pdk_nb.session import Session

__all__ = ["PAGE_SIZE", "Page", "Parameters", "Read", "number", "parameters"]

#: Rows of a list on one page.
PAGE_SIZE = 50
Parameters = Mapping[str, str]
Read = Callable[["Session", Parameters], Mapping[str, Any]]


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        path: Its address, with Starlette's parameters, such as ``/data/{project}/{repo}``.
        title: Its title; ``{name}`` stands for a parameter.
        template: The template of its content.
        read: Reads the template's values.
        live: Whether it's read again while it's open.
        menu: Its name in the page's head; empty for a page that others lead to.
        signature: A cheap reading that changes with what the page shows, once ``read`` has said that it is ``settled``;
            None for pages that are always read whole.
        whole_seconds: A settled page is read whole after so many seconds, even if its signature hasn't changed.
    """

    path: str
    title: str
    template: str
    read: Read
    live: bool = True
    menu: str = ""
    signature: Callable[[Session, Parameters], Hashable] | None = None
    whole_seconds: float = 60.0

    def title_for(self, parameters: Parameters) -> str:
        """The title with the address's parameters."""
        return self.title.format_map({name: shortened(value) for name, value in parameters.items()})


def parameters(request: Request) -> dict[str, str]:
    """The parameters of an address: those of its path go before those of its query."""
    return {**request.query_params, **{name: str(value) for name, value in request.path_params.items()}}


def shortened(text: str) -> str:
    """A commit's id in the length that people compare; other texts as they are."""
    return f"{text[:12]}…" if len(text) == 32 and text.isalnum() else text


def number(parameters: Parameters, name: str, default: int = 0) -> int:
    """A parameter that is a number of 0 or more.

    Raises:
        UsageError: It isn't one.
    """
    text = parameters.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UsageError(f"'{text}' isn't a number.", where=name, fix="Follow the links of the page.")
    return int(text)
