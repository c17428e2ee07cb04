"""Ask the console for pages, without a browser and without a port."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from pdk_nb.console import access
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

    def content(self, path: str) -> bytes:
        """A file or picture."""
        reply = ask(self._pages, path, **COOKIE)
        assert reply.status_code == 200, (path, reply.text)
        return reply.content
