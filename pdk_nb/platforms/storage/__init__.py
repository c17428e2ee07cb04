"""The model store for KServe: one API for ``gs://``, ``s3://``, and a pipeline's output folder.

Each model version has its own prefix, ``<model>/<version>/``, and the URI for KServe ends with ``/``. Otherwise, KServe
0.12 to 0.14 puts archives in the wrong folder, and ``dogs-and-cats`` would also match ``dogs-and-cats-2``. Old versions
stay, so a rollback changes only one address.
"""

from pdk_nb.platforms.storage.models import delete_version, make_folders, probe, upload_model, versions
from pdk_nb.platforms.storage.places import models_of
from pdk_nb.platforms.storage.stores import FolderStore, GcsStore, ModelStore, S3Store, gateway_bucket, open_store

__all__ = [
    "FolderStore",
    "GcsStore",
    "ModelStore",
    "S3Store",
    "delete_version",
    "gateway_bucket",
    "make_folders",
    "models_of",
    "open_store",
    "probe",
    "upload_model",
    "versions",
]
