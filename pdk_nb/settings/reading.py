"""Settings from the contents of the two maps: aliases, defaults, and leftovers of the guides' commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pdk_nb.settings.model import Secret, Settings, SettingsEntry
from pdk_shared.errors import SettingsError
from pdk_shared.settings_keys import CONFIG_MAP, KEYS, MASKED_SECRET_KEYS, MINIO_SECRET_KEYS, SECRET_KEYS


def without_credentials(text: str) -> str:
    """A text for display: user and password of URLs are masked."""
    return re.sub(r"://[^/@\s]+@", "://********@", text)


def clean(value: str | None) -> str:
    """Strip what the guides' commands leave around a value: spaces, JSON quotes, ``N/A`` and the like."""
    text = (value or "").strip()
    while len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return "" if text.lower() in {"n/a", "na", "none", "null", "<none>"} else text


def _host_and_port(text: str) -> tuple[str, int]:
    """Split ``host``, ``host:port`` or a URL; the port is 0 when none is given."""
    parts = urlsplit(text if "//" in text else f"//{text}")
    try:
        return parts.hostname or "", parts.port or 0
    except ValueError as error:
        raise SettingsError(f"'{text}' isn't a host or host:port.", where=f"ConfigMap {CONFIG_MAP}") from error


def _port(key: str, text: str) -> int:
    if not text:
        return 0
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise SettingsError(
            f"{key} is '{text}', which isn't a TCP port.",
            where=f"ConfigMap {CONFIG_MAP}",
            fix=f"kubectl edit configmap {CONFIG_MAP} and give {key} a number from 1 to 65535.",
        )
    return int(text)


def from_maps(
    config: Mapping[str, str | None],
    secret: Mapping[str, str] | None = None,
    *,
    kubeconfig: str | None = None,
    namespace: str = "default",
    kubeconfig_reason: str = "",
) -> Settings:
    """Build settings from the two maps' contents.

    Args:
        config: ``data`` of the ConfigMap.
        secret: Decoded ``data`` of the pipeline secret; None when it cannot be read.
        kubeconfig: The kubeconfig that they came from.
        namespace: Namespace of the ConfigMap.
        kubeconfig_reason: Why this kubeconfig was chosen, for people.

    Raises:
        SettingsError: A host, port or URL cannot be read.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key in KEYS:
        found, source = "", "missing"
        for name in (key.name, *key.aliases):
            if text := clean(config.get(name)):
                found, source = text, CONFIG_MAP if name == key.name else f"{CONFIG_MAP} ({name})"
                break
        if not found and key.default:
            found, source = key.default, "default"
        values[key.name], sources[key.name] = found, source
    for system in ("mldm", "mlde", "kserve_ingress"):
        _settle_address(system, values, sources)
    for key in KEYS:
        if key.kind == "port":
            values[key.name] = _port(key.name, str(values[key.name] or ""))
    if not values["mldm_s3_endpoint"]:
        # The service name and port of Pachyderm's own S3 gateway, as its Helm chart sets them.
        values["mldm_s3_endpoint"] = f"pachd.{values['mldm_namespace']}:30600"
        sources["mldm_s3_endpoint"] = "derived"

    secret_name = str(values["mldm_pipeline_secret"])
    in_minio = values["minio_url"] and values["kserve_model_bucket_name"]
    asked = {**SECRET_KEYS, **(MINIO_SECRET_KEYS if in_minio else {})}
    decoded = {name: clean((secret or {}).get(name)) for name in asked}
    entries = [
        SettingsEntry(
            each.name,
            each.variable,
            without_credentials(str(values[each.name] or "")),
            sources[each.name],
            each.used_by,
            each.required,
        )
        for each in KEYS
    ]
    for name, used_by in asked.items():
        shown = str(Secret(decoded[name])) if name in MASKED_SECRET_KEYS else decoded[name]
        # An empty token is the community edition's normal state.
        required = name not in {
            "pac_token",
            "pachd_lb_service_host",
            "pachd_lb_service_port",
            "kserve_namespace",
            # Only the pipelines need them; the doctor asks for them.
            *MINIO_SECRET_KEYS,
        }
        entries.append(
            SettingsEntry(name, "", shown, secret_name if decoded[name] else "missing", used_by, required=required)
        )
    return Settings(
        kubeconfig=kubeconfig,
        namespace=namespace,
        kubeconfig_reason=kubeconfig_reason,
        **values,
        det_master=decoded["det_master"],
        det_user=decoded["det_user"],
        det_password=Secret(decoded["det_password"]),
        pac_token=Secret(decoded["pac_token"]),
        pachd_lb_service_host=decoded["pachd_lb_service_host"],
        pachd_lb_service_port=_port("pachd_lb_service_port", decoded["pachd_lb_service_port"]),
        kserve_namespace=decoded["kserve_namespace"] or str(values["kserve_model_namespace"]),
        minio_access_key=Secret(decoded.get("minio_access_key", "")),
        minio_secret_key=Secret(decoded.get("minio_secret_key", "")),
        entries=tuple(entries),
    )


def _settle_address(system: str, values: dict[str, Any], sources: dict[str, str]) -> None:
    """Make host, port and URL of one system agree, deriving what is absent from what is there."""
    host_key, port_key, url_key = f"{system}_host", f"{system}_port", f"{system}_url"
    url = str(values.get(url_key, "") or "")
    if values[host_key]:
        host, port = _host_and_port(values[host_key])
        values[host_key] = host
        if port and not values[port_key]:
            values[port_key], sources[port_key] = str(port), "derived"
    elif url:
        values[host_key], port = _host_and_port(url)
        sources[host_key] = "derived"
        if not values[port_key]:
            values[port_key] = str(port or (443 if url.startswith("https") else 80))
            sources[port_key] = "derived"
    if url_key in values and not url and values[host_key] and values[port_key]:
        values[url_key], sources[url_key] = f"http://{values[host_key]}:{values[port_key]}", "derived"
