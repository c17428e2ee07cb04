"""A kind's definition: names, scope, writers, and printed columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pdk_stack.kubernetes.store.columns import Column, Object
from pdk_stack.kubernetes.store.models import Schema

#: Field labels of every kind (``runtime.DefaultMetaV1FieldSelectorConversion``).
META_LABELS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True)
class Kind:
    """A kind of object that the API serves.

    Attributes:
        custom: Whether a CustomResourceDefinition defines it: generation, strict updates, no strategic merge.
        status: Whether ``status`` is a subresource.
        written_by: The component that writes these objects if users can't, and why.
        read_only: Whether nothing writes these objects, so that they can only be listed; ``written_by`` says why.
        field_labels: Paths for field selectors besides name and namespace.
        create_on_update: Whether a replacement creates a missing object (``AllowCreateOnUpdate``).
        returned_when_deleted: Whether a deletion answers with the object (``ReturnDeletedObject``).
        source: The kind's schema, or a function that returns it.
        stored_as: Group and plural under which the objects are stored, for a second version of the same objects.
        shown: Converts a stored object to this version.
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
    written_by: str = ""
    read_only: bool = False
    field_labels: tuple[str, ...] = ()
    create_on_update: bool = False
    returned_when_deleted: bool = False
    source: Schema | Callable[[], Schema] | None = field(default=None, compare=False)
    stored_as: tuple[str, str] | None = None
    shown: Callable[[Object], Object] | None = field(default=None, compare=False)

    @classmethod
    def named(cls, names: str, columns: tuple[Column, ...], **more: Any) -> Kind:
        """Make a kind from one line of names.

        Args:
            names: ``<group>/<version> <Kind> <plural> <short names>``, as in ``apps/v1 Deployment deployments deploy``.
            columns: The printed columns.
            more: Other attributes.
        """
        api_version, kind, plural, *short = names.split()
        group, _, version = api_version.rpartition("/")
        return cls(group, version, plural, kind, short=tuple(short), columns=columns, **more)

    @property
    def schema(self) -> Schema | None:
        """The kind's schema, without the fields that every object has; None when it accepts anything."""
        return self.source() if callable(self.source) else self.source

    @property
    def api_version(self) -> str:
        """``group/version``, or only the version in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> tuple[str, str]:
        """Group and plural, which identify the kind in paths and roles."""
        return self.group, self.plural

    @property
    def storage(self) -> tuple[str, str]:
        """Group and plural that identify the kind's objects in the database."""
        return self.stored_as or self.resource

    @property
    def group_kind(self) -> tuple[str, str]:
        """Group and kind, which name it in errors about an object's fields."""
        return self.group, self.kind

    @property
    def singular(self) -> str:
        """The singular name."""
        return self.kind.lower()
