"""The console's address: open as soon as it's announced, and closed to whoever lacks the token."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pdk_nb.cli import main
from pdk_nb.commands import ui
from pdk_nb.console import access, server
from pdk_nb.console.pages import flow
from pdk_nb.console.web import Pages
from pdk_nb.lab import Lab
from pdk_nb.names import Names
from pdk_shared.errors import UsageError
from tests.lab.console.test_console import Client
from tests.lab.test_journey import NOTHING
from tests.support.console import ask


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(flow, "read_journey", lambda session: NOTHING)
    return SimpleNamespace(names=Names(), pachyderm=Client())


def test_the_address_takes_connections_when_it_is_announced(session: Any) -> None:
    class Seen(Exception):
        """Ends the server before it begins."""

    def announce(address: str) -> None:
        # Nobody answers yet, but the connection waits.
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(address, timeout=0.2)
        raise Seen

    with pytest.raises(Seen):
        server.serve(session, announce=announce)


def test_a_notebook_links_to_a_console_beside_its_kernel(session: Any) -> None:
    shown = Lab(session).console()
    address = str(shown).split()[4]
    assert f'href="{address}"' in shown._repr_html_()
    with httpx.Client(follow_redirects=True, timeout=10) as person:
        assert person.get(address.partition("?")[0]).status_code == 403
        page = person.get(address)
        assert page.status_code == 200 and "<h1>Flow</h1>" in page.text
        assert "Commit files" not in page.text


def test_a_kubelet_learns_that_it_answers_and_nothing_else(session: Any) -> None:
    pages = Pages(session)
    reply = ask(pages, access.ALIVE)
    assert (reply.status_code, reply.text) == (200, "ok\n")
    assert ask(pages, access.ALIVE, Host="10.0.0.7:8080").status_code == 403
    assert ask(pages, f"{access.ALIVE}/x").status_code == 403


def test_it_listens_beyond_this_machine_only_in_a_pod(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(Exception):
        """Ends the server before it begins."""

    announced: list[str] = []

    def announce(address: str) -> None:
        announced.append(address)
        raise Seen

    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    # Another address of this machine's own: nobody else reaches it either.
    with pytest.raises(UsageError, match="only in a pod") as told:
        server.serve(session, address="127.0.0.2", announce=announce)
    assert "ssh -L" in str(told.value)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    with pytest.raises(Seen):
        server.serve(session, address="127.0.0.2", token="t" * 32, announce=announce)
    # What a person opens is the end of their own tunnel.
    assert announced[0].startswith("http://127.0.0.1:") and announced[0].endswith(f"?token={'t' * 32}")


def test_a_token_comes_from_a_file_and_not_into_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{'t' * 32}\n")
    assert server.token_of(file) == "t" * 32
    for content in ("short", "with spaces " * 3, "", "ü" * 32):
        file.write_text(content)
        with pytest.raises(UsageError, match="at least 20"):
            server.token_of(file)
    with pytest.raises(UsageError, match="can't be read"):
        server.token_of(tmp_path / "none")
    file.write_text("t" * 32)
    monkeypatch.setattr(ui, "session_of", lambda args: None)
    monkeypatch.setattr(server, "serve", lambda session, announce, **given: announce("http://127.0.0.1:1/?token=ttt"))
    assert main(["ui", "--token-file", str(file)]) == 0
    said = capsys.readouterr()
    assert "ttt" not in said.out + said.err and f"?token=<the token in {file}>" in said.out
