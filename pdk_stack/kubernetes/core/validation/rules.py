"""Which rules hold for objects of which kind.

Sources: the strategies of ``pkg/registry``, and ``pkg/apis/*/validation``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pdk_stack.kubernetes.core.validation import (
    claims,
    config_objects,
    definitions,
    events,
    pods,
    roles,
    services,
    workloads,
)
from pdk_stack.kubernetes.core.validation.metadata import object_meta, object_meta_update
from pdk_stack.kubernetes.core.validation.syntax import (
    Rule,
    dns_1035_label,
    dns_label,
    dns_subdomain,
    path_segment,
)
from pdk_stack.kubernetes.errors import FieldError
from pdk_stack.kubernetes.store import kinds, workload_kinds
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind

Errors = list[FieldError]


def _nothing(_obj: Object) -> Errors:
    return []


def _no_change(_new: Object, _old: Object) -> Errors:
    return []


@dataclass(frozen=True)
class Rules:
    """The rules of one kind.

    Attributes:
        name: The rule for names.
        create: What is wrong with an object apart from its metadata.
        update: What is wrong with a change besides that.
        meta_on_update: Whether an update checks the name and the fields again.
    """

    name: Rule = dns_subdomain
    create: Callable[[Object], Errors] = _nothing
    update: Callable[[Object, Object], Errors] = _no_change
    meta_on_update: bool = True


RULES: dict[tuple[str, str], Rules] = {
    kinds.NAMESPACES.resource: Rules(dns_label, meta_on_update=False),
    kinds.CONFIG_MAPS.resource: Rules(create=config_objects.config_map, update=config_objects.config_map_update),
    kinds.SECRETS.resource: Rules(create=config_objects.secret, update=config_objects.secret_update),
    kinds.SERVICES.resource: Rules(dns_1035_label, services.service, services.service_update),
    kinds.EVENTS.resource: Rules(path_segment, events.event),
    kinds.ROLES.resource: Rules(path_segment, roles.role),
    kinds.CLUSTER_ROLES.resource: Rules(path_segment, roles.cluster_role),
    kinds.ROLE_BINDINGS.resource: Rules(path_segment, roles.role_binding, roles.same_role),
    kinds.CLUSTER_ROLE_BINDINGS.resource: Rules(path_segment, roles.cluster_role_binding, roles.same_role),
    workload_kinds.PERSISTENT_VOLUME_CLAIMS.resource: Rules(create=claims.claim, update=claims.claim_update),
    workload_kinds.PERSISTENT_VOLUMES.resource: Rules(create=claims.volume),
    workload_kinds.PODS.resource: Rules(create=pods.pod),
    kinds.CUSTOM_RESOURCE_DEFINITIONS.resource: Rules(
        lambda _name: [], definitions.definition, definitions.definition_update
    ),
    workload_kinds.DEPLOYMENTS.resource: Rules(create=workloads.deployment),
}
#: Custom objects; what a schema says of their fields is checked elsewhere.
CUSTOM = Rules(meta_on_update=False)


OWN = Rules()


def _of(kind: Kind) -> Rules:
    return CUSTOM if kind.custom else RULES.get(kind.resource, OWN)


def errors_on_create(kind: Kind, obj: Object) -> Sequence[FieldError]:
    """Return what is wrong with a new object.

    Args:
        kind: Its kind.
        obj: The object, with its defaults and its namespace.
    """
    rules = _of(kind)
    found = object_meta(obj["metadata"], kind.namespaced, rules.name, own=not kind.custom) + rules.create(obj)
    # Checked last, because the kinds' own words say more (``BeforeCreate``).
    return found or object_meta(obj["metadata"], kind.namespaced, path_segment, own=False)


def errors_on_update(kind: Kind, new: Object, old: Object) -> Sequence[FieldError]:
    """Return what is wrong with a change.

    Args:
        kind: The object's kind.
        new: The object to store, with its defaults.
        old: The stored object.
    """
    rules, meta, before = _of(kind), new["metadata"], old["metadata"]
    own = not kind.custom
    # The real server checks the metadata in both layers; so each error has several causes.
    found = object_meta(meta, kind.namespaced, path_segment, own=False)
    found += object_meta_update(meta, before, own=False) + object_meta_update(meta, before, own=own)
    found += rules.update(new, old)
    if rules.meta_on_update:
        found += object_meta(meta, kind.namespaced, rules.name, own=own) + rules.create(new)
    return found
