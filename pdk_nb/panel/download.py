"""Pictures by address, fetched by the kernel.

The kernel may run inside a cluster's network, and the address may come from anybody who sees the panel. So only public
addresses are allowed: the name is resolved once, every address is checked, and the connection uses exactly the checked
address. Redirects pass the same check. A proxy isn't used, because nobody could tell where its request ends.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from pdk_shared.errors import DataError

if TYPE_CHECKING:
    import urllib3

__all__ = ["MAX_PICTURE_BYTES", "fetch_picture", "public_addresses"]

MAX_PICTURE_BYTES = 50 << 20
MAX_REDIRECTS = 3
TIMEOUT_S = 10.0
WHOLE_TIMEOUT_S = 45.0
PIECE = 1 << 16
# NAT64 (RFC 6052) and IPv4-compatible addresses (RFC 4291) end with the IPv4 address that they lead to.
IPV4_AT_THE_END = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
# NAT64 inside a private network (RFC 8215), which Python calls global.
PRIVATE_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")


def public_addresses(host: str, port: int) -> list[str]:
    """The addresses of a host, all of them public.

    Args:
        host: Name or address.
        port: TCP port.

    Raises:
        DataError: The name is unknown, or one of its addresses belongs to this machine or a private network.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DataError(
            f"Can't resolve the name {host}.",
            where=host,
            fix="Check the address and the network connection, or save the picture and upload it.",
        ) from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for address in addresses:
        if not _is_public(ipaddress.ip_address(address.partition("%")[0])):
            raise DataError(
                f"{host} is in a private network or on this machine; only public addresses are allowed.",
                where=host,
                fix="Save the picture and upload it.",
            )
    return addresses


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is public, and so is every IPv4 address that is embedded in it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        embedded = [address.sixtofour, *(address.teredo or ())]
        if any(address in network for network in IPV4_AT_THE_END):
            embedded.append(ipaddress.IPv4Address(address.packed[-4:]))
        if address in PRIVATE_NAT64 or not all(_is_public(each) for each in embedded if each is not None):
            return False
    return address.is_global and not address.is_multicast


def fetch_picture(
    url: str, resolve: Callable[[str, int], Sequence[str]] = public_addresses, limit: int = MAX_PICTURE_BYTES
) -> tuple[str, bytes]:
    """Fetch a picture.

    Args:
        url: Address; ``http`` or ``https``.
        resolve: Returns the allowed addresses for a host and port.
        limit: Largest picture in bytes.

    Returns:
        A name for the picture, and its bytes.

    Raises:
        DataError: The address is invalid, doesn't respond, or isn't a picture, or the picture is too large.
    """
    import urllib3

    url, deadline = url.strip(), time.monotonic() + WHOLE_TIMEOUT_S
    for _ in range(MAX_REDIRECTS + 1):
        host, port, path, pool = _connection(url, resolve)
        try:
            with pool:
                answer = pool.request(
                    "GET",
                    path,
                    headers={"Host": host, "Accept": "image/*", "User-Agent": "pdk-lab"},
                    preload_content=False,
                    redirect=False,
                    retries=False,
                )
                target = answer.get_redirect_location()
                if target:
                    url = urljoin(url, target)
                    continue
                return _name(url), _read(answer, url, limit, deadline)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DataError(
                f"{host} doesn't respond: {type(error).__name__}.",
                where=url,
                fix="Check the address and the network connection, or save the picture and upload it.",
            ) from error
    raise DataError(f"The address redirects more than {MAX_REDIRECTS} times.", where=url)


def _connection(
    url: str, resolve: Callable[[str, int], Sequence[str]]
) -> tuple[str, int, str, urllib3.HTTPConnectionPool]:
    """Host header, port, path, and a connection to an allowed address."""
    import urllib3

    fix = "Give an address like https://example.org/cat.jpg."
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise DataError(f"This isn't a valid address: {error}.", where=url, fix=fix) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DataError("Only http and https addresses are allowed.", where=url, fix=fix)
    if parts.username or parts.password:
        raise DataError("Addresses with a user or password aren't allowed.", fix=fix)
    name = parts.hostname
    address = resolve(name, port)[0]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    timeout = urllib3.Timeout(connect=TIMEOUT_S, read=TIMEOUT_S)
    host = parts.netloc
    if parts.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            address, port, timeout=timeout, server_hostname=name, assert_hostname=name, cert_reqs="CERT_REQUIRED"
        )
        return host, port, path, pool
    return host, port, path, urllib3.HTTPConnectionPool(address, port, timeout=timeout)


def _read(answer: urllib3.BaseHTTPResponse, url: str, limit: int, deadline: float) -> bytes:
    if answer.status != 200:
        raise DataError(f"The server returned {answer.status}.", where=url, fix="Open it in a browser to see why.")
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind and not kind.startswith("image/") and kind != "application/octet-stream":
        raise DataError(
            f"This address isn't a picture, but {kind}.",
            where=url,
            fix="Open only the picture in the browser and copy that address.",
        )
    received = bytearray()
    for piece in answer.stream(PIECE):
        received += piece
        if len(received) > limit:
            raise DataError(f"The picture is larger than {limit >> 20} MB.", where=url, fix="Choose a smaller one.")
        if time.monotonic() > deadline:
            raise DataError(f"The picture didn't arrive within {WHOLE_TIMEOUT_S:.0f} s.", where=url)
    return bytes(received)


def _name(url: str) -> str:
    return unquote(PurePosixPath(urlsplit(url).path).name) or "picture"
