"""A page for people who open a port of the stack in a browser: what this is, and where to look instead.

The real platforms have user interfaces at these addresses. Programs notice nothing: only a browser names ``text/html``
first in its ``Accept`` header (RFC 9110, 12.5.1), and only the addresses of user interfaces are answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

__all__ = ["welcome"]


@dataclass(frozen=True)
class _Platform:
    """What answers at a port.

    Attributes:
        title: The platform's name.
        stands_for: What a cluster has at this address.
        paths: Addresses of its user interface; those that end with ``/`` stand for all below them, too.
    """

    title: str
    stands_for: str
    paths: tuple[str, ...]


PLATFORMS = {
    "determined.master": _Platform("Determined", "Determined's master and its web UI", ("/", "/det", "/det/", "/ui/")),
    "kubernetes.api": _Platform("Kubernetes", "the Kubernetes API", ("/",)),
    "pachyderm.s3": _Platform("Pachyderm's S3 gateway", "the S3 gateway of Pachyderm", ("/",)),
}
TEXT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} · PDK Lab</title>
<style>:root{{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}}
body{{max-width:40rem;margin:3rem auto;padding:0 1rem}}</style>
</head><body><h1>{title}, embedded</h1>
<p>This port belongs to PDK Lab's embedded stack on this computer. It stands in for {stands_for}: clients get the same
answers as from a cluster, and the work is real. It has no user interface of its own.</p>
<p>To see data, jobs, experiments, models, and services, run this command, and open the address that it prints:</p>
<pre><code>pdk-nb ui</code></pre>{hint}
</body></html>
"""


def welcome(server: str, scope: Scope) -> Response | None:
    """The page for a browser at the address of a user interface; None for everything else.

    Args:
        server: Service and listener, such as ``determined.master``.
        scope: The request (ASGI).
    """
    platform = PLATFORMS.get(server)
    if platform is None or scope["method"] not in ("GET", "HEAD") or not _has(platform.paths, scope["path"]):
        return None
    accepted = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    if not accepted.lstrip().lower().startswith(b"text/html"):
        return None
    parts = scope["path"].strip("/").split("/")
    number = (
        parts[2]
        if parts[:2] == ["det", "experiments"] and len(parts) > 2 and parts[2].isascii() and parts[2].isdigit()
        else ""
    )
    hint = f"\n<p>There, experiment {number} is at <code>/experiments/{number}</code>.</p>" if number else ""
    text = TEXT.format(title=platform.title, stands_for=platform.stands_for, hint=hint)
    headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'", "cache-control": "no-store"}
    return HTMLResponse(text, headers=headers)


def _has(paths: tuple[str, ...], path: str) -> bool:
    return any(path == each or (len(each) > 1 and each.endswith("/") and path.startswith(each)) for each in paths)
