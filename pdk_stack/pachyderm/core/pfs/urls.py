"""Files that the server itself fetches from URLs (``putFileURL`` of ``src/server/pfs/server/url.go``)."""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from pdk_stack.pachyderm.core.pfs.objectstore import ObjectStore, open_store, parse_url
from pdk_stack.pachyderm.core.pfs.upload import COPY_CHUNK, Upload
from pdk_stack.pachyderm.errors import Fault

TIMEOUT_S = 60.0


def add_url(upload: Upload, path: str, url: str, tag: str = "", recursive: bool = False) -> None:
    """Append the content of a URL.

    Args:
        upload: Receives the content.
        path: The target file; with ``recursive``, the target directory.
        url: ``http://``, ``https://``, ``s3://``, ``gs://`` or ``minio://``.
        tag: The tag of the file's part.
        recursive: Whether to fetch every object with the URL's key as a prefix; not for HTTP.

    Raises:
        Fault: The scheme isn't supported, or the remote server refuses.
    """
    if url.startswith(("http://", "https://")):
        _add_page(upload, path, url, tag)
        return
    place = parse_url(url)
    store = open_store(place)
    if not recursive:
        _add_object(upload, store, path, place.key, tag)
        return
    for key in store.keys(place.key):
        rest = key.removeprefix(place.key).lstrip("/")
        # Some tools mark folders with keys that end in a slash.
        if not key.endswith("/"):
            _add_object(upload, store, f"{path.rstrip('/')}/{rest}" if rest else path, key, tag)


def _add_object(upload: Upload, store: ObjectStore, path: str, key: str, tag: str) -> None:
    upload.add(path, None, tag)
    for chunk in store.read(key):
        upload.add(path, chunk, tag)


def _add_page(upload: Upload, path: str, url: str, tag: str) -> None:
    upload.add(path, None, tag)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            while chunk := answer.read(COPY_CHUNK):
                upload.add(path, chunk, tag)
    except urllib.error.HTTPError as error:
        with error:
            raise Fault(f'error retrieving content from "{url}": {error.code} {error.reason}') from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Fault(f'Get "{url}": {_reason(url, error)}') from error


def _reason(url: str, error: Exception) -> str:
    """Say why a server couldn't be reached, with the words of Go's network library for the usual reasons."""
    cause = getattr(error, "reason", error)
    try:
        place = urlsplit(url)
        host, port = place.hostname or "", place.port or (443 if place.scheme == "https" else 80)
    except ValueError:
        return str(cause)
    if isinstance(cause, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    if isinstance(cause, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    return str(cause)
