"""Registries that need more than a push: on Amazon's, each repository must be created first; a company's own may speak
plain HTTP or have a certificate that only the company knows.
"""

from __future__ import annotations

import base64
import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdk_shared.errors import ImageError, UsageError

# <account>.dkr.ecr.<region>.amazonaws.com, in China with .cn
ECR_HOST = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


@dataclass(frozen=True)
class RegistryAccess:
    """How to reach a registry whose certificate this machine doesn't know, or that has none.

    Attributes:
        ca: File with the certificates to trust; the system's when None.
        insecure: Whether plain HTTP and unknown certificates are allowed.
    """

    ca: Path | None = None
    insecure: bool = False

    @contextlib.contextmanager
    def flags(self, engine: str) -> Iterator[list[str]]:
        """The flags of a container tool for it, valid within the block.

        Args:
            engine: ``docker``, ``podman`` or ``buildah``.

        Raises:
            UsageError: Docker is told in its daemon's configuration.
        """
        if not self.ca and not self.insecure:
            yield []
            return
        if engine == "docker":
            raise UsageError(
                "Docker's daemon decides which registries it trusts, not its command line.",
                where="--registry-ca, --insecure-registry",
                fix="Put the certificate into /etc/docker/certs.d/<host:port>/ca.crt, or the host into "
                "insecure-registries of /etc/docker/daemon.json; then run the command without the flag, or use "
                "--engine podman or buildah.",
            )
        if self.insecure:
            yield ["--tls-verify=false"]
            return
        with tempfile.TemporaryDirectory(prefix="pdk-registry-") as folder:
            # The tools take a folder, as containers-certs.d(5) describes it.
            shutil.copy(str(self.ca), Path(folder) / "ca.crt")
            yield [f"--cert-dir={folder}"]


@dataclass(frozen=True)
class EcrRegistry:
    """An Elastic Container Registry.

    Attributes:
        host: Its hostname, for the login.
        account: AWS account.
        region: AWS region.
    """

    host: str
    account: str
    region: str

    def _client(self) -> Any:
        import boto3

        return boto3.session.Session().client("ecr", region_name=self.region)

    def ensure_repository(self, image: str) -> bool:
        """Create the repository of an image, with immutable tags, unless it exists.

        Args:
            image: Name with or without tag, on this registry.

        Returns:
            Whether it was created.

        Raises:
            ImageError: AWS refuses.
        """
        name = image.removeprefix(f"{self.host}/").split("@")[0].split(":")[0]
        client = self._client()
        try:
            client.create_repository(registryId=self.account, repositoryName=name, imageTagMutability="IMMUTABLE")
        except client.exceptions.RepositoryAlreadyExistsException:
            return False
        except Exception as error:  # botocore's errors and its credential errors share no base class
            raise self._refusal(f"Can't create the repository {name}", error) from error
        return True

    def credentials(self) -> tuple[str, str]:
        """User and password for the container tool, valid for twelve hours.

        Raises:
            ImageError: AWS refuses.
        """
        try:
            answer = self._client().get_authorization_token(registryIds=[self.account])
            user, _, password = (
                base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode().partition(":")
            )
        except Exception as error:  # botocore's errors and its credential errors share no base class
            raise self._refusal("Can't log in to the registry", error) from error
        return user, password

    def _refusal(self, what: str, error: Exception) -> ImageError:
        return ImageError(
            f"{what}: {error}",
            where=self.host,
            fix="aws sts get-caller-identity  shows who you are; ecr:CreateRepository and ecr:GetAuthorizationToken "
            "are needed.",
        )


def ecr_registry(registry: str) -> EcrRegistry | None:
    """The Elastic Container Registry that a registry's address names; None for any other registry."""
    host = registry.split("/")[0]
    found = ECR_HOST.fullmatch(host)
    return EcrRegistry(host, found["account"], found["region"]) if found else None
