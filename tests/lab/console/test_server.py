"""The console's address: open as soon as it's announced, and closed to whoever lacks the token."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pdk_nb.console import server
from pdk_nb.console.pages import flow
from pdk_nb.lab import Lab
from pdk_nb.names import Names
from tests.lab.console.test_console import Client
from tests.lab.test_journey import NOTHING


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
