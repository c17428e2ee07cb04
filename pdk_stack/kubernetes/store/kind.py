"""A kind's definition: names, scope, writers, and printed columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pdk_stack.kubernetes.store.columns import Column


@dataclass(frozen=True)
class Kind:
    """A kind of object that the API serves.

    Attributes:
        custom: Whether a CustomResourceDefinition defines it: generation, strict updates, no strategic merge.
        status: Whether ``status`` is a subresource.
        written_by: The component that writes these objects if users can't, and why.
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
    def api_version(self) -> str:
        """``group/version``, or only the version in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> tuple[str, str]:
        """Group and plural, which identify the kind in errors, roles, and the database."""
        return self.group, self.plural

    @property
    def singular(self) -> str:
        """The singular name."""
        return self.kind.lower()
