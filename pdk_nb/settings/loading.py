"""Settings from the cluster that the kubeconfig names."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pdk_nb.settings.model import Settings
from pdk_nb.settings.reading import clean, from_maps
from pdk_shared.errors import ServiceUnreachable, SettingsError
from pdk_shared.settings_keys import CONFIG_MAP

REQUEST_TIMEOUT_S = 10.0


def kubeconfig_path(kubeconfig: str | Path | None = None) -> str | None:
    """The kubeconfig to use: the argument, ``KUBECONFIG``, ``~/.kube/config``, or None inside a pod.

    Raises:
        SettingsError: The named file does not exist, or none is named and none is found.
    """
    chosen = str(kubeconfig or "") or os.environ.get("KUBECONFIG", "")
    if chosen:
        candidates: Sequence[str] = [each for each in chosen.split(os.pathsep) if each]
        existing = [each for each in candidates if Path(each).expanduser().is_file()]
        if not existing:
            raise SettingsError(
                "The kubeconfig does not exist.",
                where=chosen,
                fix='Name an existing file, or start the embedded stack: pdk-nb up; eval "$(pdk-nb env)"',
            )
        return str(Path(existing[0]).expanduser().resolve())
    usual = Path("~/.kube/config").expanduser()
    if usual.is_file():
        return str(usual)
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return None
    raise SettingsError(
        "No kubeconfig is set, so the lab does not know which cluster to use.",
        where="KUBECONFIG and ~/.kube/config",
        fix='export KUBECONFIG=<file>, or start the embedded stack: pdk-nb up, then eval "$(pdk-nb env)"',
    )


def api_client(kubeconfig: str | Path | None = None) -> Any:
    """A ``kubernetes`` API client for the kubeconfig to use.

    Raises:
        SettingsError: There is no kubeconfig, or it cannot be read.
    """
    import kubernetes

    path = kubeconfig_path(kubeconfig)
    try:
        if path is None:
            kubernetes.config.load_incluster_config()
            return kubernetes.client.ApiClient()
        return kubernetes.config.new_client_from_config(config_file=path)
    except (kubernetes.config.ConfigException, ValueError, OSError, TypeError) as error:
        raise SettingsError(
            f"The kubeconfig cannot be used: {error}",
            where=path or "the pod's service account",
            fix="kubectl config view  shows what kubectl makes of it.",
        ) from error


def load(kubeconfig: str | Path | None = None, namespace: str = "default") -> Settings:
    """Read ``pdk-config`` and the pipeline secret from the cluster.

    Missing keys do not raise here, so that they can be shown together; :meth:`Settings.require` does.

    Args:
        kubeconfig: Path of a kubeconfig; ``KUBECONFIG`` or ``~/.kube/config`` when empty.
        namespace: Namespace of the ConfigMap.

    Raises:
        SettingsError: No kubeconfig, no ConfigMap, no permission to read it, or a value that cannot be read.
        ServiceUnreachable: The Kubernetes API does not answer.
    """
    import kubernetes
    import urllib3

    path = kubeconfig_path(kubeconfig)
    core = kubernetes.client.CoreV1Api(api_client(kubeconfig))
    server = core.api_client.configuration.host
    try:
        # Without retries, a wrong address shows at once.
        core.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(0)
        config = core.read_namespaced_config_map(CONFIG_MAP, namespace, _request_timeout=REQUEST_TIMEOUT_S)
    except kubernetes.client.ApiException as error:
        raise _config_map_error(error, server, namespace) from error
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnreachable(
            f"The Kubernetes API does not answer: {getattr(error, 'reason', None) or error}",
            where=f"{server} (from {path or 'the pod'})",
            fix="kubectl cluster-info  shows whether it is up; for the embedded stack: pdk-nb status",
        ) from error
    data = dict(config.data or {})
    secret_name = clean(data.get("mldm_pipeline_secret")) or "pipeline-secret"
    secret_namespace = clean(data.get("mldm_namespace")) or "default"
    secret: dict[str, str] | None = None
    try:
        found = core.read_namespaced_secret(secret_name, secret_namespace, _request_timeout=REQUEST_TIMEOUT_S)
        secret = {name: base64.b64decode(text).decode() for name, text in (found.data or {}).items()}
    except kubernetes.client.ApiException as error:
        if error.status not in (403, 404):
            raise ServiceUnreachable(
                f"The Kubernetes API failed: {error.status} {error.reason}",
                where=f"Secret {secret_namespace}/{secret_name} at {server}",
            ) from error
    return from_maps(data, secret, kubeconfig=path, namespace=namespace)


def _config_map_error(error: Any, server: str, namespace: str) -> Exception:
    where = f"ConfigMap {namespace}/{CONFIG_MAP} at {server}"
    if error.status == 404:
        return SettingsError(
            "The cluster has no ConfigMap pdk-config.",
            where=where,
            fix="pdk-nb config init  fills it from the cluster (docs/cluster); or name its namespace with --namespace.",
        )
    if error.status in (401, 403):
        return SettingsError(
            f"The cluster refuses to show pdk-config ({error.status} {error.reason}).",
            where=where,
            fix=f"kubectl auth can-i get configmap/{CONFIG_MAP} -n {namespace}  shows what this user may do.",
        )
    return ServiceUnreachable(f"The Kubernetes API failed: {error.status} {error.reason}", where=where)
