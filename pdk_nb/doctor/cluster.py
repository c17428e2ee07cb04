"""Kubernetes itself, the ConfigMap ``pdk-config`` and the pipelines' Secret."""

from __future__ import annotations

from typing import Any

from pdk_nb.configure import MINIO_FLAGS
from pdk_nb.counting import counted
from pdk_nb.doctor.context import TIMEOUT_S, Context
from pdk_nb.doctor.finding import Finding, Findings
from pdk_nb.settings import CONFIG_MAP, MINIO_SECRET_KEYS, SECRET_KEYS
from pdk_nb.specs import DEPLOY_SECRETS, TRAIN_SECRETS
from pdk_shared.errors import PdkError

SECRETS = frozenset({*SECRET_KEYS, *MINIO_SECRET_KEYS})
NEEDED_VALUES = ("det_master", "det_user", "det_password")


def examine(context: Context) -> Findings:
    """All findings of this group."""
    version = yield from _api(context)
    if version:
        yield from _config(context)


def _api(context: Context) -> Any:
    import kubernetes
    import urllib3

    why = "The lab reads everything about the cluster from the Kubernetes API."
    flag = f"--kubeconfig {context.kubeconfig} " if context.kubeconfig else ""
    where = ""
    try:
        client = context.api
        where = str(client.configuration.host)
        found = kubernetes.client.VersionApi(client).get_code(_request_timeout=TIMEOUT_S)
    except PdkError as error:
        yield Finding("cluster.api", "broken", error.what, error.where, why, error.fix)
        return ""
    except kubernetes.client.ApiException as error:
        what = f"The Kubernetes API refuses this user ({error.status} {error.reason})."
        yield Finding("cluster.api", "broken", what, where, why, f"kubectl {flag}auth whoami")
        return ""
    except (urllib3.exceptions.HTTPError, OSError) as error:
        what = f"The Kubernetes API doesn't answer: {getattr(error, 'reason', None) or error}"
        yield Finding("cluster.api", "broken", what, where, why, f"kubectl {flag}cluster-info")
        return ""
    yield Finding("cluster.api", "ok", f"Kubernetes {found.git_version} answers.", where)
    return str(found.git_version)


def _config(context: Context) -> Findings:
    place = f"ConfigMap {context.namespace}/{CONFIG_MAP}"
    why = "It holds every address, bucket, and namespace; if one is missing, a notebook fails midway."
    try:
        known = context.settings
    except PdkError as error:
        fix = "pdk-nb config init --apply" if "no ConfigMap" in error.what else error.fix
        yield Finding("cluster.config", "broken", error.what, error.where or place, why, fix)
        return
    missing = [each for each in known.missing if each not in SECRETS]
    if missing:
        what = f"{counted(len(missing), 'value')} missing: {', '.join(missing)}."
        yield Finding("cluster.config", "broken", what, place, why, context.set_values(**dict.fromkeys(missing, "...")))
    else:
        count = sum(bool(entry.value) for entry in known.entries if entry.key not in SECRETS)
        yield Finding("cluster.config", "ok", f"All required values are set ({count} in total).", place)
    yield from _secret(context)
    yield from _namespace(context)


def _secret(context: Context) -> Findings:
    import kubernetes

    known = context.settings
    place = f"Secret {known.mldm_namespace}/{known.mldm_pipeline_secret}"
    why = "Pachyderm refuses a pipeline whose secret lacks a key, and the stages log in with these values."
    try:
        found = context.core.read_namespaced_secret(
            known.mldm_pipeline_secret, known.mldm_namespace, _request_timeout=TIMEOUT_S
        )
    except kubernetes.client.ApiException as error:
        if error.status == 404:
            what, fix = "The pipelines' secret doesn't exist.", "pdk-nb config init --apply"
        else:
            what = f"Can't read the pipelines' secret ({error.status} {error.reason})."
            fix = f"kubectl -n {known.mldm_namespace} auth can-i get secret/{known.mldm_pipeline_secret}"
        yield Finding("cluster.secret", "broken", what, place, why, fix)
        return
    data = found.data or {}
    minio = tuple(MINIO_SECRET_KEYS) if known.models_in_minio else ()
    wanted = sorted({*TRAIN_SECRETS.values(), *DEPLOY_SECRETS.values(), *minio})
    absent = [key for key in wanted if key not in data]
    empty = [key for key in (*NEEDED_VALUES, *minio) if key in data and not getattr(known, key)]
    if absent or empty:
        parts = [f"no key {', '.join(absent)}"] if absent else []
        parts += [f"no value for {', '.join(empty)}"] if empty else []
        fix = context.set_secret(**dict.fromkeys((*absent, *empty), "..."))
        if {*absent, *empty} <= {*MINIO_SECRET_KEYS}:
            # The same step gives them to the predictors' account.
            fix = f"{context.set_values()}{MINIO_FLAGS}"
        yield Finding("cluster.secret", "broken", f"It has {' and '.join(parts)}.", place, why, fix)
        return
    yield Finding("cluster.secret", "ok", f"All {len(wanted)} keys that the pipelines use exist.", place)
    if known.kserve_namespace != known.kserve_model_namespace:
        what = f"Pipelines deploy to {known.kserve_namespace}, but the notebooks use {known.kserve_model_namespace}."
        why = "The notebooks don't see a service in another namespace."
        fix = context.set_secret(kserve_namespace=known.kserve_model_namespace)
        yield Finding("cluster.namespaces", "broken", what, place, why, fix)


def _namespace(context: Context) -> Findings:
    import kubernetes

    name = context.settings.kserve_model_namespace
    why = "The deploy stage creates InferenceServices there."
    try:
        context.core.read_namespace(name, _request_timeout=TIMEOUT_S)
    except kubernetes.client.ApiException as error:
        if error.status == 404:
            fix = f"kubectl create namespace {name}"
            yield Finding("cluster.namespace", "broken", f"There is no namespace {name}.", "", why, fix)
        else:
            what = f"Can't check namespace {name} ({error.status} {error.reason})."
            # Many users may use a namespace and not look at it; the rights tell whether the lab works there.
            ask, hidden = f"kubectl get namespace {name}", error.status == 403
            yield Finding("cluster.namespace", "unknown", what, "", why, ask, optional=hidden)
        return
    yield Finding("cluster.namespace", "ok", f"Namespace {name} exists.")
