"""Settings: ConfigMap ``pdk-config`` and Secret ``pipeline-secret`` as one typed, masked object.

The kubeconfig is the only switch: everything else that the lab needs to know (addresses, buckets,
namespaces, credentials) is in the cluster that it names. The keys are those of the PDK deployment guides
for AWS, Google Cloud and on-prem, with their aliases; the lab's own keys are optional on a cluster.
"""

from __future__ import annotations

from pdk_nb.settings.loading import ANNOUNCED, Choice, api_client, choose_kubeconfig, kubeconfig_path, load
from pdk_nb.settings.model import Secret, Settings, SettingsEntry
from pdk_nb.settings.reading import clean, from_maps, without_credentials
from pdk_shared.settings_keys import CONFIG_MAP, KEYS, MASKED_SECRET_KEYS, MINIO_SECRET_KEYS, SECRET_KEYS, Key

__all__ = [
    "ANNOUNCED",
    "CONFIG_MAP",
    "Choice",
    "KEYS",
    "MASKED_SECRET_KEYS",
    "MINIO_SECRET_KEYS",
    "SECRET_KEYS",
    "SettingsEntry",
    "Key",
    "Secret",
    "Settings",
    "api_client",
    "choose_kubeconfig",
    "clean",
    "from_maps",
    "kubeconfig_path",
    "load",
    "without_credentials",
]
