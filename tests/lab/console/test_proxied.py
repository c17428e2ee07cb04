"""The console behind Jupyter: addresses below its prefix, who gets in, and the card in the launcher."""

from __future__ import annotations

import asyncio
import contextlib
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest

from pdk_nb.console import jupyter, server
from pdk_nb.console.pages import flow
from pdk_nb.console.web import Pages, application
from pdk_nb.names import Names
from pdk_shared.errors import UsageError
from tests.lab.console.test_console import Client
from tests.lab.test_journey import NOTHING

PREFIX = "/user/ada/pdk-console"
HOST = "hub.example"


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(flow, "read_journey", lambda session: NOTHING)
    return SimpleNamespace(names=Names(), pachyderm=Client())


def ask(session: Any, path: str, method: str = "GET", prefix: str = PREFIX, **headers: str) -> httpx.Response:
    """What a proxy passes on; it has checked the visitor."""

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=application(Pages(session), None))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return await client.request(method, path, headers={"X-Forwarded-Prefix": prefix, **headers})

    return asyncio.run(once())


def test_every_address_of_a_page_is_below_the_prefix(session: Any) -> None:
    reply = ask(session, "/?token=jupyters-own")
    assert reply.status_code == 200
    addresses = re.findall(r'(?:href|src|action|sse-connect|data-[a-z]+)="(/[^"]*)"', reply.text)
    assert len(addresses) > 15
    assert all(each.startswith(f"{PREFIX}/") for each in addresses), addresses
    # The proxy's own token isn't part of any page.
    assert "jupyters-own" not in reply.text
    # A page of the same console without a prefix stays as it is.
    assert f'href="{PREFIX}' not in ask(session, "/", prefix="").text


def test_texts_that_look_like_addresses_stay(session: Any) -> None:
    text = ask(session, '/journey?id=href="/x"').text
    assert "href=&#34;/x&#34;" in text and f"{PREFIX}/x" not in text


@pytest.mark.parametrize("prefix", ['/"><script>', "//evil.example", "http://evil.example", "/a b", "evil"])
def test_a_prefix_that_is_none_changes_nothing(session: Any, prefix: str) -> None:
    assert ask(session, "/", prefix=prefix).text == ask(session, "/", prefix="").text


def test_jupyters_own_pages_may_show_it_and_no_others(session: Any) -> None:
    reply = ask(session, "/")
    assert "frame-ancestors 'self'" in reply.headers["content-security-policy"]
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    style = ask(session, "/static/console.css")
    assert style.status_code == 200 and int(style.headers["content-length"]) == len(style.content)


@pytest.mark.parametrize(
    ("method", "headers", "code"),
    [
        ("GET", {}, 200),
        ("GET", {"Origin": f"https://{HOST}"}, 200),
        ("GET", {"Origin": "https://evil.example"}, 403),
        ("GET", {"Origin": "null"}, 403),
        ("POST", {}, 403),
        ("POST", {"Origin": "https://evil.example"}, 403),
    ],
)
def test_no_other_site_gets_in(session: Any, method: str, headers: dict[str, str], code: int) -> None:
    path = "/" if method == "GET" else "/upload"
    assert ask(session, path, method, **headers).status_code == code


def test_a_form_of_its_own_gets_to_its_own_check(session: Any) -> None:
    reply = ask(session, "/upload?tray=x&name=y", "POST", Origin=f"https://{HOST}")
    assert reply.status_code == 403 and "Another site" not in reply.text


def test_only_its_owner_reaches_the_socket(session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "socket"
    begun = threading.Event()
    made: list[Any] = []
    original = server._server

    def remember(*given: Any) -> Any:
        made.append(original(*given))
        begun.set()
        return made[-1]

    monkeypatch.setattr(server, "_server", remember)
    thread = threading.Thread(target=server.serve_socket, args=(session, path), daemon=True)
    thread.start()
    assert begun.wait(10)
    transport = httpx.HTTPTransport(uds=str(path), retries=20)
    with httpx.Client(transport=transport, base_url="http://here", timeout=10) as client:
        assert "<h1>Flow</h1>" in client.get("/").text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made[0].should_exit = True
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(UsageError, match="can't be made"):
        server.serve_socket(session, tmp_path / "none" / "socket")


def test_it_ends_with_the_process_that_started_it() -> None:
    child = "import threading; from pdk_nb.console import server; server.end_with_parent(); print(flush=True); "
    child += "threading.Event().wait(60)"
    # It ends as soon as the child has seen it.
    parent = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)"
    )
    parent += "; child.stdout.readline(); print(child.pid)"
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True, timeout=60)
    with contextlib.suppress(psutil.NoSuchProcess):
        _, alive = psutil.wait_procs([psutil.Process(int(done.stdout))], timeout=20)
        assert not alive


def test_the_launchers_card_starts_the_console() -> None:
    project = (Path(jupyter.__file__).parents[2] / "pyproject.toml").read_text()
    entry = '[project.entry-points.jupyter_serverproxy_servers]\npdk-console = "pdk_nb.console.jupyter:server"\n'
    assert entry in project
    known = jupyter.server()
    assert Path(known["launcher_entry"]["icon_path"]).read_text().startswith("<svg")
    program, *arguments = known["command"]
    assert program == sys.executable
    shown = subprocess.run([program, *arguments[:-2], "--help"], capture_output=True, text=True, check=True).stdout
    assert arguments[-2] in shown
