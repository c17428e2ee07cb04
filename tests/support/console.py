"""Ask the console for pages, without a browser and without a port."""

from __future__ import annotations

import asyncio
import html
import re
from collections import Counter, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import httpx
from starlette.routing import Match, Route

from pdk_nb.console import access
from pdk_nb.console.pages.catalog import PAGES
from pdk_nb.console.web import Pages, application

if TYPE_CHECKING:
    from pdk_nb.session import Session

TOKEN = "a-token"
BASE = "http://127.0.0.1:8080"
COOKIE = {"Cookie": f"{access.COOKIE}-8080={TOKEN}"}


def ask(pages: Pages, path: str, **headers: str) -> httpx.Response:
    """One page."""

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=application(pages, TOKEN))
        async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=120) as client:
            return await client.get(path, headers=headers)

    return asyncio.run(once())


class Visitor:
    """A person who has opened the console.

    Args:
        session: The session.
    """

    def __init__(self, session: Session) -> None:
        self._pages = Pages(session)

    def get(self, path: str) -> str:
        """The text of a page, which must have no problem."""
        reply = ask(self._pages, path, **COOKIE)
        assert reply.status_code == 200, (path, reply.text)
        assert 'class="problem" role="status"' not in reply.text, (path, reply.text)
        return reply.text

    def crawl(self, starts: Iterable[str] = (), most: int = 6, skip: str = "") -> Counter[str]:
        """Open pages and follow their links: every page must answer without a problem.

        Args:
            starts: Where to start; at all pages of the menu when empty.
            most: How many pages of a kind are opened; a cluster can have thousands.
            skip: Addresses that begin so aren't opened.

        Returns:
            How often each page of the catalog was opened, by its path.
        """
        kinds = [Route(page.path, lambda request: None) for page in PAGES]
        waiting = deque(starts or [page.path for page in PAGES if page.menu])
        known, opened = set(waiting), Counter[str]()
        while waiting:
            address = waiting.popleft()
            scope = {"type": "http", "path": address.partition("?")[0], "method": "GET"}
            kind = next((each.path for each in kinds if each.matches(scope)[0] is Match.FULL), "")
            if not kind or opened[kind] >= most or (skip and address.startswith(skip)):
                continue
            opened[kind] += 1
            for link in re.findall(r'href="(/[^"]*)"', self.get(address)):
                found = html.unescape(link)
                if found not in known:
                    known.add(found)
                    waiting.append(found)
        return opened

    def content(self, path: str) -> bytes:
        """A file or picture."""
        reply = ask(self._pages, path, **COOKIE)
        assert reply.status_code == 200, (path, reply.text)
        return reply.content
