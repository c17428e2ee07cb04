"""Ask a service about one picture, and show what it answers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import anyio
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from pdk_nb import photos
from pdk_nb.console.pages.page import parameters
from pdk_nb.console.rendering import Renderer
from pdk_nb.platforms import serving
from pdk_shared.errors import PredictionError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["Answers"]

#: Largest picture, in bytes.
LARGEST = 50_000_000


class Answers:
    """The endpoint that asks.

    Args:
        session: The session.
        renderer: Renders the templates.
        check: What a request must repeat.
    """

    def __init__(self, session: Session, renderer: Renderer, check: str) -> None:
        self._session = session
        self._renderer = renderer
        self._check = check

    async def answer(self, request: Request) -> Response:
        """The answer to a picture, as a part of a page."""
        if not secrets.compare_digest(request.headers.get("x-check", "").encode(), self._check.encode()):
            return PlainTextResponse("Ask on the console's own page.\n", 403)
        content = bytearray()
        async for piece in request.stream():
            content += piece
            if len(content) > LARGEST:
                return PlainTextResponse(f"The picture has more than {LARGEST // 1_000_000} MB.\n", 413)
        given = parameters(request)
        try:
            text = await anyio.to_thread.run_sync(self._ask, given["service"], given.get("name", ""), bytes(content))
        except Exception as error:
            return HTMLResponse(self._renderer.problem(error), 400)
        return HTMLResponse(text)

    def _ask(self, service: str, name: str, content: bytes) -> str:
        picture = photos.thumbnail(content, 320)
        answer = serving.predict(self._session.settings, service, [content])[0]
        if answer.error:
            raise PredictionError(f"The model can't use the picture: {answer.error}", where=name or service)
        return self._renderer.render("answer.html", picture=picture, name=name or "the picture", answer=answer)
