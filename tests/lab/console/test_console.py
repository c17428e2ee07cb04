"""The console without a browser: who gets in, what its pages say, and how it polls."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pdk_nb import journey
from pdk_nb.console import access, live
from pdk_nb.console.live import Live
from pdk_nb.console.web import Pages, application
from pdk_nb.journey import lineage
from pdk_nb.names import Names
from pdk_shared.errors import ServiceUnreachable, UsageError
from tests.lab.test_journey import NOTHING

TOKEN = "a-token"
BASE = "http://127.0.0.1:8080"
COOKIE = {"Cookie": f"{access.COOKIE}-8080={TOKEN}"}


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    monkeypatch.setattr(journey, "read", lambda session: NOTHING)
    session: Any = SimpleNamespace(names=Names())
    return Pages(session)


def get(pages: Pages, path: str, **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=application(pages, TOKEN))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


def test_the_token_of_the_first_address_becomes_a_cookie(pages: Pages) -> None:
    reply = get(pages, f"/?token={TOKEN}")
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert get(pages, "/", **COOKIE).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cookie": f"{access.COOKIE}-8080=wrong"},
        {**COOKIE, "Host": "evil.example:8080"},
        {**COOKIE, "Origin": "http://evil.example"},
        {**COOKIE, "Origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/journey", "/events", "/static/console.css"])
def test_nobody_else_gets_in(pages: Pages, path: str, headers: dict[str, str]) -> None:
    assert get(pages, path, **headers).status_code == 403


def test_pages_load_nothing_from_elsewhere_and_hold_no_token(pages: Pages) -> None:
    reply = get(pages, "/", **COOKIE)
    assert "default-src 'none'; script-src 'self'" in reply.headers["content-security-policy"]
    assert TOKEN not in reply.text
    for file in ("console.css", "vendor/htmx.min.js", "vendor/htmx-ext-sse.min.js"):
        assert get(pages, f"/static/{file}", **COOKIE).status_code == 200


def test_flow_shows_the_stations(pages: Pages) -> None:
    text = get(pages, "/", **COOKIE).text
    assert "<svg" in text and "InferenceService" in text and 'sse-connect="/events"' in text


def test_a_platform_that_is_down_is_told_in_words(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(session: Any) -> None:
        raise ServiceUnreachable("Pachyderm doesn't answer.", where="<host>", fix="Start it.")

    monkeypatch.setattr(journey, "read", fail)
    reply = get(pages, "/", **COOKIE)
    assert reply.status_code == 200
    assert "answer." in reply.text and "&lt;host&gt;" in reply.text and "Start it." in reply.text


def test_an_unknown_id_is_explained_and_escaped(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(session: Any, wanted: str) -> None:
        raise UsageError(f"Nothing of the lab has the id {wanted!r}.")

    monkeypatch.setattr(lineage, "trace", fail)
    reply = get(pages, "/journey?id=<script>alert(1)</script>", **COOKIE)
    assert reply.status_code == 404
    assert "Nothing of the lab" in reply.text and "<script>alert" not in reply.text


def test_a_wrong_address_has_a_page(pages: Pages) -> None:
    reply = get(pages, "/nowhere", **COOKIE)
    assert reply.status_code == 404 and "There is no such page" in reply.text


def test_the_poller_runs_only_while_a_page_is_open() -> None:
    read = threading.Event()
    live = Live(lambda: read.set() or "text")  # type: ignore[func-returns-value]
    assert not read.wait(0.05)
    live.enter()
    assert read.wait(5)
    thread = live._thread
    assert thread is not None
    live.leave()
    thread.join(5)
    assert not thread.is_alive() and live.number == 1


def test_a_new_page_does_not_begin_with_an_old_reading() -> None:
    read = threading.Event()
    live = Live(lambda: read.set() or "old")  # type: ignore[func-returns-value]
    assert not live.current
    live.enter()
    assert read.wait(5)
    thread = live._thread
    assert thread is not None
    live.leave()
    thread.join(5)
    assert not live.current and live.text == ""


def test_the_poller_outlives_what_nobody_expects(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def fail(session: Any) -> None:
        failed.set()
        raise TypeError("<odd>")

    monkeypatch.setattr(journey, "read", fail)
    monkeypatch.setattr(live, "INTERVAL", 0.01)
    pages.live.enter()
    assert failed.wait(5)
    monkeypatch.setattr(journey, "read", lambda session: NOTHING)
    try:
        deadline = time.monotonic() + 5
        while "<svg" not in pages.live.text:
            assert time.monotonic() < deadline, pages.live.text
            time.sleep(0.01)
    finally:
        pages.live.close()
    monkeypatch.setattr(journey, "read", fail)
    told = pages.flow_part()
    assert "TypeError: &lt;odd&gt;" in told and "report this" in told
