"""Pictures by address: what may be asked, and every way in which it can fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pdk_nb.panel.download import fetch_picture, public_addresses
from pdk_shared.errors import DataError
from tests.support.serving_tools import RED


class Pages(BaseHTTPRequestHandler):
    seen: list[str] = []

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        Pages.seen.append(f"{self.headers['Host']}{self.path}")
        name = self.path.partition("?")[0]
        if name.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", name.removeprefix("/to/").replace("~", "/"))
            self.end_headers()
            return
        kind = {"/page": "text/html; charset=utf-8", "/silent.png": ""}.get(name, "image/png")
        self.send_response(404 if name == "/absent.png" else 200)
        if kind:
            self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(RED)


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    Pages.seen = []
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://pictures.example:{server.server_port}"
    server.shutdown()
    server.server_close()


def here(host: str, port: int) -> list[str]:
    """Stands for the name service: the example's host is this machine, and all others are looked up."""
    return ["127.0.0.1"] if host == "pictures.example" else public_addresses(host, port)


def test_a_picture_comes_with_its_name(site: str) -> None:
    assert fetch_picture(f"  {site}/a%20cat.png?size=2", here) == ("a cat.png", RED)
    assert Pages.seen == [f"{site.removeprefix('http://')}/a%20cat.png?size=2"]
    assert fetch_picture(f"{site}/silent.png", here)[1] == RED
    assert fetch_picture(site, here) == ("picture", RED)


def test_redirects_are_followed_through_the_same_gate(site: str) -> None:
    assert fetch_picture(f"{site}/to/~cat.png", here) == ("cat.png", RED)
    with pytest.raises(DataError, match="private network"):
        fetch_picture(f"{site}/to/http:~~127.0.0.1~cat.png", here)
    with pytest.raises(DataError, match="Only http"):
        fetch_picture(f"{site}/to/file:~~~etc~passwd", here)
    with pytest.raises(DataError, match="redirects more than"):
        fetch_picture(f"{site}/to/~to/~to/~to/~to/~cat.png", lambda host, port: ["127.0.0.1"], 10)


@pytest.mark.parametrize(
    ("path", "words"), [("/absent.png", "returned 404"), ("/page", "isn't a picture, but text/html")]
)
def test_answers_that_are_no_picture(site: str, path: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fetch_picture(site + path, here)


def test_a_picture_that_is_too_large_is_not_read_to_its_end(site: str) -> None:
    with pytest.raises(DataError, match="larger than 0 MB"):
        fetch_picture(f"{site}/cat.png", here, limit=len(RED) - 1)
    assert fetch_picture(f"{site}/cat.png", here, limit=len(RED))[1] == RED


def test_nobody_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(DataError, match="doesn't respond"):
            fetch_picture(f"http://pictures.example:{port}/cat.png", here)


@pytest.mark.parametrize(
    "url",
    [
        "cat.jpg",
        "ftp://example.org/cat.jpg",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http://[",
        "http://a:b",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(DataError) as refused:
        fetch_picture(url, here)
    assert "example.org" in refused.value.fix


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(DataError) as refused:
        fetch_picture("http://ada:secret@pictures.example/cat.png", here)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.0.0.7",
        "192.168.1.2",
        "169.254.169.254",
        "::1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
        "2001:0:7f00:1::",
        "2001:0:808:808:0:0:80ff:fffe",
        "0.0.0.1",
        "224.0.0.1",
    ],
)
def test_addresses_inside_are_not_asked(host: str) -> None:
    with pytest.raises(DataError, match="private network or on this machine"):
        public_addresses(host, 80)


def test_public_addresses_are() -> None:
    # Numbers are not looked up, so that this needs no network.
    for address in ("93.184.215.14", "2606:4700::1111", "64:ff9b::5db8:d70e", "2002:5db8:d70e::1"):
        assert public_addresses(address, 443) == [address]


def test_one_private_address_among_others_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 80)) for each in ("93.184.215.14", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(DataError, match="private network"):
        public_addresses("rebinding.example", 80)


def test_an_unknown_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror("no address")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(DataError, match="Can't resolve the name"):
        public_addresses("pictures.example", 80)
