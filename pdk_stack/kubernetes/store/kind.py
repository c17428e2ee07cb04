"""What a kind of object is: its names, where it lives, who writes it, what is printed of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pdk_stack.kubernetes.store.columns import Column


@dataclass(frozen=True)
class Kind:
    """A kind of object that the API serves.

    Attributes:
        custom: Defined by a CustomResourceDefinition: generation, strict updates, no strategic merge.
        status: Whether ``status`` is a sub-resource.
        written_by: Who writes these objects, when people cannot; then why.
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
    schema: dict[str, Any] | None = field(default=None, compare=False)

    @classmethod
    def named(cls, names: str, columns: tuple[Column, ...], **more: Any) -> Kind:
        """A kind out of one line of names.

        Args:
            names: ``<group>/<version> <Kind> <plural> <short names>``, as ``apps/v1 Deployment deployments deploy``.
            columns: What is printed of its objects.
            more: The other attributes.
        """
        api_version, kind, plural, *short = names.split()
        group, _, version = api_version.rpartition("/")
        return cls(group, version, plural, kind, short=tuple(short), columns=columns, **more)

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> tuple[str, str]:
        """Group and plural: what errors, roles and the database name it by."""
        return self.group, self.plural

    @property
    def singular(self) -> str:
        """The singular name."""
        return self.kind.lower()
