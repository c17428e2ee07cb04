"""Settings as one typed object that masks its secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pdk_nb.counting import counted
from pdk_shared.errors import SettingsError
from pdk_shared.settings_keys import CONFIG_MAP, KEYS


class Secret:
    """A masked value: ``repr``, ``str`` and f-strings never show it.

    Args:
        value: The secret text; empty when the cluster has none.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself; only for a client."""
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
class SettingsEntry:
    """One row of the settings table.

    Attributes:
        key: Key in the ConfigMap or Secret.
        variable: The setup guide's environment variable.
        value: The value for display; secrets are masked.
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
    """Everything that the lab knows of the cluster. An absent value is an empty text, an absent port 0."""

    kubeconfig: str | None
    namespace: str
    kubeconfig_reason: str = field(default="", compare=False)
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
    predictor_requests: str = ""
    predictor_limits: str = ""
    det_master: str = ""
    det_user: str = ""
    det_password: Secret = field(default_factory=Secret)
    pac_token: Secret = field(default_factory=Secret)
    pachd_lb_service_host: str = ""
    pachd_lb_service_port: int = 0
    kserve_namespace: str = ""
    minio_access_key: Secret = field(default_factory=Secret)
    minio_secret_key: Secret = field(default_factory=Secret)
    entries: tuple[SettingsEntry, ...] = field(default=(), repr=False, compare=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """Required keys that have no value."""
        return tuple(each.key for each in self.entries if each.required and each.source == "missing")

    @property
    def models_in_minio(self) -> bool:
        """Whether models are kept in a bucket of MinIO."""
        return bool(self.minio_url and self.kserve_model_bucket_name)

    @property
    def models_host(self) -> str:
        """Whose bucket models are kept in: ``gcp`` or ``aws``; empty without a bucket.

        MinIO counts as ``aws``: it speaks the same protocol at another address.
        """
        if self.cloud_model_host or not self.kserve_model_bucket_name:
            return self.cloud_model_host
        if self.minio_url:
            return "aws"
        # Google's regions are "us-central1", Amazon's "us-east-2".
        is_google = "pkg.dev" in self.registry_uri or "gcr.io" in self.registry_uri
        return "gcp" if is_google or re.fullmatch(r"[a-z]+-[a-z]+\d", self.region) else "aws"

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
        """Check that keys have values.

        Args:
            keys: Attribute names; all required ones when none is given.

        Raises:
            SettingsError: Names every key that has no value.
        """
        wanted = keys or tuple(each.name for each in KEYS if each.required)
        lacking = [key for key in wanted if not getattr(self, key)]
        if lacking:
            raise SettingsError(
                f"{counted(len(lacking), 'value')} missing: {', '.join(lacking)}.",
                where=f"ConfigMap {self.namespace}/{CONFIG_MAP}",
                fix=f"kubectl -n {self.namespace} patch configmap {CONFIG_MAP} --type merge "
                f'-p \'{{"data":{{"{lacking[0]}":"<value>"}}}}\'',
            )

    def environment(self) -> dict[str, str]:
        """The setup guide's environment variables with their values (no secrets)."""
        return {key.variable: str(getattr(self, key.name) or "") for key in KEYS if key.variable}
