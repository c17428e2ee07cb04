"""The console's pages: Flow, which stays current by itself, and Journey, which finds the way of an id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pdk_nb import journey
from pdk_nb.console import access
from pdk_nb.console.live import Live
from pdk_nb.journey import lineage
from pdk_nb.journey.graph import graph
from pdk_nb.journey.trail import Trail
from pdk_nb.session import Session
from pdk_shared.errors import PdkError

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
# Unexpected errors that the terminal has shown.
_told: set[str] = set()
# Seconds after which a stream looks for a new reading.
LOOK = 0.2


class Pages:
    """The pages of one session.

    Args:
        session: The session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._templates = Environment(loader=FileSystemLoader(FOLDER / "templates"), autoescape=True)
        self.live = Live(self.flow_part)

    def flow_part(self) -> str:
        """The changing part of Flow, as HTML; it says in words what can't be read, and never raises."""
        try:
            found = journey.read(self._session)
            picture, rows = Markup(graph(found).draw().inline()), Trail(found).rows()
        except PdkError as error:
            return self._render("problem.html", error=error)
        except Exception as error:
            # The poller must outlive it: the next reading may succeed.
            return self._render("problem.html", error=_unexpected(error))
        return self._render("flow_part.html", picture=picture, rows=rows)

    def flow(self, request: Request) -> Response:
        """The start page."""
        return self._page("flow.html", part=Markup(self.live.text if self.live.current else self.flow_part()))

    def journey(self, request: Request) -> Response:
        """The whole way of an id, or why there is none."""
        wanted = request.query_params.get("id", "").strip()
        try:
            found = lineage.trace(self._session, wanted)
        except PdkError as error:
            return self._page("journey.html", 404, wanted=wanted, error=error)
        picture = Markup(found.draw().inline())
        return self._page("journey.html", wanted=wanted, found=found, picture=picture, table=found.table())

    async def events(self, request: Request) -> Response:
        """Flow's changes as server-sent events."""

        async def stream() -> AsyncIterator[str]:
            # Waiting pages must not hold threads, so this one handler is asynchronous.
            self.live.enter()
            try:
                sent = 0
                while not self.live.closed:
                    if self.live.number != sent:
                        sent = self.live.number
                        lines = "".join(f"data: {line}\n" for line in self.live.text.splitlines())
                        yield f"event: flow\n{lines}\n"
                    await asyncio.sleep(LOOK)
            finally:
                self.live.leave()

        return StreamingResponse(stream(), media_type="text/event-stream")

    def missing(self, request: Request, error: Exception) -> Response:
        """The page for an address that doesn't exist."""
        return self._page("missing.html", 404)

    def _render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(**values)

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        names = self._session.names
        return HTMLResponse(self._render(template, names=names, **values), status)


def _unexpected(error: Exception) -> PdkError:
    """An error of the console itself, in words; its traceback goes to the terminal once, not with every reading."""
    if str(error) not in _told:
        _told.add(str(error))
        log.error("the console can't read the lab", exc_info=error)
    text = f"The console can't read the lab: {type(error).__name__}: {error}"
    return PdkError(text, fix="Please report this, with what the terminal of pdk-nb ui shows.")


def application(pages: Pages, token: str) -> Starlette:
    """The console as an ASGI application.

    Args:
        pages: The pages.
        token: What a visitor needs.
    """
    routes = [
        Route("/", pages.flow),
        Route("/journey", pages.journey),
        Route("/events", pages.events),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]
    app = Starlette(routes=routes, exception_handlers={404: pages.missing})
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
                added = [(name.lower().encode(), value.encode()) for name, value in access.HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        refused = access.refuse(Request(scope), self._token)
        await (refused or self._app)(scope, receive, send_guarded)
