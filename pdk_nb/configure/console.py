"""The console as a Deployment: what ``docs/cluster/console.yaml`` contains."""

from __future__ import annotations

from typing import Any

from pdk_nb.platforms.cluster import Object

__all__ = ["CONFIG_RULES", "MODELS_RULES", "NAME", "console"]

NAME = "pdk-console"
RBAC_GROUP = "rbac.authorization.k8s.io"
PORT = 8080
IMAGE = "registry.example.com/pdk/pdk-lab-console:TAG"
MOUNTED = "/var/run/pdk-console"
# Only what the console reads. None of these rights changes anything; pods/proxy reaches all ports of the pods of
# services with GET, which is more than their metrics, and is why it is a rule of its own.
CONFIG_RULES: tuple[dict[str, list[str]], ...] = (
    {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["pdk-config"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["pipeline-secret"], "verbs": ["get"]},
)
MODELS_RULES: tuple[dict[str, list[str]], ...] = (
    {"apiGroups": ["serving.kserve.io"], "resources": ["inferenceservices"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]},
)


def console(
    image: str = IMAGE, namespace: str = NAME, config_namespace: str = "default", models_namespace: str = "models"
) -> list[Object]:
    """All objects of the console, in a namespace of its own.

    Args:
        image: Its image.
        namespace: Its namespace.
        config_namespace: Namespace of ``pdk-config`` and of the pipelines' secret.
        models_namespace: Namespace of the InferenceServices.
    """
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    objects: list[Object] = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": namespace}},
    ]
    for place, rules in ((config_namespace, CONFIG_RULES), (models_namespace, MODELS_RULES)):
        meta: Object = {"name": NAME, "namespace": place}
        version = f"{RBAC_GROUP}/v1"
        objects.append({"apiVersion": version, "kind": "Role", "metadata": meta, "rules": [dict(r) for r in rules]})
        role = {"apiGroup": RBAC_GROUP, "kind": "Role", "name": NAME}
        binding = {"apiVersion": version, "kind": "RoleBinding", "metadata": dict(meta)}
        objects.append({**binding, "roleRef": role, "subjects": [dict(account)]})
    labels = {"app.kubernetes.io/name": NAME}
    service = {"selector": dict(labels), "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]}
    meta = {"name": NAME, "namespace": namespace, "labels": dict(labels)}
    return [
        *objects,
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": dict(meta),
            # One pod: its pages count what the pods of services do from one reading to the next.
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": dict(labels)},
                "template": {"metadata": {"labels": dict(labels)}, "spec": _pod(image, config_namespace)},
            },
        },
    ]


def _pod(image: str, config_namespace: str) -> dict[str, Any]:
    # The page answers only to the host names of a person's own machine, to which `kubectl port-forward` leads.
    alive = {"path": "/alive", "port": "http", "httpHeaders": [{"name": "Host", "value": "localhost"}]}
    listen = ["--listen", "0.0.0.0", "--port", str(PORT)]  # noqa: S104  all addresses of the pod
    return {
        "serviceAccountName": NAME,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "console",
                "image": image,
                "args": ["ui", *listen, "--token-file", f"{MOUNTED}/token", "--namespace", config_namespace],
                # Determined's client keeps a file in the home folder.
                "env": [{"name": "HOME", "value": "/tmp"}],
                "ports": [{"name": "http", "containerPort": PORT}],
                "startupProbe": {"httpGet": dict(alive), "periodSeconds": 2, "failureThreshold": 60},
                "readinessProbe": {"httpGet": dict(alive), "periodSeconds": 10, "timeoutSeconds": 5},
                "livenessProbe": {"httpGet": dict(alive), "periodSeconds": 30, "timeoutSeconds": 10},
                "resources": {
                    "requests": {"cpu": "50m", "memory": "256Mi"},
                    "limits": {"memory": "1Gi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},
                    {"name": "token", "mountPath": MOUNTED, "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}},
            {"name": "token", "secret": {"secretName": NAME}},
        ],
    }
