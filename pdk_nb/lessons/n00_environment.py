"""Lesson 00: the settings of the cluster, and whether its platforms respond."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pdk_nb.display.tables import Markup, Note, Table
from pdk_nb.lessons.explanation import Explanation
from pdk_nb.lessons.lesson import Exercise, Findings, Lesson, expect
from pdk_nb.platforms import mlde
from pdk_nb.platforms.cluster import api_errors, resolve

if TYPE_CHECKING:
    from pdk_nb.doctor import Report
    from pdk_nb.session import Session

# The doctor's findings that notebook 00 shows first, with their titles.
PREFLIGHT = {
    "cluster.api": "Kubernetes",
    "pachyderm.reach": "Pachyderm",
    "pachyderm.login": "Pachyderm login",
    "determined.reach": "Determined",
    "determined.login": "Determined login",
    "determined.pool": "A place to train",
    "kserve.crd": "KServe",
    "kserve.mode": "KServe's mode",
    "kserve.ingress": "Ingress",
}
# The settings that the other notebooks speak of; the rest is folded.
MATTER = frozenset(
    {
        *("mldm_host", "mldm_port", "mlde_host", "mlde_port"),
        *("kserve_model_namespace", "kserve_ingress_host", "kserve_ingress_port", "registry_uri"),
    }
)


def settings_table(session: Session) -> Markup:
    """Every setting with its value (secrets masked), its source, and its use: the eight that matter, and what is
    missing, first; the others folded.
    """
    shown: list[tuple[str, ...]] = []
    folded: list[tuple[str, ...]] = []
    for entry in session.settings.entries:
        state = entry.source if entry.value or not entry.required else "missing"
        if not entry.value and not entry.required:
            state = "not set"
        row = (entry.variable or entry.key, entry.value, state, entry.used_by)
        (shown if entry.key in MATTER or state == "missing" else folded).append(row)
    first, others = (Table(("Variable", "Value", "From", "Used for"), rows) for rows in (shown, folded))
    page = (
        f"{first._repr_html_()}<details><summary>{len(folded)} other settings</summary>{others._repr_html_()}</details>"
    )
    return Markup(page, f"{first}\n\n{len(folded)} other settings:\n\n{others}")


def preflight(session: Session) -> Table:
    """Connect to each platform; one row for each with its version or the fix."""
    groups = {id.split(".")[0] for id in PREFLIGHT}
    found = {each.id: each for each in examine(session, groups)}
    rows = []
    for id, title in PREFLIGHT.items():
        # Without a finding of its own, the group's finding says what stopped it.
        finding = found.get(id) or found.get(f"{id.split('.')[0]}.all")
        if finding is not None:
            fine = finding.state == "ok"
            text = finding.what if fine or not finding.fix else f"{finding.what} {finding.fix}"
            rows.append((title, "ok" if fine else "wrong", text, finding.where))
    return Table(("Platform", "State", "Version or what to do", "Where"), rows)


def examine(session: Session, only: Iterable[str] = ()) -> Report:
    """The doctor's findings: all, or those of some groups.

    Args:
        session: The session.
        only: Names of groups of findings, e.g. ``pachyderm``; all when empty.
    """
    from pdk_nb import doctor

    known = session.settings
    return doctor.examine(doctor.Context(known.kubeconfig or "", known.namespace, session.names, known), only)


class IngressPort(Exercise):
    """Find a setting in the table."""

    name = "00-ingress"
    kind = "Find"
    question = "Prediction requests go to the ingress. Which key of `pdk-config` holds its port?"
    hint = "Unfold the ConfigMap under the heading 'Under the bonnet', and look at its keys."
    solution = 'answer = next(each.key for each in lab.settings.entries if "ingress_port" in each.key)'
    why = "One ConfigMap gives every notebook, pipeline, and person the same address."

    def expected(self, session: Session) -> str:
        """The key whose value is the ingress's port."""
        port = str(session.settings.kserve_ingress_port)
        return next(each.key for each in session.settings.entries if "ingress" in each.key and each.value == port)

    def judge(self, session: Session, answer: Any) -> Note:
        """Judge an answer; the variable of the settings table is as good as its key."""
        keys = {each.variable.lower(): each.key for each in session.settings.entries if each.variable}
        return super().judge(session, keys.get(answer.strip().lower(), answer) if isinstance(answer, str) else answer)


class DecodedSecret(Exercise):
    """Decode a value of a Secret."""

    name = "00-secret"
    kind = "Predict"
    question = (
        "`kubectl get secret … -o yaml` shows the value `b25seS1lbmNvZGVk` to everybody who can read the Secret. "
        "Which password is it?"
    )
    hint = "A Secret's values are base64 text; Python's module base64 has b64decode()."
    solution = 'import base64\n\nanswer = base64.b64decode("b25seS1lbmNvZGVk").decode()'
    why = "Base64 is an encoding, not encryption: only the permission to read the Secret protects it."

    def expected(self, session: Session) -> str:
        """The decoded text."""
        return base64.b64decode("b25seS1lbmNvZGVk").decode()


class MasterVersion(Exercise):
    """Ask a platform without the lab."""

    name = "00-version"
    kind = "Measure"
    question = (
        "Determined's master answers `GET /api/v1/master` to everybody. Ask it yourself: which `version` does it "
        "report? Its address is `lab.settings.master_url`."
    )
    hint = "requests.get(address).json() is a dictionary."
    solution = (
        "import requests\n\n"
        'answer = requests.get(f"{lab.settings.master_url}/api/v1/master", timeout=30).json()["version"]'
    )
    why = "The clients, the commands, and the lab all send requests like this one."

    def expected(self, session: Session) -> str:
        """The version that the master gives."""
        with mlde.api_errors(session.settings.master_url):
            return str(mlde.session(session.determined).get("/api/v1/master").json()["version"])


class KubeconfigVariable(Exercise):
    """Know where kubectl and the lab look for a cluster."""

    name = "00-kubeconfig"
    kind = "Repair"
    question = (
        "In a new terminal, `kubectl get pods` can't connect, because no kubeconfig is at `~/.kube/config`. "
        "Which environment variable do you set to fix this?"
    )
    hint = "The comment in this notebook's parameters names it."
    solution = 'answer = "KUBECONFIG"'
    why = "kubectl, the official clients, and the lab all read it, so they always mean the same cluster."

    def expected(self, session: Session) -> str:
        """The variable of kubectl's documentation."""
        return "KUBECONFIG"


def missing(session: Session) -> str:
    """Which required settings are missing."""
    absent = session.settings.missing
    return f"the settings {', '.join(absent)} are missing" if absent else ""


def check(session: Session) -> Findings:
    """00: every required setting has a value, and every platform responds."""
    absent, namespace = session.settings.missing, session.settings.namespace
    yield expect(
        not absent,
        f"All required values are in {namespace}/pdk-config and the pipeline secret.",
        f"Values are missing: {', '.join(absent)}.",
        f"kubectl -n {namespace} edit configmap pdk-config",
    )
    for row in preflight(session).rows:
        yield expect(row[1] == "ok", f"{row[0]}: {row[2]}", f"{row[0]}: {row[2]}", f"Check {row[3]}.")


def config_map(session: Session) -> dict[str, Any]:
    """The ConfigMap ``pdk-config`` as the cluster has it; values that the settings mask are masked here, too."""
    cluster = resolve(session.settings)
    where = f"ConfigMap {session.settings.namespace}/pdk-config"
    with api_errors(cluster, where):
        found = cluster.core.read_namespaced_config_map("pdk-config", session.settings.namespace)
    shown = {entry.key: entry.value for entry in session.settings.entries if entry.value}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": found.metadata.name, "namespace": found.metadata.namespace},
        "data": {key: shown.get(key, value) if value else value for key, value in sorted(found.data.items())},
    }


CONFIG = Explanation(
    "00-config",
    "The ConfigMap pdk-config",
    config_map,
    {
        "data.mldm_host": "The address at which clients outside the cluster reach Pachyderm (MLDM).",
        "data.mlde_host": "The address of Determined's master (MLDE).",
        "data.kserve_ingress_host": "Where prediction requests go: the ingress, not the model server.",
        "data.kserve_ingress_port": "The ingress's port.",
        "data.kserve_model_namespace": "The namespace of the InferenceServices.",
    },
    lambda session: f"kubectl -n {session.settings.namespace} get configmap pdk-config -o yaml",
    lambda session: session.settings.kserve_ingress_host,
)

LESSON = Lesson(
    "00",
    check,
    missing=missing,
    exercises=(IngressPort(), DecodedSecret(), MasterVersion(), KubeconfigVariable()),
    explanations=(CONFIG,),
)
