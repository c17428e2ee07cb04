"""The console behind another web server, which has checked its visitors and gives the page an address of its own.

Every address of the console begins with ``/``. Behind a proxy, it begins with what the proxy puts before it, such as
``/user/ada/pdk-console``: the attributes of pages that contain addresses are rewritten on their way out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pdk_nb.console import access

__all__ = ["Proxied"]

#: Where the proxy says what it puts before each address; jupyter-server-proxy and Werkzeug use this name.
PREFIX_HEADER = "x-forwarded-prefix"
PREFIX = re.compile(r"(/[\w.~%@+-]+)*")
# Attributes that hold addresses in the console's templates. Texts can't look like them: their quotes are escaped.
ADDRESSES = re.compile(rb'((?:href|src|action|sse-connect|data-[a-z]+)=")/(?!/)')
REWRITTEN = ("text/html", "text/event-stream")


class Proxied:
    """Serve an application below a proxy's prefix, and let that proxy's own pages show it.

    Args:
        app: The application (ASGI).
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Any]) -> None:
        """Answer one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(PREFIX_HEADER, "").rstrip("/")
        prefix = given.encode() if PREFIX.fullmatch(given) else b""
        rewriting = False

        async def send_rewritten(message: Any) -> None:
            nonlocal rewriting
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message.get("headers", [])))
                rewriting = headers.get("content-type", "").startswith(REWRITTEN)
                if rewriting and "content-length" in headers:
                    del headers["content-length"]
                for name, value in access.HEADERS.items():
                    if name not in headers:
                        # The proxy's own pages show the console in a tab of theirs.
                        headers[name] = value.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
                message = {**message, "headers": headers.raw}
            elif rewriting:
                # Pages and events are each sent in one piece.
                message = {**message, "body": ADDRESSES.sub(rb"\1" + prefix + b"/", message.get("body", b""))}
            await send(message)

        refused = foreign(Request(scope))
        await (refused or self._app)(scope, receive, send_rewritten)


def foreign(request: Request) -> Response | None:
    """The response to a request that another site has made a browser send; None for others."""
    origin = request.headers.get("origin")
    if origin is None and request.method in ("GET", "HEAD"):
        return None
    if origin is not None and urlsplit(origin).netloc == request.headers.get("host", ""):
        return None
    return PlainTextResponse("Another site may not use this console.\n", 403)
