"""Chapter 00: the settings of the cluster, and whether its platforms answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pdk_nb.errors import PdkError
from pdk_nb.report import Table

if TYPE_CHECKING:
    from pdk_nb.lab import Lab

TIMEOUT_S = 5.0


def settings_table(lab: Lab) -> Table:
    """Every setting with its value (secrets masked), its source and where it is used."""
    rows = []
    for entry in lab.settings.entries:
        state = entry.source if entry.value or not entry.required else "missing"
        if not entry.value and not entry.required:
            state = "not set"
        rows.append((entry.variable or entry.key, entry.value, state, entry.used_by))
    return Table(("Variable", "Value", "From", "Used for"), rows)


def preflight(lab: Lab) -> Table:
    """Reach each platform; one row each with its version or with what to do."""
    probes: tuple[tuple[str, Callable[[Lab], tuple[str, str]]], ...] = (
        ("Kubernetes", probe_kubernetes),
        ("Pachyderm", probe_pachyderm),
        ("Determined", probe_determined),
        ("Resource pools", probe_pools),
        ("KServe", probe_kserve),
        ("Ingress", probe_ingress),
    )
    rows = []
    for name, probe in probes:
        try:
            version, address = probe(lab)
            rows.append((name, "ok", version, address))
        except PdkError as error:
            rows.append((name, "wrong", f"{error.what} {error.fix}", error.where))
    return Table(("Platform", "State", "Version or what to do", "Address"), rows)


def probe_kubernetes(lab: Lab) -> tuple[str, str]:
    """Version and address of the Kubernetes API."""
    import kubernetes

    from pdk_nb.settings import api_client

    client = api_client(lab.settings.kubeconfig)
    found = kubernetes.client.VersionApi(client).get_code(_request_timeout=TIMEOUT_S)
    return str(found.git_version), str(client.configuration.host)


def probe_pachyderm(lab: Lab) -> tuple[str, str]:
    """Version and address of Pachyderm."""
    from pdk_nb import mldm

    return mldm.version(lab.pachyderm), f"{lab.settings.mldm_host}:{lab.settings.mldm_port}"


def probe_determined(lab: Lab) -> tuple[str, str]:
    """Version and address of Determined."""
    from pdk_nb import mlde

    answer = mlde.session(lab.determined).get("/api/v1/master").json()
    return str(answer.get("version", "")), lab.settings.master_url


def probe_pools(lab: Lab) -> tuple[str, str]:
    """Determined's resource pools; training needs one."""
    from pdk_nb import mlde

    pools = mlde.pools(lab.determined)
    chosen = mlde.choose_pool(pools, lab.settings.resource_pool)
    kind = "GPU" if chosen.has_gpu else "CPU"
    return ", ".join(f"{pool.name} ({pool.slots} slots)" for pool in pools), f"training uses {chosen.name} ({kind})"


def probe_kserve(lab: Lab) -> tuple[str, str]:
    """Whether InferenceServices can be listed in the models' namespace."""
    import kubernetes

    from pdk_nb.settings import api_client

    namespace = lab.settings.kserve_model_namespace
    objects = kubernetes.client.CustomObjectsApi(api_client(lab.settings.kubeconfig))
    try:
        found = objects.list_namespaced_custom_object(
            "serving.kserve.io", "v1beta1", namespace, "inferenceservices", _request_timeout=TIMEOUT_S
        )
    except kubernetes.client.ApiException as error:
        raise PdkError(
            f"InferenceServices cannot be listed ({error.status} {error.reason}).",
            where=f"namespace {namespace}",
            fix=f"kubectl auth can-i list inferenceservices -n {namespace}",
        ) from error
    return f"serving.kserve.io/v1beta1, {len(found['items'])} service(s)", f"namespace {namespace}"


def probe_ingress(lab: Lab) -> tuple[str, str]:
    """Whether somebody listens where predictions go."""
    import socket

    lab.settings.require("kserve_ingress_host", "kserve_ingress_port")
    host, port = lab.settings.kserve_ingress_host, lab.settings.kserve_ingress_port
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_S).close()
    except OSError as error:
        raise PdkError(
            f"The ingress does not answer: {error}.",
            where=lab.settings.ingress,
            fix="kubectl -n istio-system get service istio-ingressgateway",
        ) from error
    return "answers", lab.settings.ingress
