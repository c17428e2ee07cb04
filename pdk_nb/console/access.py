"""Who gets in: a token in the first address, then a cookie; only this host, only this origin."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

COOKIE = "pdk-console"
#: Where a kubelet asks whether the console answers; it tells nothing, and needs no token.
ALIVE = "/alive"
HOSTS = frozenset({"127.0.0.1", "localhost"})
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer", browsers name no origin in the forms that they post.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def refuse(request: Request, token: str) -> Response | None:
    """The response to a visitor who may not see the page, or who asks only whether it answers; None for others.

    Args:
        request: The request.
        token: The token of this run.
    """
    host = request.headers.get("host", "")
    if urlsplit(f"//{host}").hostname not in HOSTS:
        return PlainTextResponse("This console answers only at this machine's own address.\n", 403)
    if (request.method, request.url.path) == ("GET", ALIVE):
        return PlainTextResponse("ok\n")
    origin = request.headers.get("origin")
    # Browsers name the origin of every form that is posted.
    if origin != f"http://{host}" and (origin is not None or request.method not in ("GET", "HEAD")):
        return PlainTextResponse("Another site may not use this console.\n", 403)
    shown = request.query_params.get("token", "")
    if shown and secrets.compare_digest(shown.encode(), token.encode()):
        response = RedirectResponse(request.url.path, 303)
        # Lax, not strict: a link from JupyterLab or a chat leads here, and a strict cookie isn't sent after a redirect
        # from another site. The pages only read, and they can't be framed.
        response.set_cookie(cookie_name(request), token, httponly=True, samesite="lax")
        return response
    if not secrets.compare_digest(request.cookies.get(cookie_name(request), "").encode(), token.encode()):
        return PlainTextResponse("Open the address that `pdk-nb ui` has printed: it contains the token.\n", 403)
    return None


def cookie_name(request: Request) -> str:
    """Cookies know no ports: two consoles on one machine need two names."""
    return f"{COOKIE}-{request.url.port or 80}"
