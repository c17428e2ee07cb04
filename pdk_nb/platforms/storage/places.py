"""The model store that a cluster's settings name, as this machine reaches it."""

from __future__ import annotations

from pdk_nb.platforms.storage.stores import ModelStore, open_store
from pdk_nb.settings import Settings


def models_of(settings: Settings, bucket: str = "", *, endpoint: str = "") -> ModelStore:
    """The bucket of models of a cluster.

    A cloud's bucket is opened with this machine's own credentials; MinIO's with the keys that the pipelines use, where
    they are known.

    Args:
        settings: The lab's settings.
        bucket: ``gs://NAME`` or ``s3://NAME`` instead of the cluster's own.
        endpoint: URL of another S3 than the cluster's own.

    Raises:
        UsageError: The bucket's name is invalid.
        DeploymentError: There are no credentials.
    """
    if bucket:
        host = "gcp" if bucket.startswith("gs://") else "aws"
    else:
        host, bucket = settings.models_host, settings.kserve_model_bucket_name
    keys = ("", "")
    if settings.models_in_minio and endpoint in ("", settings.minio_url):
        keys = (settings.minio_access_key.reveal(), settings.minio_secret_key.reveal())
    return open_store(host, bucket, endpoint=endpoint or settings.minio_url, keys=keys)
