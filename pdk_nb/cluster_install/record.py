"""What the installer did to a cluster, kept on that cluster: a ConfigMap that says what it made, and a Secret.

The record is why a second run changes nothing, and why ``cluster down`` removes nothing that was there before.
"""

from __future__ import annotations

import base64
import json
import secrets
import string
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from pdk_nb.cluster_install.objects import Api
from pdk_nb.cluster_install.tools import InstallError

__all__ = ["NAME", "NAMESPACE", "Entry", "Record", "load", "passwords", "save"]

NAME = "pdk-cluster"
NAMESPACE = "default"
LABELS = {"app.kubernetes.io/managed-by": "pdk-nb"}
# Determined's chart refuses a password without one letter of each case and a digit; without other characters, no
# database URL needs quoting.
ALPHABET = string.ascii_letters + string.digits
LENGTH = 24


@dataclass
class Entry:
    """One platform.

    Attributes:
        state: ``installed`` by this installer, or ``found``.
        version: Version of its chart or manifests; empty when found.
        releases: Helm releases that the installer made: ``namespace/name``.
        digest: What the releases were made of; another one means that there is something to do.
        objects: Objects that the installer made beside the releases.
        note: What was found, for people.
    """

    state: str = "installed"
    version: str = ""
    releases: list[str] = field(default_factory=list)
    digest: str = ""
    objects: list[dict[str, str]] = field(default_factory=list)
    note: str = ""


@dataclass
class Record:
    """What the installer knows of a cluster.

    Attributes:
        serving: KServe's mode, ``raw`` or ``serverless``; empty before the first installation.
        platforms: Each platform, in the order of installation.
        lab: Objects of the lab that weren't there before: ``pdk-config`` and others.
    """

    serving: str = ""
    platforms: dict[str, Entry] = field(default_factory=dict)
    lab: list[dict[str, str]] = field(default_factory=list)

    def ours(self, platform: str) -> bool:
        """Whether this installer made a platform."""
        return platform in self.platforms and self.platforms[platform].state == "installed"


def load(api: Api) -> Record:
    """The record of a cluster; an empty one when there is none.

    Raises:
        InstallError: The record can't be read.
    """
    found = api.get("v1", "ConfigMap", NAMESPACE, NAME)
    if found is None:
        return Record()
    try:
        content = json.loads(found["data"]["record"])
        platforms = {name: Entry(**each) for name, each in content["platforms"].items()}
        return Record(content["serving"], platforms, content["lab"])
    except (KeyError, TypeError, ValueError) as error:
        raise InstallError(
            f"The record of what was installed is malformed: {error}",
            where=f"ConfigMap {NAMESPACE}/{NAME}",
            fix="Use the version of the lab that wrote it.",
        ) from error


def save(api: Api, record: Record) -> None:
    """Write the record to the cluster."""
    api.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": LABELS},
            "data": {"record": json.dumps(asdict(record), indent=1)},
        }
    )


def passwords(api: Api, names: Iterable[str]) -> dict[str, str]:
    """Passwords of the platforms, from the Secret ``pdk-cluster``; the ones that it lacks are made up.

    They never leave the cluster and the private files that Helm reads.

    Args:
        api: The cluster.
        names: Which ones.
    """
    found = api.get("v1", "Secret", NAMESPACE, NAME)
    known = {key: base64.b64decode(text).decode() for key, text in ((found or {}).get("data") or {}).items()}
    missing = [name for name in names if not known.get(name)]
    if missing:
        known |= {name: _password() for name in missing}
        data = {name: base64.b64encode(text.encode()).decode() for name, text in known.items()}
        meta = {"name": NAME, "namespace": NAMESPACE, "labels": LABELS}
        api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": data})
    return {name: known[name] for name in names}


def _password() -> str:
    while True:
        text = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        kinds: list[Any] = [str.islower, str.isupper, str.isdigit]
        if all(any(kind(letter) for letter in text) for kind in kinds):
            return text
