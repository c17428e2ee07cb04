"""The kinds that the embedded API serves, with the columns that ``kubectl get`` prints."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from pdk_nb.local.kubernetes.schemas import CORE, INFERENCE_SERVICE

Object = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One printed column of a kind."""

    name: str
    value: Callable[[Object], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> dict[str, Any]:
        """The column as a Table's columnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": self.priority,
        }


@dataclass(frozen=True)
class Kind:
    """A kind of object that the API serves.

    Attributes:
        custom: Defined by a CustomResourceDefinition: generation, strict updates, no strategic merge.
        status: Whether ``status`` is a sub-resource.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    status: bool = True
    custom: bool = False
    schema: dict[str, Any] | None = field(default=None, compare=False)

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """The singular name."""
        return self.kind.lower()


def timestamp(moment: float | None = None) -> str:
    """A point in time as Kubernetes writes it: RFC 3339, seconds, UTC."""
    when = datetime.fromtimestamp(time.time() if moment is None else moment, timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def age(text: Any) -> str:
    """How long ago, as kubectl prints it (``k8s.io/apimachinery/pkg/util/duration`` HumanDuration)."""
    try:
        since = datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return "<unknown>"
    seconds = max(0, int(time.time() - since.timestamp()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{days}d"


def path_values(path: str, obj: Any) -> list[Any]:
    """Evaluate the part of JSONPath that printer columns use: ``.a.b``, ``[0]``, ``[*]``, ``[?(@.x=='y')]``."""
    pattern = (
        r"\[\?\(@\.(?P<key>[\w.]+)==(?P<want>'[^']*'|\"[^\"]*\"|true|false|\d+)\)\]"
        r"|\[(?P<index>\d+|\*)\]|\.?(?P<name>(?:\\.|[^.\[\\])+)"
    )
    current = [obj]
    for match in re.finditer(pattern, path.lstrip(".")):
        following: list[Any] = []
        for item in current:
            if match["key"]:
                raw = match["want"]
                wanted: Any = {"true": True, "false": False}.get(raw, raw.strip("'\""))
                if raw.isdigit():
                    wanted = int(raw)
                following += [each for each in _items(item) if each.get(match["key"]) == wanted]
            elif match["index"]:
                items = _items(item)
                index = match["index"]
                following += items if index == "*" else items[int(index) : int(index) + 1]
            else:
                name = match["name"].replace("\\.", ".")
                if isinstance(item, dict) and name in item:
                    following.append(item[name])
        current = following
    return current


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _at(path: str, default: str = "") -> Callable[[Object], Any]:
    def read(obj: Object) -> Any:
        found = path_values(path, obj)
        return str(found[0]) if found else default

    return read


def _count(*paths: str) -> Callable[[Object], Any]:
    return lambda obj: str(sum(len(found) for path in paths for found in path_values(path, obj)))


def _join(values: Iterable[Any], default: str = "<none>") -> str:
    return ",".join(str(each) for each in values if each) or default


def printer_columns(version: dict[str, Any]) -> tuple[Column, ...]:
    """The columns that one version of a CustomResourceDefinition asks for."""

    def cell(path: str, kind: str) -> Callable[[Object], Any]:
        def read(obj: Object) -> Any:
            found = path_values(path, obj)
            if not found:
                return None
            if kind == "date":
                return age(found[0])
            if kind in ("integer", "number", "boolean"):
                return found[0]
            return ",".join(str(each) for each in found)

        return read

    wanted = version.get("additionalPrinterColumns")
    if not wanted:
        return (NAME, AGE)
    return (
        NAME,
        *(
            Column(
                each["name"],
                cell(each["jsonPath"], each["type"]),
                each["type"],
                each.get("format", ""),
                each.get("priority", 0),
                each.get("description", ""),
            )
            for each in wanted
        ),
    )


NAME = Column("Name", _at("metadata.name"), format="name", description="Name of the object")
AGE = Column("Age", lambda obj: age(obj["metadata"].get("creationTimestamp")))


def _ready(obj: Object) -> str:
    states = path_values("status.containerStatuses[*].ready", obj)
    total = len(path_values("spec.containers[*]", obj))
    return f"{sum(bool(each) for each in states)}/{total}"


def _rbac(plural: str, kind: str, namespaced: bool) -> Kind:
    columns = (NAME, Column("Role", _role), AGE) if kind.endswith("Binding") else (NAME, AGE)
    return Kind(
        "rbac.authorization.k8s.io", "v1", plural, kind, namespaced, columns=columns, status=False, schema=CORE[kind]
    )


def _role(binding: Object) -> str:
    reference = binding.get("roleRef") or {}
    return f"{reference.get('kind')}/{reference.get('name')}"


# KServe's own columns: config/crd/full/serving.kserve.io_inferenceservices.yaml, v0.13.1.
INFERENCE_SERVICE_COLUMNS = {
    "additionalPrinterColumns": [
        {"name": "URL", "type": "string", "jsonPath": ".status.url"},
        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
        {
            "name": "Prev",
            "type": "integer",
            "jsonPath": ".status.components.predictor.traffic[?(@.tag=='prev')].percent",
        },
        {
            "name": "Latest",
            "type": "integer",
            "jsonPath": ".status.components.predictor.traffic[?(@.latestRevision==true)].percent",
        },
        {
            "name": "PrevRolledoutRevision",
            "type": "string",
            "jsonPath": ".status.components.predictor.traffic[?(@.tag=='prev')].revisionName",
        },
        {
            "name": "LatestReadyRevision",
            "type": "string",
            "jsonPath": ".status.components.predictor.traffic[?(@.latestRevision==true)].revisionName",
        },
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
}

INFERENCE_SERVICES = Kind(
    "serving.kserve.io",
    "v1beta1",
    "inferenceservices",
    "InferenceService",
    short=("isvc",),
    columns=printer_columns(INFERENCE_SERVICE_COLUMNS),
    custom=True,
    schema=INFERENCE_SERVICE,
)
NAMESPACES = Kind(
    "",
    "v1",
    "namespaces",
    "Namespace",
    False,
    ("ns",),
    columns=(NAME, Column("Status", _at("status.phase")), AGE),
    schema=CORE["Namespace"],
)
SECRETS = Kind(
    "",
    "v1",
    "secrets",
    "Secret",
    columns=(NAME, Column("Type", _at("type", "Opaque")), Column("Data", _count("data")), AGE),
    status=False,
    schema=CORE["Secret"],
)
SERVICE_ACCOUNTS = Kind(
    "",
    "v1",
    "serviceaccounts",
    "ServiceAccount",
    short=("sa",),
    columns=(NAME, Column("Secrets", _count("secrets")), AGE),
    status=False,
    schema=CORE["ServiceAccount"],
)
PODS = Kind(
    "",
    "v1",
    "pods",
    "Pod",
    short=("po",),
    categories=("all",),
    columns=(
        NAME,
        Column("Ready", _ready),
        Column("Status", lambda obj: _join(path_values("status.reason", obj), _at("status.phase")(obj))),
        Column("Restarts", lambda obj: str(sum(path_values("status.containerStatuses[*].restartCount", obj)))),
        AGE,
        Column("IP", _at("status.podIP", "<none>"), priority=1),
        Column("Node", _at("spec.nodeName", "<none>"), priority=1),
    ),
)
SERVICES = Kind(
    "",
    "v1",
    "services",
    "Service",
    short=("svc",),
    categories=("all",),
    columns=(
        NAME,
        Column("Type", _at("spec.type", "ClusterIP")),
        Column("Cluster-IP", _at("spec.clusterIP", "<none>")),
        Column(
            "External-IP",
            lambda obj: _join(path_values("status.loadBalancer.ingress[*].ip", obj)),
        ),
        Column(
            "Port(s)",
            lambda obj: _join(
                f"{each.get('port')}/{each.get('protocol', 'TCP')}" for each in path_values("spec.ports[*]", obj)
            ),
        ),
        AGE,
    ),
)
EVENTS = Kind(
    "",
    "v1",
    "events",
    "Event",
    short=("ev",),
    columns=(
        Column("Last Seen", lambda obj: age(obj.get("lastTimestamp"))),
        Column("Type", _at("type")),
        Column("Reason", _at("reason")),
        Column(
            "Object",
            lambda obj: f"{_at('involvedObject.kind')(obj).lower()}/{_at('involvedObject.name')(obj)}",
        ),
        Column("Message", _at("message")),
    ),
    status=False,
)
CONFIG_MAPS = Kind(
    "",
    "v1",
    "configmaps",
    "ConfigMap",
    short=("cm",),
    columns=(NAME, Column("Data", _count("data", "binaryData")), AGE),
    status=False,
    schema=CORE["ConfigMap"],
)
NODES = Kind("", "v1", "nodes", "Node", False, ("no",), columns=(NAME, Column("Status", lambda _obj: "Ready"), AGE))

ROLES = _rbac("roles", "Role", True)
ROLE_BINDINGS = _rbac("rolebindings", "RoleBinding", True)
CLUSTER_ROLES = _rbac("clusterroles", "ClusterRole", False)
CLUSTER_ROLE_BINDINGS = _rbac("clusterrolebindings", "ClusterRoleBinding", False)

CUSTOM_RESOURCE_DEFINITIONS = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    False,
    ("crd", "crds"),
    columns=(NAME, Column("Created At", _at("metadata.creationTimestamp"))),
)

KINDS: tuple[Kind, ...] = (
    NAMESPACES,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    PODS,
    SERVICES,
    EVENTS,
    NODES,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    CUSTOM_RESOURCE_DEFINITIONS,
    INFERENCE_SERVICES,
)


class Registry:
    """The kinds that are served, found as the API's paths name them."""

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in kinds}

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind of a path, or None."""
        return self._kinds.get((group, version, plural))

    def named(self, group: str, plural: str) -> Kind | None:
        """A kind in whatever version."""
        return next((kind for kind in self._kinds.values() if (kind.group, kind.plural) == (group, plural)), None)

    def replace(self, group: str, plural: str, kinds: Iterable[Kind]) -> None:
        """Serve a resource with these versions; with none, not any more."""
        # A new table, so that readers need no lock.
        kept = {key: kind for key, kind in self._kinds.items() if (key[0], key[2]) != (group, plural)}
        self._kinds = kept | {(kind.group, kind.version, kind.plural): kind for kind in kinds}

    def groups(self) -> dict[str, dict[str, list[Kind]]]:
        """All kinds by group and version."""
        found: dict[str, dict[str, list[Kind]]] = {}
        for kind in self._kinds.values():
            found.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
        return found

    def __len__(self) -> int:
        return len(self._kinds)
