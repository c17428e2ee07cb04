"""What fields the kinds have: compact schemas of our own, and the check of objects against them.

The InferenceService's lists the fields of KServe v0.13.1's ``v1beta1`` API (``pkg/apis/serving/v1beta1``); where it
holds parts of a pod that the embedded runtime does not look into, it takes anything. Core kinds follow ``k8s.io/api``.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
QUANTITY: Schema = {"x-kubernetes-int-or-string": True}
OPEN: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _object(description: str = "", required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    if description:
        schema["description"] = description
    if required:
        schema["required"] = list(required)
    return schema


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _told(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


REFERENCE = _object(name=STRING)
METADATA = _object(
    "Standard object's metadata.",
    name=STRING,
    generateName=STRING,
    namespace=STRING,
    selfLink=STRING,
    uid=STRING,
    resourceVersion=STRING,
    generation=INTEGER,
    creationTimestamp=STRING,
    deletionTimestamp=STRING,
    deletionGracePeriodSeconds=INTEGER,
    labels=_map(STRING),
    annotations=_map(STRING),
    ownerReferences=_list(OPEN),
    finalizers=_list(STRING),
    managedFields=_list(OPEN),
)
RESOURCES = _object(
    "Compute resources that the container needs.",
    limits=_map(QUANTITY),
    requests=_map(QUANTITY),
    claims=_list(OPEN),
)
CONTAINER: dict[str, Schema] = {
    "name": STRING,
    "image": STRING,
    "command": _list(STRING),
    "args": _list(STRING),
    "workingDir": STRING,
    "env": _list(_object("", ("name",), name=STRING, value=STRING, valueFrom=OPEN)),
    "envFrom": _list(OPEN),
    "resources": RESOURCES,
    "ports": _list(OPEN),
    "imagePullPolicy": STRING,
    "lifecycle": OPEN,
    "livenessProbe": OPEN,
    "readinessProbe": OPEN,
    "startupProbe": OPEN,
    "resizePolicy": _list(OPEN),
    "restartPolicy": STRING,
    "securityContext": OPEN,
    "stdin": BOOLEAN,
    "stdinOnce": BOOLEAN,
    "terminationMessagePath": STRING,
    "terminationMessagePolicy": STRING,
    "tty": BOOLEAN,
    "volumeDevices": _list(OPEN),
    "volumeMounts": _list(OPEN),
}
FRAMEWORK: dict[str, Schema] = {
    **CONTAINER,
    "storageUri": _told(STRING, "Where the model lies: s3://, gs://, pvc://, https:// or a local folder."),
    "storage": _object("", (), key=STRING, parameters=_map(STRING), path=STRING, schemaPath=STRING),
    "runtimeVersion": _told(STRING, "Version of the runtime's image."),
    "protocolVersion": _told(STRING, "Protocol of the predictor: v1 or v2."),
}
MODEL = _object(
    "Any model format; a runtime is chosen for it.",
    (),
    **FRAMEWORK,
    modelFormat=_object("", ("name",), name=STRING, version=STRING),
    runtime=_told(STRING, "Name of the runtime; kserve-torchserve when left out."),
)
# PodSpec (k8s.io/api/core/v1) without its containers.
POD: dict[str, Schema] = {
    "activeDeadlineSeconds": INTEGER,
    "affinity": OPEN,
    "automountServiceAccountToken": BOOLEAN,
    "dnsConfig": OPEN,
    "dnsPolicy": STRING,
    "enableServiceLinks": BOOLEAN,
    "hostAliases": _list(OPEN),
    "hostIPC": BOOLEAN,
    "hostNetwork": BOOLEAN,
    "hostPID": BOOLEAN,
    "hostUsers": BOOLEAN,
    "hostname": STRING,
    "imagePullSecrets": _list(REFERENCE),
    "initContainers": _list(OPEN),
    "nodeName": STRING,
    "nodeSelector": _map(STRING),
    "os": OPEN,
    "overhead": _map(QUANTITY),
    "preemptionPolicy": STRING,
    "priority": INTEGER,
    "priorityClassName": STRING,
    "readinessGates": _list(OPEN),
    "resourceClaims": _list(OPEN),
    "restartPolicy": STRING,
    "runtimeClassName": STRING,
    "schedulerName": STRING,
    "schedulingGates": _list(OPEN),
    "securityContext": OPEN,
    "serviceAccount": STRING,
    "serviceAccountName": _told(STRING, "Service account whose secrets hold the storage credentials."),
    "setHostnameAsFQDN": BOOLEAN,
    "shareProcessNamespace": BOOLEAN,
    "subdomain": STRING,
    "terminationGracePeriodSeconds": INTEGER,
    "tolerations": _list(OPEN),
    "topologySpreadConstraints": _list(OPEN),
    "volumes": _list(OPEN),
}
# ComponentExtensionSpec of KServe.
EXTENSION: dict[str, Schema] = {
    "annotations": _map(STRING),
    "labels": _map(STRING),
    "batcher": _object("", (), maxBatchSize=INTEGER, maxLatency=INTEGER, timeout=INTEGER),
    "logger": _object("", (), mode={"type": "string", "enum": ["all", "request", "response"]}, url=STRING),
    "canaryTrafficPercent": _told(INTEGER, "Share of the traffic for the latest ready revision; all when left out."),
    "containerConcurrency": _told(INTEGER, "Requests that one replica works on at once; 0 for no limit."),
    "deploymentStrategy": OPEN,
    "maxReplicas": _told(INTEGER, "Most replicas; 0 for as many as the machine has CPUs."),
    "minReplicas": _told(INTEGER, "Fewest replicas; 0 stops the last one when nobody asks. The default is 1."),
    "scaleMetric": {"type": "string", "enum": ["cpu", "memory", "concurrency", "rps"]},
    "scaleTarget": INTEGER,
    "timeout": _told(INTEGER, "Seconds that a request may take."),
}
FRAMEWORKS = (
    "sklearn",
    "xgboost",
    "tensorflow",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
)
PREDICTOR = _object(
    "The model server.",
    (),
    **POD,
    **EXTENSION,
    containers=_list(OPEN),
    model=MODEL,
    **{name: _object("", (), **FRAMEWORK) for name in FRAMEWORKS},
)
INFERENCE_SERVICE: Schema = _object(
    "InferenceService is the Schema for the InferenceServices API",
    (),
    spec=_object(
        "What to serve.",
        ("predictor",),
        predictor=PREDICTOR,
        transformer=_told(OPEN, "Pre- and post-processing; the embedded runtime refuses it."),
        explainer=_told(OPEN, "Explanations; the embedded runtime refuses it."),
    ),
    status=OPEN,
)
RULE = _object(
    "",
    ("verbs",),
    verbs=_list(STRING),
    apiGroups=_list(STRING),
    resources=_list(STRING),
    resourceNames=_list(STRING),
    nonResourceURLs=_list(STRING),
)
ROLE = _object("Rules of what may be done.", (), rules=_list(RULE), aggregationRule=OPEN)
BINDING = _object(
    "Gives a role to users.",
    ("roleRef",),
    roleRef=_object("", ("kind", "name"), apiGroup=STRING, kind=STRING, name=STRING),
    subjects=_list(_object("", ("kind", "name"), apiGroup=STRING, kind=STRING, name=STRING, namespace=STRING)),
)
CORE: dict[str, Schema] = {
    "ConfigMap": _object(
        "Configuration for programs to read.",
        (),
        data=_map(STRING),
        binaryData=_map(STRING),
        immutable=BOOLEAN,
    ),
    "Secret": _object(
        "Secret data; the values of data are base64.",
        (),
        data=_map(STRING),
        stringData=_map(STRING),
        type=STRING,
        immutable=BOOLEAN,
    ),
    "ServiceAccount": _object(
        "An identity for programs.",
        (),
        secrets=_list(OPEN),
        imagePullSecrets=_list(REFERENCE),
        automountServiceAccountToken=BOOLEAN,
    ),
    "Namespace": _object("A scope for names.", (), spec=_object("", (), finalizers=_list(STRING)), status=OPEN),
    "Role": ROLE,
    "ClusterRole": ROLE,
    "RoleBinding": BINDING,
    "ClusterRoleBinding": BINDING,
}


def complete(schema: Schema) -> Schema:
    """A schema with the fields that every object has."""
    common = {"apiVersion": STRING, "kind": STRING, "metadata": METADATA}
    return {**schema, "properties": {**common, **(schema.get("properties") or {})}}


@dataclass
class Findings:
    """What the check of an object found.

    Attributes:
        unknown: Paths of fields that the schema does not have.
        wrong: Path and text of values of another type or not allowed.
    """

    unknown: list[str] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)


TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
GO_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


def check(schema: Schema, value: Any, path: str, findings: Findings) -> Any:
    """Check a value; fields that the schema does not have are left out of what comes back.

    Args:
        schema: An OpenAPI schema as CustomResourceDefinitions use them.
        value: The value.
        path: Where it stands, for the findings.
        findings: Gets what is wrong.
    """
    if value is None or schema.get("x-kubernetes-int-or-string"):
        return value
    kind = schema.get("type")
    if kind in TYPES and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        found = GO_NAMES.get(type(value), "unknown")
        findings.wrong.append((path, f'Invalid value: "{found}": {path} in body must be of type {kind}: "{found}"'))
        return value
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(f'"{each}"' for each in schema["enum"])
        findings.wrong.append((path, f'Unsupported value: "{value}": supported values: {allowed}'))
    for limit, ends in (("minimum", value.__lt__), ("maximum", value.__gt__)) if _is_number(value) else ():
        if limit in schema and ends(schema[limit]) is True:
            word = "greater" if limit == "minimum" else "less"
            text = f"Invalid value: {value}: {path} in body should be {word} than or equal to {schema[limit]}"
            findings.wrong.append((path, text))
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [check(items, each, f"{path}[{number}]", findings) for number, each in enumerate(value)]
    if isinstance(value, dict):
        return _check_object(schema, value, path, findings)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_object(schema: Schema, value: dict[str, Any], path: str, findings: Findings) -> dict[str, Any]:
    properties: Schema = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    is_open = not properties and not isinstance(others, dict)
    result: dict[str, Any] = {}
    for name, each in value.items():
        inner = f"{path}.{name}" if path else name
        if name in properties:
            result[name] = check(properties[name], each, inner, findings)
        elif isinstance(others, dict):
            result[name] = check(others, each, inner, findings)
        elif is_open or schema.get("x-kubernetes-preserve-unknown-fields") or others is True:
            result[name] = each
        else:
            findings.unknown.append(inner)
    for name, each in properties.items():
        if "default" in each and value.get(name) is None:
            result[name] = copy.deepcopy(each["default"])
    for name in schema.get("required") or []:
        if result.get(name) is None:
            inner = f"{path}.{name}" if path else name
            findings.wrong.append((inner, "Required value"))
    return result
