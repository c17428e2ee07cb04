"""The console as a web application: pages, their live parts as server-sent events, and files of commits."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Hashable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pdk_nb.console import access
from pdk_nb.console.answers import Answers
from pdk_nb.console.changes import Changes
from pdk_nb.console.files import Files
from pdk_nb.console.live import Live
from pdk_nb.console.pages.catalog import PAGES
from pdk_nb.console.pages.page import Page, parameters
from pdk_nb.console.proxied import Proxied
from pdk_nb.console.rendering import Renderer, when
from pdk_nb.session import Session
from pdk_shared.errors import NotFound, PdkError, UsageError

__all__ = ["Pages", "application"]

FOLDER = Path(__file__).parent
# Seconds after which a stream looks for a new reading.
LOOK = 0.2


class Pages:
    """The pages of one session.

    Args:
        session: The session.
        changes: Whether people may change anything.
    """

    def __init__(self, session: Session, changes: bool = False) -> None:
        self._session = session
        # Other sites don't know it, so they can't make a person's browser confirm an action.
        check = secrets.token_urlsafe(16)
        self._renderer = Renderer(changes, check)
        self.answers = Answers(session, self._renderer, check)
        self.changes = Changes(session, self._renderer, self._answer, check, changes)
        self._lives: dict[str, Live] = {}
        self.files = Files(session)
        self.closed = False

    def close(self) -> None:
        """End all pages' streams."""
        self.closed = True
        for live in list(self._lives.values()):
            live.close()
        self.changes.close()

    def show(self, page: Page) -> Callable[[Request], Response]:
        """The endpoint of a page.

        Args:
            page: The page.
        """

        def endpoint(request: Request) -> Response:
            given = parameters(request)
            address = _address(request)
            live = self._lives.get(address)
            part, status = (live.text, 200) if live is not None and live.current else self._part(page, given)[:2]
            return self._whole(page, given, part, status, f"/events{address}" if page.live else "")

        return endpoint

    def follow(self, page: Page) -> Callable[[Request], Any]:
        """The endpoint of a page's changes, as server-sent events.

        Args:
            page: The page.
        """

        async def endpoint(request: Request) -> Response:
            given = parameters(request)
            address = _address(request).removeprefix("/events")
            return StreamingResponse(self._stream(address, page, given), media_type="text/event-stream")

        return endpoint

    async def _stream(self, address: str, page: Page, given: dict[str, str]) -> AsyncIterator[str]:
        # Waiting pages must not hold threads, so streams are asynchronous.
        live = self._lives.setdefault(address, Live(self._remembering(page, given)))
        live.enter()
        try:
            sent = 0
            while not (live.closed or self.closed):
                if live.number != sent:
                    sent = live.number
                    lines = "".join(f"data: {line}\n" for line in live.text.splitlines())
                    yield f"event: part\n{lines}\n"
                await asyncio.sleep(LOOK)
        finally:
            live.leave()
            if live.unused:
                self._lives.pop(address, None)

    def _remembering(self, page: Page, given: dict[str, str]) -> Callable[[], str]:
        """Read a page whenever its signature has changed; while that fails, show why above what could be read last."""
        last: list[tuple[str, float]] = []
        known: Hashable = None
        whole_again = 0.0

        def read() -> str:
            nonlocal known, whole_again
            signature = self._signature(page, given)
            if signature is not None and signature == known and time.monotonic() < whole_again:
                return last[0][0]
            part, status, settled = self._part(page, given)
            # The signature was read first: what changed in between is found by the next reading.
            known, whole_again = signature if status == 200 and settled else None, time.monotonic() + page.whole_seconds
            if status == 200:
                last[:] = [(part, time.time())]
                return part
            return part + "".join(
                self._renderer.render("outdated.html", part=Markup(text), moment=when(moment)) for text, moment in last
            )

        return read

    def _signature(self, page: Page, given: dict[str, str]) -> Hashable:
        """A page's signature; None if it has none, or none can be read."""
        if page.signature is None:
            return None
        try:
            return page.signature(self._session, given)
        except Exception:  # the whole reading says what is wrong
            return None

    def _part(self, page: Page, given: dict[str, str]) -> tuple[str, int, bool]:
        """The changing part of a page, its HTTP status, and whether it is settled. It never raises."""
        try:
            values = page.read(self._session, given)
            return self._renderer.render(page.template, given=given, **values), 200, bool(values.get("settled"))
        except (NotFound, UsageError) as error:
            return self._renderer.problem(error), 404, False
        except PdkError as error:
            return self._renderer.problem(error), 503, False
        except Exception as error:  # the poller must outlive it: the next reading may succeed
            return self._renderer.problem(error), 500, False

    def _whole(self, page: Page, given: dict[str, str], part: str, status: int, events: str) -> Response:
        text = self._renderer.render(
            "base.html",
            title=page.title_for(given),
            part=Markup(part),
            events=events,
            pages=[each for each in PAGES if each.menu],
            here=page.path,
            wanted=given.get("id", "") if page.path == "/journey" else "",
        )
        return HTMLResponse(text, status)

    def _answer(self, title: str, part: str, status: int = 200) -> Response:
        return self._whole(Page("", title, "", lambda session, given: {}, live=False), {}, part, status, "")

    def missing(self, request: Request, error: Exception) -> Response:
        """The page for an address that doesn't exist."""
        return self._answer("There is no such page", self._renderer.render("missing.html"), 404)


def _address(request: Request) -> str:
    """Path and query of a request, without a proxy's token: pages hold none."""
    query = {name: value for name, value in request.query_params.items() if name != "token"}
    return f"{request.url.path}?{urlencode(query)}".rstrip("?")


def application(pages: Pages, token: str | None) -> Starlette:
    """The console as an ASGI application.

    Args:
        pages: The pages.
        token: What a visitor needs; None behind a proxy that has checked its visitors.
    """
    file = "{project}/{repo}/{commit}"
    routes: list[Route | Mount] = [
        *(Route(f"/events{page.path}", pages.follow(page)) for page in PAGES if page.live),
        *(Route(page.path, pages.show(page)) for page in PAGES),
        Route("/drop/{project}/{repo}", pages.changes.drop),
        Route("/answer/{service}", pages.answers.answer, methods=["POST"]),
        Route("/upload", pages.changes.upload, methods=["POST"]),
        Route("/action/{action}", pages.changes.ask, methods=["GET"]),
        Route("/action/{action}", pages.changes.act, methods=["POST"]),
        Route(f"/download/{file}", pages.files.download),
        Route(f"/thumbnail/{file}", pages.files.thumbnail),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]
    app = Starlette(routes=routes, exception_handlers={404: pages.missing})
    if token is None:
        app.add_middleware(Proxied)
    else:
        app.add_middleware(Guard, token=token)
    return app


class Guard:
    """Refuse visitors without the token, and add the security headers to every response."""

    def __init__(self, app: Any, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Any]) -> None:
        """Answer one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message.get("headers", [])}
                added = [(name.lower().encode(), value.encode()) for name, value in access.HEADERS.items()]
                headers = [*message.get("headers", []), *(each for each in added if each[0] not in given)]
                message = {**message, "headers": headers}
            await send(message)

        refused = access.refuse(Request(scope), self._token)
        await (refused or self._app)(scope, receive, send_guarded)
