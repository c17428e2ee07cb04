"""The keys of ``pdk-config`` and of the pipelines' Secret, as the deployment guides name them.

The lab reads them; the embedded stack fills them in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CONFIG_MAP, PIPELINE_SECRET = "pdk-config", "pipeline-secret"
Kind = Literal["text", "port", "host", "url"]


@dataclass(frozen=True)
class Key:
    """One key of ``pdk-config``.

    Attributes:
        name: The key, and the attribute of :class:`Settings`.
        variable: The environment variable that the setup guide gives it; empty for the lab's own keys.
        used_by: Where the value is used, for people.
        required: Whether the walkthrough needs it.
        kind: How the text is read.
        aliases: Other names that the platforms' guides use for the same thing.
        default: The value of an absent key.
    """

    name: str
    variable: str
    used_by: str
    required: bool = False
    kind: Kind = "text"
    aliases: tuple[str, ...] = ()
    default: str = ""


KEYS: tuple[Key, ...] = (
    Key("region", "AZ_REGION", "registry login, buckets"),
    Key("mldm_namespace", "MLDM_NAMESPACE", "pods and secrets of Pachyderm", default="default"),
    Key("mldm_bucket_name", "MLDM_BUCKET_NAME", "where Pachyderm keeps its data"),
    Key("mldm_host", "MLDM_HOST", "repos, commits, pipelines, jobs", required=True, kind="host"),
    Key("mldm_port", "MLDM_PORT", "repos, commits, pipelines, jobs", required=True, kind="port"),
    Key("mldm_url", "MLDM_URL", "pachctl connect", kind="url"),
    Key(
        "mldm_pipeline_secret",
        "MLDM_PIPELINE_SECRET",
        "credentials of both pipelines",
        default=PIPELINE_SECRET,
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
    Key("predictor_requests", "", "what a served model asks for, e.g. cpu=2,memory=4Gi; empty: the example's"),
    Key("predictor_limits", "", "what a served model may use at most; empty: the example's"),
)

SECRET_KEYS: dict[str, str] = {
    "det_master": "address of Determined for pipelines",
    "det_user": "login to Determined",
    "det_password": "login to Determined",
    "pac_token": "Pachyderm token; empty in the community edition",
    "pachd_lb_service_host": "address of Pachyderm for trials",
    "pachd_lb_service_port": "address of Pachyderm for trials",
    "kserve_namespace": "namespace of the InferenceService for pipelines",
}
# Only where models are in a bucket of MinIO (``minio_url``): the deploy stage and the predictors log in with them.
MINIO_SECRET_KEYS: dict[str, str] = {
    "minio_access_key": "login to the model bucket, with minio_url",
    "minio_secret_key": "login to the model bucket, with minio_url",
}
MASKED_SECRET_KEYS = frozenset({"det_password", "pac_token", *MINIO_SECRET_KEYS})
