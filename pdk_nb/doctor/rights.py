"""Permissions of this user and the pipelines' service account, from Kubernetes (``kubectl auth can-i``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pdk_nb.configure.manifests import WORKER_ACCOUNT, WORKER_RULES
from pdk_nb.doctor.context import TIMEOUT_S, Context
from pdk_nb.doctor.finding import Finding, Findings


@dataclass(frozen=True)
class Right:
    """One permission: verb, resource (``secrets``, ``pods/log``), its API group, and namespace."""

    verb: str
    resource: str
    group: str
    namespace: str

    @property
    def text(self) -> str:
        """Arguments for ``kubectl auth can-i``."""
        name, _, part = self.resource.partition("/")
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {name}{group}" + (f" --subresource={part}" if part else "") + f" -n {self.namespace}"


def persons_rights(context: Context) -> list[Right]:
    """Permissions that the notebooks need, as the user who runs them."""
    known = context.settings
    models, core = known.kserve_model_namespace, ""
    rights = [
        Right("get", "configmaps", core, context.namespace),
        Right("get", "secrets", core, known.mldm_namespace),
        Right("list", "pods", core, models),
        Right("list", "events", core, models),
    ]
    for resource in ("serviceaccounts", "secrets"):
        rights += [Right(verb, resource, core, models) for verb in ("get", "create", "patch")]
    verbs = ("get", "list", "create", "patch", "delete")
    return rights + [Right(verb, "inferenceservices", "serving.kserve.io", models) for verb in verbs]


def workers_rights(context: Context) -> list[Right]:
    """Permissions that the deploy stage needs, as its pod's service account (``docs/cluster/worker-rbac.yaml``)."""
    namespace = context.settings.kserve_model_namespace
    return [
        Right(verb, resource, group, namespace)
        for rule in WORKER_RULES
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def examine(context: Context) -> Findings:
    """All findings of this group."""
    known = context.settings
    yield from _judge(
        context,
        "rights.person",
        persons_rights(context),
        "",
        "This user",
        "The notebooks read settings, create a service account, and update services.",
        "An administrator binds a role: kubectl create rolebinding pdk-lab --clusterrole=edit --user=... "
        f"-n {known.kserve_model_namespace}",
    )
    account = f"system:serviceaccount:{known.mldm_namespace}:{WORKER_ACCOUNT}"
    yield from _judge(
        context,
        "rights.worker",
        workers_rights(context),
        account,
        f"Service account {known.mldm_namespace}/{WORKER_ACCOUNT}",
        "Pipelines run as this account; the deploy stage creates the InferenceService with it.",
        "pdk-nb config init --apply  (or: kubectl apply -f docs/cluster/worker-rbac.yaml)",
    )


def _judge(context: Context, id: str, rights: Iterable[Right], user: str, who: str, why: str, fix: str) -> Findings:
    import kubernetes

    wanted = list(rights)
    try:
        lacking = [right for right in wanted if not _allowed(context, right, user)]
    except kubernetes.client.ApiException as error:
        ask = f"kubectl auth can-i {wanted[0].text}" + (f" --as={user}" if user else "")
        what = f"Can't ask what {who[:1].lower()}{who[1:]} may do ({error.status} {error.reason})."
        # Many users may ask only about themselves.
        yield Finding(id, "unknown", what, "", why, ask, optional=bool(user) and error.status == 403)
        return
    if lacking:
        shown = ", ".join(f"{right.verb} {right.resource} in {right.namespace}" for right in lacking[:4])
        more = f" and {len(lacking) - 4} more" if len(lacking) > 4 else ""
        yield Finding(id, "broken", f"{who} may not {shown}{more}.", "", why, fix)
        return
    yield Finding(id, "ok", f"{who} has all {len(wanted)} permissions that the lab needs.")


def _allowed(context: Context, right: Right, user: str) -> bool:
    """Whether this or another user has a permission."""
    import kubernetes

    name, _, part = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": name, "namespace": right.namespace}
    if part:
        attributes["subresource"] = part
    spec = {"resourceAttributes": attributes}
    api = kubernetes.client.AuthorizationV1Api(context.api)
    if user:
        namespace = user.split(":")[2]
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        body = {"spec": {**spec, "user": user, "groups": groups}}
        return bool(api.create_subject_access_review(body, _request_timeout=TIMEOUT_S).status.allowed)
    return bool(api.create_self_subject_access_review({"spec": spec}, _request_timeout=TIMEOUT_S).status.allowed)
