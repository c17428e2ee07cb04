"""Whose connection it is: other users of the machine are told apart."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdk_stack.common import peers

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has tables of sockets")
NOBODY = 65534


@pytest.fixture(autouse=True)
def probe_anew() -> Iterator[None]:
    peers._can_tell.cache_clear()
    yield
    peers._can_tell.cache_clear()


def test_own_connections_are() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        near, far = client.getsockname(), server.getsockname()
        assert peers.user_of(near, far) == os.geteuid()
        assert peers.is_own_user(near, far[1])
        # A listening socket is no connection.
        assert peers.user_of(far, far) is None
        assert not peers.is_own_user(far, far[1])


def test_an_ipv6_socket_can_reach_an_ipv4_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET6) as client:
        port = server.getsockname()[1]
        client.connect(("::ffff:127.0.0.1", port))
        assert peers.user_of(("127.0.0.1", client.getsockname()[1]), ("127.0.0.1", port)) == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        os.seteuid(NOBODY)
        try:
            client = socket.create_connection(server.getsockname())
        finally:
            os.seteuid(0)
        near, far = client.getsockname(), server.getsockname()
        assert peers.user_of(near, far) == NOBODY and not peers.is_own_user(near, far[1])
        # A client that is gone has no user; the tables then show root.
        client.close()
        assert peers.user_of(near, far) is None and not peers.is_own_user(near, far[1])


def test_a_system_that_cannot_tell_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(peers, "TABLES", (tmp_path / "absent", tmp_path / "absent6"))
    with caplog.at_level(logging.WARNING):
        assert peers.is_own_user(("127.0.0.1", 1), 2) and peers.is_own_user(("127.0.0.1", 3), 4)
    assert caplog.text.count("doesn't tell which user") == 1
