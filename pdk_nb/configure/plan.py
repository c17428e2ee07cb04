"""What ``config init`` would write to a cluster: each value with its source."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pdk_nb.configure import discovery, manifests
from pdk_nb.platforms.cluster import Object
from pdk_nb.platforms.serving.account import predictor_account_for
from pdk_nb.settings import (
    CONFIG_MAP,
    KEYS,
    MASKED_SECRET_KEYS,
    MINIO_SECRET_KEYS,
    SECRET_KEYS,
    Settings,
    clean,
    from_maps,
    without_credentials,
)
from pdk_shared.errors import ServiceUnreachable, SettingsError, UsageError

REQUEST_TIMEOUT_S = 10.0
TO_DO = "FILL IN"
NONE = "N/A"


@dataclass(frozen=True)
class Value:
    """One value and where it comes from.

    Attributes:
        text: The value; empty when unknown.
        source: Its source, for people.
    """

    text: str
    source: str


@dataclass
class Plan:
    """What ``config init`` would write to the cluster.

    Attributes:
        namespace: Namespace of ``pdk-config``.
        values: Values of ``pdk-config``.
        secret: Values of the pipelines' secret; secret values are never printed.
    """

    namespace: str
    values: dict[str, Value]
    secret: dict[str, Value] = field(repr=False, default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings that the lab would read.

        Raises:
            SettingsError: A port or an address is invalid.
        """
        return from_maps(
            {key: value.text for key, value in self.values.items()},
            {key: value.text for key, value in self.secret.items()},
            namespace=self.namespace,
        )

    @property
    def lacks_minio_keys(self) -> bool:
        """Whether models are in MinIO and its keys are unknown."""
        known = self.settings
        return known.models_in_minio and not (known.minio_access_key and known.minio_secret_key)

    @property
    def missing(self) -> tuple[str, ...]:
        """Required keys without a value."""
        return self.settings.missing

    def objects(self) -> list[Object]:
        """All objects, secrets included; only for the API."""
        known = self.settings
        data = {key: value.text or NONE for key, value in self.values.items() if value.text or not _required(key)}
        secret = {key: value.text for key, value in self.secret.items()}
        # An unknown password stays unchanged on the cluster.
        if not secret["det_password"]:
            del secret["det_password"]
        pipelines = manifests.pipeline_secret(secret, known.mldm_pipeline_secret, known.mldm_namespace)
        if "det_password" not in secret:
            del pipelines["stringData"]["det_password"]
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": known.kserve_model_namespace}},
            manifests.config_map(data, self.namespace),
            pipelines,
            *manifests.worker_rbac(known.kserve_model_namespace, known.mldm_namespace),
            *predictor_account_for(known),
        ]

    def text(self) -> str:
        """The objects as YAML for people: each value with its source, secrets left out."""
        parts = []
        for each in self.objects():
            if each["kind"] == "ConfigMap":
                parts.append(self._config_text(each))
            elif each["kind"] == "Secret":
                parts.append(self._secret_text(each))
            else:
                parts.append(manifests.text([each]))
        return "---\n".join(parts)

    def _config_text(self, each: Object) -> str:
        lines = [manifests.text([{**each, "data": None}]).replace("data: null\n", "data:")]
        for key, value in self.values.items():
            if value.text:
                lines.append(f"  {key}: {json.dumps(without_credentials(value.text))}  # {value.source}")
            elif _required(key):
                lines.append(f"  {key}: ''  # {TO_DO}: {_used_by(key)}")
            else:
                lines.append(f"  {key}: {NONE}  # optional: {_used_by(key)}")
        return "\n".join(lines).replace("data:\n\n", "data:\n") + "\n"

    def _secret_text(self, each: Object) -> str:
        shown = {key: value for key, value in each["stringData"].items() if key not in MASKED_SECRET_KEYS | _S3_KEYS}
        hidden = [key for key in each["stringData"] if key not in shown]
        text = manifests.text([{**each, "stringData": shown}]).replace("stringData: {}\n", "stringData:\n")
        for key in hidden:
            source = self.secret[key].source if key in self.secret else "copied on the cluster"
            text += f"  # {key}: not shown ({source}); --apply writes it\n"
        if each["metadata"]["name"] == self.settings.mldm_pipeline_secret and "det_password" not in each["stringData"]:
            text += f"  # det_password: {TO_DO}: --apply --det-password-file FILE\n"
        if each["metadata"]["name"] == self.settings.mldm_pipeline_secret and self.lacks_minio_keys:
            text += f"  # minio_access_key, minio_secret_key: {TO_DO}: {MINIO_FLAGS}\n"
        return text


MINIO_FLAGS = "--minio-access-key-file FILE --minio-secret-key-file FILE"
_S3_KEYS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"})


def _key(name: str) -> Any:
    return next(key for key in KEYS if key.name == name)


def _required(name: str) -> bool:
    return bool(_key(name).required)


def _used_by(name: str) -> str:
    return str(_key(name).used_by)


def check_names(chosen: Mapping[str, str]) -> dict[str, str]:
    """Values by the lab's own key names.

    Raises:
        UsageError: ``pdk-config`` doesn't have the key.
    """
    aliases = {alias: key.name for key in KEYS for alias in (key.name, *key.aliases)}
    for name in chosen:
        if name not in aliases:
            known = ", ".join(key.name for key in KEYS)
            raise UsageError(f"pdk-config has no key '{name}'.", where=f"--set {name}=...", fix=f"Use one of: {known}")
    return {aliases[name]: value for name, value in chosen.items()}


def make_plan(
    client: Any,
    *,
    namespace: str = "default",
    models_namespace: str = "",
    chosen: Mapping[str, str] | None = None,
    overwrite: bool = False,
    det_user: str = "",
    det_password: str = "",
    pac_token: str = "",
    minio_access_key: str = "",
    minio_secret_key: str = "",
) -> Plan:
    """Collect every value: given, existing, detected on the cluster, or default.

    Args:
        client: API client of ``kubernetes``.
        namespace: Namespace of ``pdk-config``.
        models_namespace: Namespace of the InferenceServices; that of ``pdk-config``, or ``models``, when empty.
        chosen: Values that take precedence over all others.
        overwrite: Whether detected values replace those in ``pdk-config``.
        det_user: Determined user for pipelines; that of the secret, or ``admin``, when empty.
        det_password: Their password; that of the secret when empty.
        pac_token: Pachyderm token; that of the secret when empty.
        minio_access_key: Access key of the model bucket in MinIO; that of the secret when empty, or Pachyderm's.
        minio_secret_key: Its secret key, from the same sources.

    Raises:
        UsageError: A chosen key doesn't exist.
        SettingsError: A value is invalid.
        ServiceUnreachable: The cluster doesn't respond.
    """
    import kubernetes
    import urllib3

    core = kubernetes.client.CoreV1Api(client)
    wanted = check_names(chosen or {})
    if models_namespace:
        wanted.setdefault("kserve_model_namespace", models_namespace)
    try:
        existing = _config(core, namespace)
        found = discovery.discover(client)
        values = {key.name: _decide(key, wanted, existing, found, overwrite) for key in KEYS}
        _guess_bucket(values, found)
        plan = Plan(namespace, values)
        known = plan.settings
        old = _secret(core, known.mldm_namespace, known.mldm_pipeline_secret)
        given = {
            "det_user": (det_user, "--det-user"),
            "det_password": (det_password, "--det-password-file"),
            "pac_token": (pac_token, "--pac-token-file"),
        }
        plan.secret = _secret_values(known, old, given, {} if overwrite else _derived_before(existing))
        if known.models_in_minio:
            keys = (minio_access_key, minio_secret_key)
            plan.secret |= _minio_values(old, keys, _secret(core, known.mldm_namespace, discovery.STORAGE_SECRET))
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnreachable(
            f"The Kubernetes API doesn't answer: {getattr(error, 'reason', None) or error}",
            where=str(client.configuration.host),
            fix="kubectl cluster-info",
        ) from error
    return plan


def _decide(
    key: Any, wanted: Mapping[str, str], existing: Mapping[str, str], found: discovery.Found, overwrite: bool
) -> Value:
    current = next((text for name in (key.name, *key.aliases) if (text := clean(existing.get(name)))), "")
    discovered = found.values.get(key.name, "")
    if key.name in wanted:
        return Value(clean(wanted[key.name]), "--set")
    if current and not (overwrite and discovered):
        return Value(current, "as it was")
    if discovered:
        return Value(discovered, found.sources[key.name])
    return Value(key.default, "default") if key.default else Value("", found.missing.get(key.name, ""))


def _guess_bucket(values: dict[str, Value], found: discovery.Found) -> None:
    """Guess the model bucket from the other bucket's name, by the guides' naming; the source says so."""
    name = found.values.get("pdk_name", "")
    if name and not values["kserve_model_bucket_name"].text:
        values["kserve_model_bucket_name"] = Value(f"{name}-repo-models", "GUESSED from the other bucket's name")


def _derived_before(existing: Mapping[str, str]) -> dict[str, str]:
    """Values that follow from the existing ``pdk-config``; a secret with other values was edited by hand."""
    try:
        return manifests.secret_values(from_maps(existing)) if existing else {}
    except SettingsError:
        return {}


def _secret_values(
    known: Settings,
    old: Mapping[str, str],
    given: Mapping[str, tuple[str, str]],
    derived_before: Mapping[str, str],
) -> dict[str, Value]:
    derived = manifests.secret_values(known)
    values = {}
    for key in SECRET_KEYS:
        text, source = given.get(key, ("", ""))
        # Trials and pipelines may need other addresses than notebooks; addresses set by hand stay.
        by_hand = key not in derived or derived_before.get(key, old.get(key)) != old.get(key)
        if text:
            values[key] = Value(text, source)
        elif old.get(key) and by_hand:
            values[key] = Value(old[key], "as it was")
        elif derived.get(key):
            values[key] = Value(derived[key], "follows from pdk-config")
        else:
            values[key] = Value("admin" if key == "det_user" else "", "default")
    return values


def _minio_values(old: Mapping[str, str], given: tuple[str, str], storage: Mapping[str, str]) -> dict[str, Value]:
    """MinIO's keys, both from one source: keys of two sources do not match."""
    existing = (old.get("minio_access_key", ""), old.get("minio_secret_key", ""))
    pachyderms = (storage.get("MINIO_ID", ""), storage.get("MINIO_SECRET", ""))
    for keys, source in (
        (given, "--minio-access-key-file"),
        (existing, "as it was"),
        (pachyderms, f"Secret {discovery.STORAGE_SECRET}"),
    ):
        if all(keys):
            return {name: Value(key, source) for name, key in zip(MINIO_SECRET_KEYS, keys, strict=True)}
    return {name: Value("", "") for name in MINIO_SECRET_KEYS}


def _config(core: Any, namespace: str) -> dict[str, str]:
    import kubernetes

    try:
        found = core.read_namespaced_config_map(CONFIG_MAP, namespace, _request_timeout=REQUEST_TIMEOUT_S)
    except kubernetes.client.ApiException as error:
        if error.status == 404:
            return {}
        raise ServiceUnreachable(
            f"The cluster refuses to show pdk-config ({error.status} {error.reason}).",
            where=f"ConfigMap {namespace}/{CONFIG_MAP}",
            fix="Ask a cluster administrator to run this command.",
        ) from error
    return dict(found.data or {})


def _secret(core: Any, namespace: str, name: str) -> dict[str, str]:
    import kubernetes

    try:
        found = core.read_namespaced_secret(name, namespace, _request_timeout=REQUEST_TIMEOUT_S)
    except kubernetes.client.ApiException:
        return {}
    return {key: base64.b64decode(value).decode() for key, value in (found.data or {}).items()}
