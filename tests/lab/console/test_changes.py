"""What the console changes: only where it's allowed, only what a person has confirmed, and by the equal command."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
import python_pachyderm

from pdk_nb.console import trays
from pdk_nb.console.actions import ACTIONS
from pdk_nb.console.web import Pages, application
from pdk_nb.example import find
from pdk_nb.names import Names
from pdk_nb.platforms import mldm, serving
from tests.support.console import BASE, COOKIE, TOKEN
from tests.support.processes import ServiceProcess

ROOT_TOKEN = "t0ken-of-the-test"
ORIGIN = {"Origin": BASE}


class Browser:
    """Keeps one console, as a person's browser does."""

    def __init__(self, pages: Pages) -> None:
        self._app = application(pages, TOKEN)

    def ask(self, method: str, path: str, content: bytes = b"", **headers: str) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=60) as client:
                return await client.request(method, path, content=content, headers={**COOKIE, **headers})

        return asyncio.run(once())

    def get(self, path: str) -> httpx.Response:
        return self.ask("GET", path)

    def confirm(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Press the button of a confirmation."""
        assert page.status_code == 200, page.text
        address = html.unescape(str(re.search(r'method="post" action="([^"]+)"', page.text)[1]))  # type: ignore[index]
        form = {"check": check_of(page), **fields}
        body = "&".join(f"{name}={quote(value)}" for name, value in form.items())
        return self.ask("POST", address, body.encode(), **ORIGIN)


def check_of(page: httpx.Response) -> str:
    found = re.search(r'(?:name="check" value|data-check)="([^"]+)"', page.text)
    assert found
    return found[1]


def browser(session: Any = None, changes: bool = True) -> Browser:
    return Browser(Pages(session or SimpleNamespace(names=Names(), settings=SimpleNamespace()), changes))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    service = ServiceProcess("pachyderm", tmp_path_factory.mktemp("pachd"), {"root_token": ROOT_TOKEN}).start()
    address = urlsplit(service.ready["pachd"])
    client = python_pachyderm.Client(host=address.hostname, port=address.port, auth_token=ROOT_TOKEN)
    names = Names()
    client.create_project(names.project)
    client.create_repo(names.data_repo, project_name=names.project)
    settings = SimpleNamespace(kserve_model_namespace="models")
    yield SimpleNamespace(names=names, example=find(), pachyderm=client, settings=settings)
    service.stop()


PROMOTE = "/action/promote?service=dog-cat"


def test_a_console_that_only_reads_changes_nothing(session: Any) -> None:
    reading = browser(session, changes=False)
    names = Names()
    for path in (PROMOTE, f"/drop/{names.project}/{names.data_repo}"):
        assert reading.get(path).status_code == 404
        assert "pdk-nb ui --allow-changes" in reading.get(path).text
    assert "/drop/" not in reading.get(f"/data/{names.project}/{names.data_repo}").text
    assert "/drop/" in browser(session).get(f"/data/{names.project}/{names.data_repo}").text


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_another_site_cannot_confirm_for_a_person(session: Any, headers: dict[str, str]) -> None:
    here = browser(session)
    check = check_of(here.get(PROMOTE))
    assert here.ask("POST", PROMOTE, f"check={check}".encode(), **headers).status_code == 403
    assert here.ask("POST", "/upload?tray=x&name=y", b"z", **{**headers, "X-Check": check}).status_code == 403


@pytest.mark.parametrize("body", [b"", b"check=", b"check=wrong", b"check=%FF", b"\xff" * 20])
def test_a_confirmation_without_the_pages_own_word_is_refused(session: Any, body: bytes) -> None:
    assert browser(session).ask("POST", PROMOTE, body, **ORIGIN).status_code == 403
    assert browser(session).ask("POST", PROMOTE, b"x" * 20_000, **ORIGIN).status_code == 413
    assert browser(session).ask("POST", "/upload?tray=x&name=y", b"z", **ORIGIN).status_code == 403


def test_every_action_shows_its_command_before_it_does_anything(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"version": "v1", "uri": "s3://b/m/v1/", "number": 1, "current": False}
    monkeypatch.setattr(serving, "revisions", lambda *given: [record])
    given = "service=dog-cat&version=v1&id=3&project=p&pipeline=train&job=j&checkpoint=c0ffee&percent=25"
    shown = {}
    for action in ACTIONS:
        page = browser(session).get(f"/action/{action.name}?{given}")
        assert page.status_code == 200, (action.name, page.text)
        shown[action.name] = html.unescape(str(re.search(r'aria-label="Command">([^<]+)', page.text)[1]))  # type: ignore[index]
    where = "kubectl patch inferenceservice dog-cat -n models --type"
    assert shown == {
        "stop-job": "pachctl stop job train@j --project p",
        "pause-experiment": "det experiment pause 3",
        "activate-experiment": "det experiment activate 3",
        "cancel-experiment": "det experiment cancel 3",
        "kill-experiment": "det experiment kill 3",
        "register": "det model register-version dogs-and-cats c0ffee",
        "serve": f"""{where} merge -p '{{"spec": {{"predictor": {{"model": {{"storageUri": "s3://b/m/v1/"}}}}}}}}'""",
        "canary": f"""{where} merge -p '{{"spec": {{"predictor": {{"model": {{"storageUri": "s3://b/m/v1/"}}, """
        """"canaryTrafficPercent": 25}}}'""",
        "promote": f"""{where} json -p '[{{"op": "remove", "path": "/spec/predictor/canaryTrafficPercent"}}]'""",
        "delete-service": "kubectl delete inferenceservice dog-cat -n models",
    }


def test_a_confirmed_action_runs_once_with_what_the_person_chose(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(serving, "canary", lambda settings, *given: asked.append(given))
    monkeypatch.setattr(serving, "revisions", lambda *given: [{"version": "v2", "uri": "s3://b/m/v2/"}])
    here = browser(session)
    page = here.get("/action/canary?service=dog-cat&version=v2")
    assert asked == []
    done = here.confirm(page, percent="35")
    assert done.status_code == 200 and "35% of the requests" in done.text
    assert 'href="/services/dog-cat"' in done.text and "canaryTrafficPercent&#34;: 35" in done.text
    assert asked == [("dog-cat", "v2", 35)]
    assert here.confirm(page, percent="-1").status_code == 404
    assert len(asked) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/action/nothing",
        "/action/promote",
        "/action/promote?service=Not%20a%20name",
        "/action/pause-experiment?id=x",
        "/action/stop-job?pipeline=train",
        "/action/commit-files?project=p&repo=r",
    ],
)
def test_an_incomplete_address_is_explained(session: Any, path: str) -> None:
    reply = browser(session).get(path)
    assert reply.status_code == 404 and 'class="problem"' in reply.text


def test_dropped_files_become_one_commit(session: Any) -> None:
    here, names = browser(session), Names()
    page = here.get(f"/drop/{names.project}/{names.data_repo}")
    assert 'value="data1"' in page.text and "dog, cat" in page.text
    tray = str(re.search(r'data-tray="([^"]+)"', page.text)[1])  # type: ignore[index]
    headers = {**ORIGIN, "X-Check": check_of(page)}

    def send(name: str, content: bytes, key: str = tray) -> httpx.Response:
        return here.ask("POST", f"/upload?tray={quote(key)}&name={quote(name, safe='')}", content, **headers)

    assert send("cat.1.jpg", b"first").text == "1"
    assert send("cat.1.jpg", b"one").text == "1"
    assert send("dog é.jpg", b"three").status_code == 400
    assert send("dog.2.jpg", b"three").text == "2"
    for name in ("", ".", "..", "../x", "/abs", "a/b"):
        assert send(name, b"x").status_code == 400, name
    assert send("cat.3.jpg", b"x", "no-such-tray").status_code == 400
    address = f"/action/commit-files?project={names.project}&repo={names.data_repo}&tray={quote(tray)}&folder=data1/new"
    question = here.get(address)
    assert "pachctl put file -r dogs-and-cats-data@master:/data1/new" in question.text
    assert mldm.head(session.pachyderm, names.project, names.data_repo) == ""
    done = here.confirm(question)
    assert done.status_code == 200, done.text
    id = mldm.head(session.pachyderm, names.project, names.data_repo)
    assert id and id in done.text
    commit = mldm.commit_of(names.project, names.data_repo, id=id)
    assert mldm.files(session.pachyderm, commit) == {"/data1/new/cat.1.jpg": 3, "/data1/new/dog.2.jpg": 5}
    assert mldm.inspect(session.pachyderm, names.project, names.data_repo, id).description.startswith(
        "from the console"
    )
    again = here.confirm(question)
    assert again.status_code == 404 and "committed already" in again.text


def test_a_tray_has_limits_and_keeps_nothing_of_what_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trays, "MOST_FILES", 2)
    monkeypatch.setattr(trays, "MOST_BYTES", 10)
    held = trays.Trays()
    key = held.new()

    async def body(size: int) -> Any:
        yield b"x" * size

    def add(name: str, size: int) -> trays.Tray:
        return asyncio.run(held.add(key, name, body(size)))

    add("a", 6)
    with pytest.raises(trays.DataError, match="MB"):
        add("b", 6)
    tray = add("b", 4)
    assert (tray.bytes, len(list(tray.folder.iterdir()))) == (10, 2)
    with pytest.raises(trays.DataError, match="2 files"):
        add("c", 0)
    held.close()
    assert not Path(tray.folder).exists()
