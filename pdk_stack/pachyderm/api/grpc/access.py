"""Authentication and authorization of gRPC calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.types import RepoKey
from pdk_stack.pachyderm.core.pps.pipelines import pipeline_by_pk
from pdk_stack.pachyderm.core.tokens import ROOT, Tokens
from pdk_stack.pachyderm.errors import NotAuthorized, NotFound, Unauthenticated

AUTH_OFF = "the auth service is not activated"

# Clients make these calls before they have a token.
OPEN = frozenset(
    {
        "/admin_v2.API/InspectCluster",
        "/versionpb_v2.API/GetVersion",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
    }
)
# Calls that a pipeline's code may make: reads, and file writes to its own output.
_READS = ("Inspect", "List", "Get", "Walk", "Glob", "Diff", "Subscribe", "Find", "WhoAmI")
_WRITES = frozenset(
    {
        "ModifyFile",
        "StartCommit",
        "FinishCommit",
        "ClearCommit",
        "CreateFileSet",
        "RenewFileSet",
        "ComposeFileSet",
        "ShardFileSet",
        "AddFileSet",
    }
)
_SERVICES = ("/pfs_v2.API/", "/pps_v2.API/", "/auth_v2.API/", "/versionpb_v2.API/", "/admin_v2.API/")


@dataclass(frozen=True)
class Identity:
    """The caller.

    Attributes:
        name: The name that ``WhoAmI`` returns.
        output: A pipeline's output repo; None for the root user, who may do anything.
    """

    name: str = ROOT
    output: RepoKey | None = None

    def may_call(self, path: str) -> bool:
        """Whether the caller may make a call at all."""
        if self.output is None:
            return True
        name = path.rpartition("/")[2]
        return path.startswith(_SERVICES) and (name.startswith(_READS) or name in _WRITES)

    def may_write(self, repo: RepoKey) -> None:
        """Refuse a write to a repo that the caller may not change.

        Raises:
            NotAuthorized: The repo isn't the pipeline's output.
        """
        if self.output is not None and repo != self.output:
            raise NotAuthorized(
                f"{self.name} is not authorized to perform this operation - "
                f"needs permissions [REPO_WRITE] on REPO {repo}"
            )


class AccessControl:
    """Checks tokens.

    Args:
        tokens: The token verifier.
        engine: The store, to look up pipelines.
    """

    def __init__(self, tokens: Tokens, engine: Engine | None = None) -> None:
        self._tokens = tokens
        self._engine = engine

    @property
    def on(self) -> bool:
        """Whether calls need a token."""
        return self._tokens.on

    def identify(self, token: str) -> Identity | None:
        """Return the owner of a token; None for an unknown token or a deleted pipeline's."""
        if self._tokens.is_root(token):
            return Identity()
        pk = self._tokens.pipeline(token)
        if pk is None or self._engine is None:
            return None
        with self._engine.read() as connection:
            try:
                found = pipeline_by_pk(connection, pk)
            except NotFound:
                return None
        return Identity(f"pipeline:{found}", found.output.repo)

    def is_root(self, token: str) -> bool:
        """Whether this is the root user's token."""
        return self._tokens.is_root(token)

    def check(self, path: str, metadata: Mapping[str, str | bytes]) -> Identity:
        """Return the identity of a caller.

        Args:
            path: The gRPC path of the call.
            metadata: The call's metadata.

        Raises:
            Unauthenticated: The token is missing or invalid.
            NotAuthorized: The token doesn't permit this call.
        """
        if not self.on or path in OPEN:
            return Identity()
        token = metadata.get("authn-token", "")
        if isinstance(token, bytes):
            token = token.decode(errors="replace")
        if not token:
            raise Unauthenticated("no authentication token (try logging in)")
        found = self.identify(token)
        if found is None:
            raise Unauthenticated("provided auth token is corrupted or has expired (try logging in again)")
        if not found.may_call(path):
            raise NotAuthorized(f"{found.name} is not authorized to perform this operation: {path}")
        return found
