"""The console without a browser: who gets in, what its pages say, and how it polls."""

from __future__ import annotations

import dataclasses
import re
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb.console import access, live, rendering
from pdk_nb.console.live import Live
from pdk_nb.console.pages import experiments, flow
from pdk_nb.console.pages.catalog import PAGES
from pdk_nb.console.pages.page import Page
from pdk_nb.console.web import Pages
from pdk_nb.journey import lineage
from pdk_nb.names import Names
from pdk_nb.platforms import serving
from pdk_shared.errors import DeploymentError, ServiceUnreachable, UsageError
from tests.lab.test_journey import NOTHING
from tests.support.console import COOKIE, TOKEN, ask

ROOT = Path(flow.__file__).parent
TEMPLATES = ROOT.parent / "templates"


class Client:
    """Pachyderm without projects."""

    def list_project(self) -> list[Any]:
        return []


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    monkeypatch.setattr(flow, "read_journey", lambda session: NOTHING)
    session: Any = SimpleNamespace(names=Names(), pachyderm=Client())
    return Pages(session)


def test_the_token_of_the_first_address_becomes_a_cookie(pages: Pages) -> None:
    reply = ask(pages, f"/?token={TOKEN}")
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie
    assert ask(pages, "/", **COOKIE).status_code == 200


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
@pytest.mark.parametrize("path", ["/", "/journey", "/data", "/events/", "/download/p/r/c", "/static/console.css"])
def test_nobody_else_gets_in(pages: Pages, path: str, headers: dict[str, str]) -> None:
    assert ask(pages, path, **headers).status_code == 403


def test_pages_load_nothing_from_elsewhere_and_hold_no_token(pages: Pages) -> None:
    reply = ask(pages, "/", **COOKIE)
    assert "default-src 'none'; script-src 'self'" in reply.headers["content-security-policy"]
    assert TOKEN not in reply.text
    for file in ("console.css", "vendor/htmx.min.js", "vendor/htmx-ext-sse.min.js"):
        assert ask(pages, f"/static/{file}", **COOKIE).status_code == 200


def test_flow_shows_the_stations(pages: Pages) -> None:
    text = ask(pages, "/", **COOKIE).text
    assert "<svg" in text and "InferenceService" in text and 'sse-connect="/events/"' in text


def test_a_platform_that_is_down_is_told_in_words(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(session: Any) -> None:
        raise ServiceUnreachable("Pachyderm doesn't answer.", where="<host>", fix="Start it.")

    monkeypatch.setattr(flow, "read_journey", fail)
    reply = ask(pages, "/", **COOKIE)
    assert reply.status_code == 503
    assert "answer." in reply.text and "&lt;host&gt;" in reply.text and "Start it." in reply.text


def test_an_unknown_id_is_explained_and_escaped(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(session: Any, wanted: str) -> None:
        raise UsageError(f"Nothing of the lab has the id {wanted!r}.")

    monkeypatch.setattr(lineage, "trace", fail)
    reply = ask(pages, "/journey?id=<script>alert(1)</script>", **COOKIE)
    assert reply.status_code == 404
    assert "Nothing of the lab" in reply.text and "<script>alert" not in reply.text


def test_a_wrong_address_has_a_page(pages: Pages) -> None:
    reply = ask(pages, "/nowhere", **COOKIE)
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


FLOW = next(page for page in PAGES if page.path == "/")


def test_a_page_outlives_what_nobody_expects_and_keeps_what_it_has_shown(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = pages._remembering(FLOW, {})
    assert "<svg" in read() and "Read last at" not in read()

    def fail(session: Any) -> None:
        raise TypeError("<odd>")

    monkeypatch.setattr(flow, "read_journey", fail)
    told = read()
    assert "TypeError: &lt;odd&gt;" in told and "report this" in told
    assert "Read last at" in told and "<svg" in told
    monkeypatch.setattr(flow, "read_journey", lambda session: NOTHING)
    assert "TypeError" not in read()


def test_a_settled_page_is_read_whole_only_when_its_signature_changes(pages: Pages) -> None:
    state = {"signature": "one", "settled": True, "reads": 0}

    def count(session: Any, parameters: Any) -> dict[str, Any]:
        state["reads"] = int(state["reads"]) + 1
        return {"settled": state["settled"]}

    page = Page("/x", "X", "missing.html", count, signature=lambda session, parameters: state["signature"])
    read = pages._remembering(page, {})
    assert read() == read() == read() and state["reads"] == 1
    state["signature"] = "two"
    assert read() == read() and state["reads"] == 2
    # A page that isn't settled is always read whole, and so is one whose signature can't be read.
    state |= {"signature": "three", "settled": False}
    assert read() == read() and state["reads"] == 4
    state |= {"signature": None, "settled": True}
    assert read() == read() and state["reads"] == 6
    state["signature"] = "four"
    read()
    read = pages._remembering(dataclasses.replace(page, whole_seconds=0.0), {})
    assert read() == read() and state["reads"] == 9


def test_the_poller_goes_on_after_a_failed_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = iter(["first", "second"])
    seen = threading.Event()

    def read() -> str:
        text = next(texts, "third")
        if text == "third":
            seen.set()
        return text

    monkeypatch.setattr(live, "INTERVAL", 0.01)
    following = Live(read)
    following.enter()
    assert seen.wait(5)
    following.close()
    assert following.number >= 2


def test_each_page_is_found_by_the_menu_or_by_another_page(pages: Pages) -> None:
    text = ask(pages, "/", **COOKIE).text
    for page in PAGES:
        if page.menu:
            assert f'<a href="{page.path}"' in text
            assert "{" not in page.path
    templates = "".join(path.read_text() for path in TEMPLATES.glob("*.html")) + (ROOT / "flow.py").read_text()
    for page in PAGES:
        head = page.path.split("{")[0]
        assert f'"{head}' in templates or f"'{head}" in templates or page.menu, page.path


def test_parameters_that_are_no_numbers_are_refused_in_words(pages: Pages) -> None:
    for path in ("/experiments?offset=-1", "/experiments/abc", "/experiments/%C2%B2", "/compare?ids=1"):
        reply = ask(pages, path, **COOKIE)
        assert reply.status_code == 404 and "What to do" in reply.text, path


def test_a_configuration_shows_no_secret() -> None:
    config = {"data": {"secrets": {"pachyderm_token": "t0k3n"}, "repo": "r"}, "registry_auth": {"password": "pa55"}}
    shown = str(experiments._without_secrets(config))
    assert "t0k3n" not in shown and "pa55" not in shown and "'repo': 'r'" in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_960, "1.0 MB"), (5e12, "5.0 TB"), (5e15, "5000.0 TB")],
)
def test_sizes(value: int, shown: str) -> None:
    assert rendering.size(value) == shown


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("SUCCESS", "done"),
        ("RUNNING", "running"),
        ("KILLED", "failed"),
        ("CANCELED", "failed"),
        ("RECOVERED", "missing"),
        ("STANDBY", "waiting"),
        ("PAUSED", "waiting"),
        ("FINISHING", "running"),
        ("warning", "missing"),
        ("True", "done"),
    ],
)
def test_states_look_as_they_do_in_the_graph(word: str, state: str) -> None:
    assert rendering.state(word) == state
    styles = (TEMPLATES.parent / "static" / "console.css").read_text()
    assert state == "waiting" or f".state.{state}::before" in styles


@pytest.mark.parametrize(("value", "shown"), [(0.04, "0.0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")])
def test_durations(value: float, shown: str) -> None:
    assert rendering.seconds(value) == shown


def test_a_journey_without_a_service_asks_for_an_id(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(settings: Any, name: str) -> None:
        raise DeploymentError("There is no such InferenceService.")

    monkeypatch.setattr(serving, "service_status", none)
    pages._session.settings = None
    reply = ask(pages, "/journey", **COOKIE)
    assert reply.status_code == 200 and "Type an id" in reply.text and "problem" not in reply.text


def test_flow_leads_to_nothing_that_is_not_there() -> None:
    found = flow.addresses(NOTHING)
    assert (found["repo"], found["version"], found["service"]) == ("/data", "/models", "/services")


@pytest.mark.parametrize(
    ("ready", "shares", "shown"),
    [
        (False, {"old": 100}, ["new starting", "old 100 %"]),
        (True, {"new": 30, "old": 70}, ["new 30 %", "old 70 %"]),
        (True, {"": 100}, ["new ready", "old"]),
    ],
    ids=["rolls out", "splits", "sleeps"],
)
def test_a_version_that_starts_is_not_called_ready(ready: bool, shares: dict[str, int], shown: list[str]) -> None:
    status = SimpleNamespace(
        ready=ready, summary=lambda: "", reasons=(), model="m", number=2, version="new", name="s", pods=(), url="",
        mode="serverless", protocol="v1",
    )  # fmt: skip
    traffic = [serving.Share(name or "asleep", part, name, False) for name, part in shares.items()]
    text = rendering.Renderer().render(
        "service.html",
        status=status,
        own=True,
        traffic=traffic,
        revisions=[SimpleNamespace(version=name, number=0, current=name == "new") for name in ("new", "old")],
        used=[("since", "", serving.Counts())],
        **dict.fromkeys(("usage", "usage_problem", "errors", "log_problem", "curl", "python"), ""),
    )
    table = text.split("Versions that it was given")[1].split("</table>")[0].split("<tbody>")[1]
    rows = [re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", row)).strip() for row in table.split("</tr>")[:2]]
    assert rows == shown
