"""Settings: ConfigMap ``pdk-config`` and Secret ``pipeline-secret`` as one typed, masked object.

The kubeconfig is the only switch: everything else that the lab needs to know (addresses, buckets,
namespaces, credentials) stands in the cluster that it names. The keys are those of the PDK deployment guides
for AWS, Google Cloud and on-prem, with their aliases; the lab's own keys are optional on a cluster.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pdk_nb.errors import ServiceUnreachable, SettingsError

__all__ = ["CONFIG_MAP", "KEYS", "Entry", "Key", "Secret", "Settings", "from_maps", "load"]

CONFIG_MAP = "pdk-config"
REQUEST_TIMEOUT_S = 10.0

Kind = Literal["text", "port", "host", "url"]


class Secret:
    """A value that never shows itself: ``repr``, ``str`` and f-strings give a mask.

    Args:
        value: The secret text; empty when the cluster has none.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself; hand it to a client and to nothing else."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret('********')" if self._value else "Secret('')"

    def __str__(self) -> str:
        return "********" if self._value else ""

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


@dataclass(frozen=True)
class Key:
    """One key of ``pdk-config``.

    Attributes:
        name: The key, and the attribute of :class:`Settings`.
        variable: The environment variable that the setup guide gives it; empty for the lab's own keys.
        used_by: Where the value is used, for people.
        required: Whether the walkthrough cannot go on without it.
        kind: How the text is read.
        aliases: Other names that the platforms' guides use for the same thing.
        default: What stands for an absent value.
    """

    name: str
    variable: str
    used_by: str
    required: bool = False
    kind: Kind = "text"
    aliases: tuple[str, ...] = ()
    default: str = ""


KEYS: tuple[Key, ...] = (
    Key("region", "AZ_REGION", "registry log-in, buckets"),
    Key("mldm_namespace", "MLDM_NAMESPACE", "pods and secrets of Pachyderm", default="default"),
    Key("mldm_bucket_name", "MLDM_BUCKET_NAME", "where Pachyderm keeps its data"),
    Key("mldm_host", "MLDM_HOST", "repos, commits, pipelines, jobs", required=True, kind="host"),
    Key("mldm_port", "MLDM_PORT", "repos, commits, pipelines, jobs", required=True, kind="port"),
    Key("mldm_url", "MLDM_URL", "pachctl connect", kind="url"),
    Key(
        "mldm_pipeline_secret",
        "MLDM_PIPELINE_SECRET",
        "credentials of both pipelines",
        default="pipeline-secret",
    ),
    Key("mlde_bucket_name", "MLDE_BUCKET_NAME", "where Determined keeps checkpoints"),
    Key("mlde_host", "MLDE_HOST", "experiments, metrics, model registry", required=True, kind="host"),
    Key("mlde_port", "MLDE_PORT", "experiments, metrics, model registry", required=True, kind="port"),
    Key("mlde_url", "MLDE_URL", "the Determined UI, det -m", kind="url"),
    Key(
        "kserve_model_bucket_name",
        "MODEL_ASSETS_BUCKET_NAME",
        "where the deploy stage puts models; empty: its own output repo",
        aliases=("model_assets_bucket_name",),
    ),
    Key(
        "kserve_model_namespace",
        "KSERVE_MODELS_NAMESPACE",
        "namespace of the InferenceService",
        default="models",
    ),
    Key("kserve_ingress_host", "INGRESS_HOST", "predictions", required=True, kind="host"),
    Key("kserve_ingress_port", "INGRESS_PORT", "predictions", required=True, kind="port"),
    Key("db_connection_string", "DB_CONNECTION_URL", "the platforms' own database"),
    Key("registry_uri", "REGISTRY_URI", "images of both pipelines"),
    Key("pdk_name", "NAME", "prefix of buckets and registry folders"),
    Key("kserve_ui_url", "KSERVE_UI_URL", "the KServe models UI", kind="url"),
    Key("minio_url", "MINIO_URL", "on-prem object store", kind="url"),
    Key("mldm_s3_endpoint", "", "Pachyderm's S3 gateway, as KServe sees it"),
    Key("cloud_model_host", "", "aws or gcp: kind of the model bucket"),
    Key("git_url", "", "where pipelines fetch the experiment's code"),
    Key("git_ref", "", "branch, tag or commit of that code"),
    Key("resource_pool", "", "resource pool of the experiments"),
)

SECRET_KEYS: dict[str, str] = {
    "det_master": "address of Determined for pipelines",
    "det_user": "log-in to Determined",
    "det_password": "log-in to Determined",
    "pac_token": "Pachyderm token; empty in the community edition",
    "pachd_lb_service_host": "address of Pachyderm for trials",
    "pachd_lb_service_port": "address of Pachyderm for trials",
    "kserve_namespace": "namespace of the InferenceService for pipelines",
}
MASKED_SECRET_KEYS = frozenset({"det_password", "pac_token"})


@dataclass(frozen=True)
class Entry:
    """One row of the settings table.

    Attributes:
        key: Key in the ConfigMap or Secret.
        variable: The setup guide's environment variable.
        value: The value as people may see it; secrets are masked.
        source: ``pdk-config``, ``pipeline-secret``, an alias, ``default``, ``derived`` or ``missing``.
        used_by: Where the value is used.
        required: Whether the walkthrough needs it.
    """

    key: str
    variable: str
    value: str
    source: str
    used_by: str
    required: bool


@dataclass(frozen=True)
class Settings:
    """Everything that the lab knows of the cluster. Empty text stands for an absent value; ports are 0."""

    kubeconfig: str | None
    namespace: str
    region: str = ""
    mldm_namespace: str = "default"
    mldm_bucket_name: str = ""
    mldm_host: str = ""
    mldm_port: int = 0
    mldm_url: str = ""
    mldm_pipeline_secret: str = "pipeline-secret"  # noqa: S105  a name, not a secret
    mlde_bucket_name: str = ""
    mlde_host: str = ""
    mlde_port: int = 0
    mlde_url: str = ""
    kserve_model_bucket_name: str = ""
    kserve_model_namespace: str = "models"
    kserve_ingress_host: str = ""
    kserve_ingress_port: int = 0
    db_connection_string: str = ""
    registry_uri: str = ""
    pdk_name: str = ""
    kserve_ui_url: str = ""
    minio_url: str = ""
    mldm_s3_endpoint: str = ""
    cloud_model_host: str = ""
    git_url: str = ""
    git_ref: str = ""
    resource_pool: str = ""
    det_master: str = ""
    det_user: str = ""
    det_password: Secret = field(default_factory=Secret)
    pac_token: Secret = field(default_factory=Secret)
    pachd_lb_service_host: str = ""
    pachd_lb_service_port: int = 0
    kserve_namespace: str = ""
    entries: tuple[Entry, ...] = field(default=(), repr=False, compare=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """Required keys that have no value."""
        return tuple(each.key for each in self.entries if each.required and each.source == "missing")

    @property
    def master_url(self) -> str:
        """The Determined master's address, as this machine reaches it."""
        if self.mlde_url:
            return self.mlde_url
        return f"http://{self.mlde_host}:{self.mlde_port}"

    @property
    def ingress(self) -> str:
        """``host:port`` of the KServe ingress."""
        return f"{self.kserve_ingress_host}:{self.kserve_ingress_port}"

    def require(self, *keys: str) -> None:
        """Refuse to go on while keys are missing.

        Args:
            keys: Attribute names; all required ones when none is given.

        Raises:
            SettingsError: Names every key that has no value.
        """
        wanted = keys or tuple(each.name for each in KEYS if each.required)
        lacking = [key for key in wanted if not getattr(self, key)]
        if lacking:
            raise SettingsError(
                f"{len(lacking)} value(s) are missing: {', '.join(lacking)}.",
                where=f"ConfigMap {self.namespace}/{CONFIG_MAP}",
                fix=f"kubectl -n {self.namespace} patch configmap {CONFIG_MAP} --type merge "
                f'-p \'{{"data":{{"{lacking[0]}":"<value>"}}}}\'',
            )

    def environment(self) -> dict[str, str]:
        """The setup guide's environment variables with their values (no secrets)."""
        return {key.variable: str(getattr(self, key.name) or "") for key in KEYS if key.variable}


def without_credentials(text: str) -> str:
    """A text as people may see it: user and password of URLs are masked."""
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
        raise SettingsError(f"'{text}' is not a host or host:port.", where=f"ConfigMap {CONFIG_MAP}") from error


def _port(key: str, text: str) -> int:
    if not text:
        return 0
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise SettingsError(
            f"{key} is '{text}', which is not a TCP port.",
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
) -> Settings:
    """Build settings from the two maps' contents.

    Args:
        config: ``data`` of the ConfigMap.
        secret: Decoded ``data`` of the pipeline secret; None when it cannot be read.
        kubeconfig: The kubeconfig that they came from.
        namespace: Namespace of the ConfigMap.

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
    decoded = {name: clean((secret or {}).get(name)) for name in SECRET_KEYS}
    entries = [
        Entry(
            each.name,
            each.variable,
            without_credentials(str(values[each.name] or "")),
            sources[each.name],
            each.used_by,
            each.required,
        )
        for each in KEYS
    ]
    for name, used_by in SECRET_KEYS.items():
        shown = str(Secret(decoded[name])) if name in MASKED_SECRET_KEYS else decoded[name]
        # An empty token is the community edition's normal state.
        required = name not in {
            "pac_token",
            "pachd_lb_service_host",
            "pachd_lb_service_port",
            "kserve_namespace",
        }
        entries.append(Entry(name, "", shown, secret_name if decoded[name] else "missing", used_by, required=required))
    return Settings(
        kubeconfig=kubeconfig,
        namespace=namespace,
        **values,
        det_master=decoded["det_master"],
        det_user=decoded["det_user"],
        det_password=Secret(decoded["det_password"]),
        pac_token=Secret(decoded["pac_token"]),
        pachd_lb_service_host=decoded["pachd_lb_service_host"],
        pachd_lb_service_port=_port("pachd_lb_service_port", decoded["pachd_lb_service_port"]),
        kserve_namespace=decoded["kserve_namespace"] or str(values["kserve_model_namespace"]),
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


def kubeconfig_path(kubeconfig: str | Path | None = None) -> str | None:
    """The kubeconfig in force: the argument, ``KUBECONFIG``, ``~/.kube/config``, or None inside a pod.

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
    """A ``kubernetes`` API client for the kubeconfig in force.

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
        # Without retries: a wrong address should be said at once.
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
            raise
    return from_maps(data, secret, kubeconfig=path, namespace=namespace)


def _config_map_error(error: Any, server: str, namespace: str) -> Exception:
    where = f"ConfigMap {namespace}/{CONFIG_MAP} at {server}"
    if error.status == 404:
        return SettingsError(
            "The cluster has no ConfigMap pdk-config.",
            where=where,
            fix="Create it as the deployment guide says, or name the namespace that holds it.",
        )
    if error.status in (401, 403):
        return SettingsError(
            f"The cluster refuses to show pdk-config ({error.status} {error.reason}).",
            where=where,
            fix=f"kubectl auth can-i get configmap/{CONFIG_MAP} -n {namespace}  shows what this user may do.",
        )
    return ServiceUnreachable(f"The Kubernetes API failed: {error.status} {error.reason}", where=where)
