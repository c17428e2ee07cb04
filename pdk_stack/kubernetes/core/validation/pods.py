"""Validates pods and pod templates: what people get wrong most often.

Source: ``ValidatePodSpec`` of ``pkg/apis/core/validation``. Affinity, security contexts, DNS, and most of what
the source of a volume holds are read by type only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pdk_stack.kubernetes.core.validation.metadata import each_message, labels, not_negative
from pdk_stack.kubernetes.core.validation.services import port_or_name
from pdk_stack.kubernetes.core.validation.syntax import (
    dns_label,
    dns_subdomain,
    env_name,
    in_range,
    port_name,
    port_number,
    qualified_name,
)
from pdk_stack.kubernetes.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    missing_reference,
    not_supported,
    required,
)
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.quantities import amount

Spec = dict[str, Any]

RESTART_POLICIES = ("Always", "OnFailure", "Never")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
PROTOCOLS = ("SCTP", "TCP", "UDP")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
ENV_FIELDS = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
]
# In the order in which ``validateVolumeSource`` looks at them.
VOLUME_SOURCES = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "flocker",
    "downwardAPI",
    "fc",
    "azureFile",
    "flexVolume",
    "configMap",
    "vsphereVolume",
    "azureDisk",
    "portworxVolume",
    "quobyte",
    "photonPersistentDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
]
RESOURCES = ("cpu", "memory", "ephemeral-storage")
MAX_INT32 = (1 << 31) - 1


def _volumes(spec: Spec, place: str) -> tuple[set[str], list[FieldError]]:
    """Validate the volumes; return the names of the good ones too."""
    found: list[FieldError] = []
    names: set[str] = set()
    for number, volume in enumerate(spec.get("volumes") or []):
        field, name = f"{place}.volumes[{number}]", volume.get("name") or ""
        given = [each for each in VOLUME_SOURCES if volume.get(each) is not None]
        wrong = [forbidden_field(f"{field}.{each}", "may not specify more than 1 volume type") for each in given[1:]]
        if given[:1] == ["hostPath"] and not volume["hostPath"].get("path"):
            wrong.append(required(f"{field}.hostPath.path"))
        if given[:1] == ["persistentVolumeClaim"] and not volume["persistentVolumeClaim"].get("claimName"):
            wrong.append(required(f"{field}.persistentVolumeClaim.claimName"))
        wrong += each_message(f"{field}.name", name, dns_label) if name else [required(f"{field}.name")]
        if name in names:
            wrong.append(duplicate(f"{field}.name", name))
        if not wrong:
            names.add(name)
        found += wrong
    return names, found


def _ports(ports: list[Spec], place: str) -> list[FieldError]:
    found: list[FieldError] = []
    names: set[str] = set()
    for number, port in enumerate(ports):
        field, name = f"{place}[{number}]", port.get("name") or ""
        if name:
            wrong = each_message(f"{field}.name", name, port_name)
            found += wrong or ([duplicate(f"{field}.name", name)] if name in names else [])
            names.add(name)
        given = port.get("containerPort") or 0
        if not given:
            found.append(required(f"{field}.containerPort"))
        else:
            found += [invalid_value(f"{field}.containerPort", given, words) for words in port_number(given)]
        if port.get("hostPort"):
            host = port["hostPort"]
            found += [invalid_value(f"{field}.hostPort", host, words) for words in port_number(host)]
        if port.get("protocol") not in PROTOCOLS:
            found.append(not_supported(f"{field}.protocol", port.get("protocol"), PROTOCOLS))
    return found


def _environment(container: Spec, place: str) -> list[FieldError]:
    found: list[FieldError] = []
    for number, variable in enumerate(container.get("env") or []):
        field, name = f"{place}.env[{number}]", variable.get("name") or ""
        found += each_message(f"{field}.name", name, env_name) if name else [required(f"{field}.name")]
        source = variable.get("valueFrom")
        if source is None:
            continue
        field = f"{field}.valueFrom"
        found += _references(source, field)
        given = [each for each in ENV_SOURCES if source.get(each) is not None]
        if not given:
            why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            found.append(invalid_value(field, "", why))
        elif variable.get("value"):
            found.append(invalid_value(field, "", "may not be specified when `value` is not empty"))
        elif len(given) > 1:
            found.append(invalid_value(field, "", "may not have more than one field specified at a time"))
    for number, source in enumerate(container.get("envFrom") or []):
        given = [each for each in ("configMapRef", "secretRef") if source.get(each) is not None]
        if len(given) != 1:
            why = (
                "may not have more than one field specified at a time"
                if given
                else ("must specify one of: `configMapRef` or `secretRef`")
            )
            found.append(invalid_value(f"{place}.envFrom[{number}]", "", why))
        found += [required(f"{place}.envFrom[{number}].{each}.name") for each in given if not source[each].get("name")]
    return found


def _references(source: Spec, place: str) -> list[FieldError]:
    found: list[FieldError] = []
    if (reference := source.get("fieldRef")) is not None:
        path = reference.get("fieldPath") or ""
        if not path:
            found.append(required(f"{place}.fieldRef.fieldPath"))
        elif "[" not in path and path not in ENV_FIELDS:
            found.append(not_supported(f"{place}.fieldRef.fieldPath", path, ENV_FIELDS))
    for name in ("configMapKeyRef", "secretKeyRef"):
        if (reference := source.get(name)) is not None:
            found += [required(f"{place}.{name}.{each}") for each in ("name", "key") if not reference.get(each)]
    return found


def _mounts(container: Spec, volumes: set[str], place: str) -> list[FieldError]:
    found: list[FieldError] = []
    paths: set[str] = set()
    for number, mount in enumerate(container.get("volumeMounts") or []):
        field, name, path = f"{place}.volumeMounts[{number}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            found.append(required(f"{field}.name"))
        if name not in volumes:
            found.append(missing_reference(f"{field}.name", name))
        if not path:
            found.append(required(f"{field}.mountPath"))
        if path in paths:
            found.append(invalid_value(f"{field}.mountPath", path, "must be unique"))
        paths.add(path)
    return found


def _resource_name(name: str, field: str) -> list[FieldError]:
    found = each_message(field, name, qualified_name)
    if not found and "/" not in name and name not in RESOURCES and not name.startswith("hugepages-"):
        found.append(invalid_value(field, name, "must be a standard resource for containers"))
    return found


def resources(given: Spec, place: str) -> list[FieldError]:
    """Validate requests and limits (``ValidateResourceRequirements``)."""
    found: list[FieldError] = []
    limits = given.get("limits") or {}
    for part in ("limits", "requests"):
        for name, value in (given.get(part) or {}).items():
            field = f"{place}.{part}[{name}]"
            found += _resource_name(name, field)
            if amount(value) < 0:
                found.append(invalid_value(field, str(value), "must be greater than or equal to 0"))
            if part == "requests" and name in limits and amount(value) > amount(limits[name]):
                why = f"must be less than or equal to {name} limit of {limits[name]}"
                found.append(invalid_value(f"{place}.requests", str(value), why))
    return found


def _probe(probe: Spec, place: str, *, startup_or_liveness: bool) -> list[FieldError]:
    given = [each for each in HANDLERS if probe.get(each) is not None]
    found = [forbidden_field(f"{place}.{each}", "may not specify more than 1 handler type") for each in given[1:]]
    if not given:
        found.append(required(place, "must specify a handler type"))
    for each in given[:1]:
        if each in ("httpGet", "tcpSocket", "grpc"):
            found += port_or_name(probe[each].get("port"), f"{place}.{each}.port")
        if each == "exec" and not probe["exec"].get("command"):
            found.append(required(f"{place}.exec.command"))
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        found += not_negative(f"{place}.{name}", probe.get(name))
    if startup_or_liveness and probe.get("successThreshold") not in (None, 1):
        found.append(invalid_value(f"{place}.successThreshold", probe["successThreshold"], "must be 1"))
    return found


def _container(container: Spec, volumes: set[str], place: str) -> list[FieldError]:
    """Validate what all containers share (``validateContainerCommon``)."""
    name = container.get("name") or ""
    found = each_message(f"{place}.name", name, dns_label) if name else [required(f"{place}.name")]
    if not container.get("image"):
        found.append(required(f"{place}.image"))
    policy = container.get("terminationMessagePolicy")
    if policy not in (None, *MESSAGE_POLICIES):
        found.append(not_supported(f"{place}.terminationMessagePolicy", policy, MESSAGE_POLICIES))
    found += _ports(container.get("ports") or [], f"{place}.ports")
    found += _environment(container, place) + _mounts(container, volumes, place)
    pull = container.get("imagePullPolicy")
    if pull not in (None, *PULL_POLICIES):
        found.append(not_supported(f"{place}.imagePullPolicy", pull, PULL_POLICIES))
    return found + resources(container.get("resources") or {}, f"{place}.resources")


def _containers(spec: Spec, volumes: set[str], place: str) -> list[FieldError]:
    containers = spec.get("containers") or []
    found = [] if containers else [required(f"{place}.containers")]
    names: set[str] = set()
    for number, container in enumerate(containers):
        field = f"{place}.containers[{number}]"
        found += _container(container, volumes, field)
        if container.get("name") in names:
            found.append(duplicate(f"{field}.name", container["name"]))
        names.add(container.get("name") or "")
        for probe in PROBES:
            if container.get(probe) is not None:
                ends = probe != "readinessProbe"
                found += _probe(container[probe], f"{field}.{probe}", startup_or_liveness=ends)
        if container.get("restartPolicy") is not None:
            found.append(forbidden_field(f"{field}.restartPolicy", "may not be set for non-init containers"))
    for number, container in enumerate(spec.get("initContainers") or []):
        field, name = f"{place}.initContainers[{number}]", container.get("name") or ""
        found += _container(container, volumes, field)
        if name in names:
            found.append(duplicate(f"{field}.name", name))
        names.add(name)
        if container.get("restartPolicy") not in (None, "Always"):
            found.append(not_supported(f"{field}.restartPolicy", container["restartPolicy"], ["Always"]))
        if container.get("restartPolicy") is None:
            why = "may not be set for init containers without restartPolicy=Always"
            found += [forbidden_field(f"{field}.{each}", why) for each in ("lifecycle", *PROBES) if container.get(each)]
    return found


def _names(spec: Spec, place: str, rules: Iterable[tuple[str, Any]]) -> list[FieldError]:
    return [
        each for name, rule in rules if spec.get(name) for each in each_message(f"{place}.{name}", spec[name], rule)
    ]


def pod_spec(spec: Spec, place: str) -> list[FieldError]:
    """Validate the spec of a pod that has its defaults.

    Args:
        spec: The spec.
        place: Its path.
    """
    volumes, found = _volumes(spec, place)
    found += _containers(spec, volumes, place)
    for name, allowed in (("restartPolicy", RESTART_POLICIES), ("dnsPolicy", DNS_POLICIES)):
        if spec.get(name) not in allowed:
            found.append(not_supported(f"{place}.{name}", spec.get(name), allowed))
    found += labels(spec.get("nodeSelector"), f"{place}.nodeSelector")
    found += _names(spec, place, (("serviceAccountName", dns_subdomain), ("nodeName", dns_subdomain)))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None:
        field = f"{place}.activeDeadlineSeconds"
        found += [invalid_value(field, deadline, words) for words in in_range(deadline, 1, MAX_INT32)]
    found += not_negative(f"{place}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
    return found + _names(
        spec,
        place,
        (
            ("hostname", dns_label),
            ("subdomain", dns_label),
            ("priorityClassName", dns_subdomain),
            ("runtimeClassName", dns_subdomain),
        ),
    )


def pod(obj: Object) -> list[FieldError]:
    """Validate a pod that has its defaults."""
    return pod_spec(obj.get("spec") or {}, "spec")
