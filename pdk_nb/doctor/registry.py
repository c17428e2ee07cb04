"""Look up an image in a container registry, as a node's runtime does before it pulls.

Source: the OCI distribution specification 1.1 (``/v2/``, manifests, blobs) and Docker's token authentication
(``WWW-Authenticate: Bearer``).
"""

from __future__ import annotations

import base64
import json
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from pdk_nb.container_images import RegistryAccess

TIMEOUT_S = 8.0
DOCKER_HUB = "registry-1.docker.io"
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
PLATFORM = ("linux", "amd64")


class CannotAsk(Exception):
    """This machine can't ask the registry; the text says why."""


@dataclass(frozen=True)
class Image:
    """The parts of an image's name.

    Attributes:
        registry: Host, with the port if there is one.
        repository: Name in the registry.
        reference: Tag or digest.
    """

    registry: str
    repository: str
    reference: str

    @classmethod
    def parse(cls, text: str) -> Image:
        """Parse a name as container runtimes do: without a registry, it means Docker Hub."""
        name, _, digest = text.partition("@")
        first, slash, rest = name.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, name = first, rest
        else:
            registry, name = DOCKER_HUB, name if slash else f"library/{name}"
        if registry == "docker.io":
            registry = DOCKER_HUB
        repository, _, tag = name.partition(":")
        return cls(registry, repository, digest or tag or "latest")


@dataclass(frozen=True)
class Manifest:
    """A registry's information about an image.

    Attributes:
        digest: Its digest.
        platforms: Operating system and architecture of each variant, e.g. ``linux/amd64``.
    """

    digest: str
    platforms: tuple[str, ...]


class Registry:
    """One registry.

    Args:
        host: Its host, with the port if there is one.
        access: Whether it has a certificate of its own, or none.

    Attributes:
        plain: Whether it speaks plain HTTP; known after :meth:`check`.
    """

    def __init__(self, host: str, access: RegistryAccess | None = None) -> None:
        self.host = host
        self._access = access or RegistryAccess()
        self._session = requests.Session()
        # Given with each request: of a session, requests prefers REQUESTS_CA_BUNDLE to this.
        self._verify: bool | str = False if self._access.insecure else str(self._access.ca or "") or True
        self.plain = is_local(host)
        self._login = _stored_login(host)

    @property
    def _base(self) -> str:
        return f"{'http' if self.plain else 'https'}://{self.host}"

    def check(self) -> str:
        """Ask whether this is a registry; as the nodes may do, also over plain HTTP if it has no certificate.

        Returns:
            Its kind of access, for people.

        Raises:
            CannotAsk: It doesn't respond, or isn't a registry.
        """
        try:
            answer = self._get("/v2/", "")
        except CannotAsk:
            if self.plain:
                raise
            answer = self._over_http()
        if answer.status_code in (200, 401):
            return "open" if answer.status_code == 200 else "requires a login"
        raise CannotAsk(f"it answers {answer.status_code} to /v2/")

    def _over_http(self) -> requests.Response:
        """The same question without TLS; the first refusal counts if that is no answer either."""
        try:
            answer = requests.get(f"http://{self.host}/v2/", timeout=TIMEOUT_S)
        except requests.RequestException:
            return self._get("/v2/", "")
        # A server of TLS answers plain HTTP with 400.
        if answer.status_code not in (200, 401) or "Docker-Distribution-Api-Version" not in answer.headers:
            return self._get("/v2/", "")
        self.plain = True
        if not self._access.insecure:
            # A password isn't sent in clear text unless that was asked for.
            self._login = None
        return answer

    def manifest(self, image: Image) -> Manifest | None:
        """Look an image up.

        Returns:
            The registry's information; None when it doesn't have the image.

        Raises:
            CannotAsk: It doesn't respond, or it requires a login that this machine doesn't have.
        """
        path = f"/v2/{image.repository}/manifests/{image.reference}"
        answer = self._get(path, ", ".join((*INDEXES, *MANIFESTS)))
        if answer.status_code == 401:
            self._log_in(answer.headers.get("WWW-Authenticate", ""))
            answer = self._get(path, ", ".join((*INDEXES, *MANIFESTS)))
        if answer.status_code == 404:
            return None
        if answer.status_code in (401, 403):
            raise CannotAsk("it requires a login that this machine doesn't have")
        if answer.status_code != 200:
            raise CannotAsk(f"it answers {answer.status_code}")
        try:
            content = answer.json()
            return Manifest(answer.headers.get("Docker-Content-Digest", ""), self._platforms(image, content))
        except (ValueError, KeyError, TypeError) as error:
            raise CannotAsk(f"can't read its manifest: {error}") from error

    def _platforms(self, image: Image, content: dict[str, Any]) -> tuple[str, ...]:
        if "manifests" in content:
            found = [each.get("platform") or {} for each in content["manifests"]]
            return tuple(
                f"{each.get('os')}/{each.get('architecture')}" for each in found if each.get("os") != "unknown"
            )
        config = self._get(f"/v2/{image.repository}/blobs/{content['config']['digest']}", "").json()
        return (f"{config.get('os')}/{config.get('architecture')}",)

    def _get(self, path: str, accept: str) -> requests.Response:
        try:
            with warnings.catch_warnings():
                # Asked for with --insecure-registry.
                warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
                return self._session.get(
                    self._base + path, headers={"Accept": accept or "*/*"}, timeout=TIMEOUT_S, verify=self._verify
                )
        except requests.exceptions.SSLError as error:
            raise CannotAsk(f"{self.host} has a certificate that this machine doesn't know (--registry-ca)") from error
        except requests.RequestException as error:
            raise CannotAsk(f"{self.host} doesn't answer: {_reason(error)}") from error

    def _log_in(self, challenge: str) -> None:
        """Answer a challenge with the credentials from ``docker login``, or anonymously."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            if self._login:
                self._session.auth = self._login
            return
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = fields.pop("realm", "")
        if kind.lower() != "bearer" or urlsplit(realm).scheme not in ("http", "https"):
            raise CannotAsk("it requires an unknown kind of login")
        try:
            answer = requests.get(realm, params=fields, auth=self._login, timeout=TIMEOUT_S)
            content = answer.json() if answer.status_code == 200 else {}
        except (requests.RequestException, ValueError) as error:
            raise CannotAsk(f"{realm} doesn't answer: {error}") from error
        token = content.get("token") or content.get("access_token")
        if not token:
            raise CannotAsk("it requires a login that this machine doesn't have")
        self._session.headers["Authorization"] = f"Bearer {token}"


def is_local(host: str) -> bool:
    """Registries on this machine speak HTTP, as Docker assumes, too."""
    return re.fullmatch(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", host) is not None


def _stored_login(host: str) -> tuple[str, str] | None:
    """User and password from the file of ``docker login``, without credential helpers."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        auths = json.loads((folder / "config.json").read_text()).get("auths") or {}
        names = (host, f"https://{host}", "https://index.docker.io/v1/" if host == DOCKER_HUB else host)
        stored = next((auths[name]["auth"] for name in names if auths.get(name, {}).get("auth")), "")
        user, _, password = base64.b64decode(stored).decode().partition(":")
    except (OSError, ValueError, AttributeError):
        return None
    return (user, password) if user else None


def _reason(error: Exception) -> str:
    text = str(error)
    if "resolve" in text or "Name or service" in text:
        return "the name doesn't resolve"
    return "it took too long" if isinstance(error, requests.Timeout) else type(error).__name__
