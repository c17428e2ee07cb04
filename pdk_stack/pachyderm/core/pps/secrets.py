"""Pipelines' secrets: Kubernetes Secrets if a cluster is configured, otherwise a database table."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pdk_stack.common.database import Database
from pdk_stack.pachyderm.core.pps.go_json import syntax_error
from pdk_stack.pachyderm.errors import Fault, NotFound
from pdk_stack.pachyderm.store.clock import now_ns

# Label of secrets made through Pachyderm (src/server/pps/server).
SOURCE_LABEL = "secret-source"
SOURCE_VALUE = "pachyderm-user"
SUITE_LABEL, SUITE = "suite", "pachyderm"
TIMEOUT_S = 10.0
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


@dataclass(frozen=True)
class Secret:
    """A secret.

    Attributes:
        created: Creation time, in nanoseconds since the epoch.
        data: Values by key.
    """

    name: str
    type: str
    created: int
    data: Mapping[str, bytes] = field(repr=False)


def is_key(text: str) -> bool:
    """Whether a string can be a key of a Secret, and so a file's name (``IsConfigMapKey`` of Kubernetes)."""
    return _KEY.fullmatch(text) is not None and text != "." and not text.startswith("..")


def parse_manifest(manifest: bytes) -> dict[str, Any]:
    """Parse the manifest of a Secret as clients send it.

    Raises:
        Fault: The manifest isn't the JSON of a Secret with a name and valid keys.
    """
    text = manifest.decode(errors="replace")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise Fault(f"failed to unmarshal secret: {syntax_error(text)}") from error
    try:
        name = content["metadata"]["name"]
        for value in (content.get("data") or {}).values():
            base64.b64decode(value, validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise Fault(f"failed to unmarshal secret: {error!r}") from error
    if not name:
        raise Fault("secret must have a name")
    for key in (*(content.get("data") or {}), *(content.get("stringData") or {})):
        if not is_key(key):
            raise Fault(
                f'failed to create secret: data[{key}]: Invalid value: "{key}": a valid config key must consist of '
                "alphanumeric characters, '-', '_' or '.'"
            )
    labels = content["metadata"].get("labels") or {}
    if labels.get(SUITE_LABEL, SUITE) not in ("", SUITE):
        raise Fault(f"invalid suite label set on secret: suite={labels[SUITE_LABEL]}")
    content["metadata"]["labels"] = {**labels, SUITE_LABEL: SUITE, SOURCE_LABEL: SOURCE_VALUE}
    return dict(content)


class Secrets(ABC):
    """A store for secrets."""

    @abstractmethod
    def find(self, name: str) -> Secret | None:
        """Return a secret, or None.

        Raises:
            Fault: The cluster doesn't respond.
        """

    @abstractmethod
    def create(self, manifest: bytes) -> None:
        """Create a secret.

        Args:
            manifest: The Secret as JSON.

        Raises:
            Fault: The manifest is invalid, a secret of that name exists, or the cluster refuses it.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a secret.

        Raises:
            Fault: The secret doesn't exist.
        """

    @abstractmethod
    def list(self) -> list[Secret]:
        """List the secrets made through Pachyderm."""


class LocalSecrets(Secrets):
    """Secrets in the daemon's own database.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def _secret(row: sqlite3.Row) -> Secret:
        data = {key: base64.b64decode(value) for key, value in json.loads(row["data"]).items()}
        return Secret(row["name"], row["type"], row["created"], data)

    def find(self, name: str) -> Secret | None:
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM secrets WHERE name = ?", (name,)).fetchone()
            return None if row is None else self._secret(row)

    def create(self, manifest: bytes) -> None:
        content = parse_manifest(manifest)
        name = content["metadata"]["name"]
        data = dict(content.get("data") or {})
        for key, text in (content.get("stringData") or {}).items():
            data[key] = base64.b64encode(text.encode()).decode()
        try:
            with self._database.write() as connection:
                connection.execute(
                    "INSERT INTO secrets VALUES (?, ?, ?, ?, ?)",
                    (
                        name,
                        content.get("type") or "Opaque",
                        json.dumps(data),
                        json.dumps(content["metadata"]["labels"]),
                        now_ns(),
                    ),
                )
        except sqlite3.IntegrityError as error:
            raise Fault(f'failed to create secret: secrets "{name}" already exists') from error

    def delete(self, name: str) -> None:
        with self._database.write() as connection:
            if connection.execute("DELETE FROM secrets WHERE name = ?", (name,)).rowcount != 1:
                raise Fault(f'failed to delete secret: secrets "{name}" not found')

    def list(self) -> list[Secret]:
        with self._database.read() as connection:
            return [self._secret(row) for row in connection.execute("SELECT * FROM secrets ORDER BY name")]


class ClusterSecrets(Secrets):
    """Secrets in a namespace of a Kubernetes cluster.

    Args:
        kubeconfig: The cluster's kubeconfig file.
        namespace: The namespace.
    """

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._api: Any = None

    def _core(self) -> Any:
        if self._api is None:
            # Imported here: the import is slow, and only pipelines with secrets need it.
            from kubernetes import client, config

            api_client = config.new_client_from_config(config_file=str(self._kubeconfig))
            api_client.configuration.retries = 0
            self._api = client.CoreV1Api(api_client)
        return self._api

    def _call(self, what: str, method: str, *args: Any) -> Any:
        from kubernetes.client.exceptions import ApiException

        try:
            return getattr(self._core(), method)(*args, _request_timeout=TIMEOUT_S)
        except ApiException as error:
            if error.status == 404:
                raise NotFound(f"failed to {what}: {_reason(error)}") from error
            raise Fault(f"failed to {what}: {_reason(error)}") from error
        except Exception as error:
            raise Fault(f"failed to {what}: the Kubernetes API does not answer: {error}") from error

    @staticmethod
    def _secret(item: Any) -> Secret:
        moment: datetime | None = item.metadata.creation_timestamp
        data = {key: base64.b64decode(value) for key, value in (item.data or {}).items()}
        created = int(moment.timestamp()) * 1_000_000_000 if moment else 0
        return Secret(item.metadata.name, item.type or "Opaque", created, data)

    def find(self, name: str) -> Secret | None:
        try:
            item = self._call("read secret", "read_namespaced_secret", name, self._namespace)
        except NotFound:
            return None
        return self._secret(item)

    def create(self, manifest: bytes) -> None:
        content = parse_manifest(manifest)
        self._call("create secret", "create_namespaced_secret", self._namespace, content)

    def delete(self, name: str) -> None:
        try:
            self._call("delete secret", "delete_namespaced_secret", name, self._namespace)
        except NotFound as error:
            # As from the server: Kubernetes' errors have no code of their own.
            raise Fault(error.message) from error

    def list(self) -> list[Secret]:
        answer = self._call("list secrets", "list_namespaced_secret", self._namespace)
        return [
            self._secret(item)
            for item in answer.items
            if (item.metadata.labels or {}).get(SOURCE_LABEL) == SOURCE_VALUE
        ]


def _reason(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
