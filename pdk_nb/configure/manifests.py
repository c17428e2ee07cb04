"""Objects that an administrator puts on a cluster for the lab; ``docs/cluster`` has them as files."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from pdk_nb.configure.console import console
from pdk_nb.platforms.cluster import Object
from pdk_nb.platforms.serving.account import predictor_account
from pdk_nb.settings import KEYS, MINIO_SECRET_KEYS, SECRET_KEYS, Settings

WORKER_ACCOUNT = "pachyderm-worker"
RBAC_GROUP = "rbac.authorization.k8s.io"
# Only what the deploy stage does: apply a service, wait for it, and explain why it doesn't become ready.
WORKER_RULES: tuple[dict[str, list[str]], ...] = (
    {
        "apiGroups": ["serving.kserve.io"],
        "resources": ["inferenceservices"],
        "verbs": ["get", "list", "watch", "create", "update", "patch"],
    },
    {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
)


def worker_rbac(models_namespace: str = "models", mldm_namespace: str = "default") -> list[Object]:
    """A Role and its RoleBinding: pipelines may deploy into one namespace, and nowhere else.

    Args:
        models_namespace: Namespace of the InferenceServices.
        mldm_namespace: Namespace that Pachyderm's workers run in.
    """
    name = "pdk-lab-deploy"
    role = {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": models_namespace},
        "rules": [dict(rule) for rule in WORKER_RULES],
    }
    binding = {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": models_namespace},
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": WORKER_ACCOUNT, "namespace": mldm_namespace}],
    }
    return [role, binding]


def config_map(values: dict[str, str], namespace: str = "default") -> Object:
    """The ConfigMap ``pdk-config``."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "pdk-config", "namespace": namespace},
        "data": dict(values),
    }


def pipeline_secret(values: dict[str, str], name: str = "pipeline-secret", namespace: str = "default") -> Object:
    """The Secret that both pipelines map to variables; every key must exist, even when it is empty.

    MinIO's keys are in it only if they're known: without MinIO, nothing maps them.
    """
    names = [*SECRET_KEYS, *(key for key in MINIO_SECRET_KEYS if values.get(key))]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": {key: values.get(key, "") for key in names},
    }


def secret_values(settings: Settings) -> dict[str, str]:
    """Values of the pipelines' secret that follow from the settings; credentials don't."""
    return {
        "det_master": f"{settings.mlde_host}:{settings.mlde_port}" if settings.mlde_host else "",
        "pachd_lb_service_host": settings.mldm_host,
        "pachd_lb_service_port": str(settings.mldm_port or ""),
        "kserve_namespace": settings.kserve_model_namespace,
    }


def text(objects: list[Object]) -> str:
    """Objects as one YAML stream."""
    return "---\n".join(yaml.safe_dump(each, sort_keys=False, width=110) for each in objects)


def templates() -> dict[str, str]:
    """The files of ``docs/cluster``, for filling in by hand: text by file name."""
    config = [text([{**config_map({}), "data": None}]).replace("data: null\n", "data:\n")]
    for key in KEYS:
        need = "required" if key.required else "optional"
        config.append(
            f"  {key.name}: {key.default or 'N/A' if not key.required else repr('')}  # {need}: {key.used_by}\n"
        )
    secret = [text([{**pipeline_secret({}), "stringData": None}]).replace("stringData: null\n", "stringData:\n")]
    secret += [f"  {key}: ''  # {used_by}\n" for key, used_by in SECRET_KEYS.items()]
    secret += [f"  # {key}: ''  # {used_by}\n" for key, used_by in MINIO_SECRET_KEYS.items()]
    return {
        "worker-rbac.yaml": HEADS["worker-rbac.yaml"] + text(worker_rbac()),
        "s3-gateway.yaml": HEADS["s3-gateway.yaml"] + text(predictor_account("pachd.default:30600")),
        "pdk-config.yaml": HEADS["pdk-config.yaml"] + "".join(config),
        "pipeline-secret.yaml": HEADS["pipeline-secret.yaml"] + "".join(secret),
        "console.yaml": HEADS["console.yaml"] + text(console()),
    }


HEADS = {
    "worker-rbac.yaml": "# Lets the deploy pipeline create InferenceServices in namespace models, and nothing else.\n",
    "s3-gateway.yaml": (
        "# Lets KServe read models through Pachyderm's S3 gateway; not needed with a cloud bucket.\n"
        "# With authentication in Pachyderm, both keys are a Pachyderm token. With models in MinIO, the annotation\n"
        "# has MinIO's address (s3-usehttps: '1' for https) and the keys are MinIO's.\n"
    ),
    "pdk-config.yaml": (
        "# Every address, bucket, and namespace that the lab needs.\n"
        "# `pdk-nb config init` prints it with the cluster's values.\n"
    ),
    "pipeline-secret.yaml": (
        "# Credentials of both pipelines. Every key must exist, even if it's empty. Keep the filled-in file out\n"
        "# of git; `pdk-nb config init --apply --det-password-file FILE` doesn't need this file.\n"
    ),
    "console.yaml": (
        "# The console in a pod, with rights to read and no others, and without an ingress (docs/console.md).\n"
        "# It needs its image (`pdk-nb images build console`, `pdk-nb images push console`) and a token:\n"
        "#   kubectl -n pdk-console create secret generic pdk-console --from-literal=token=$(openssl rand -hex 32)\n"
    ),
}


def write_templates(folder: Path) -> None:
    """Write the files of ``docs/cluster``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in templates().items():
        (folder / name).write_text(content)


if __name__ == "__main__":
    write_templates(Path(sys.argv[1]))
