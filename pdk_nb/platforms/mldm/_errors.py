"""Errors of Pachyderm's client as errors of the lab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from pdk_shared.errors import NoAnswer, NotFound, PdkError, ServiceUnreachable

ADDRESS_FIX = "Compare mldm_host and mldm_port in pdk-config, and pac_token in pipeline-secret, with the cluster."
DATABASE_FIX = (
    "Pachyderm answers, but its database doesn't, perhaps because it restarts. Try again in a moment; kubectl get pods "
    "in Pachyderm's namespace shows what restarts."
)
# The server isn't there, or went away during the call.
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
UNREACHABLE = (*AWAY, grpc.StatusCode.UNAUTHENTICATED)
# pachd passes on what its connection to the database says, with status UNKNOWN: it has the next one in a moment.
AWAY_TEXTS = ("connection reset by peer", "connection refused", "driver: bad connection")
# Some calls answer with status UNKNOWN for what does not exist; only the text shows it.
MISSING_TEXTS = ("not found", "does not contain")


@contextmanager
def api_errors(
    where: str,
    refusal: str = "",
    kind: type[PdkError] | None = None,
    fix: str = "",
    missing: re.Pattern[str] | None = None,
) -> Iterator[None]:
    """Raise an error of the lab in place of one of the client.

    Args:
        where: The object or address that is asked for.
        refusal: What a refusal of the server means here.
        kind: The error for a refusal. Without it, what is missing raises :class:`NotFound`.
        fix: What to do after a refusal.
        missing: Further texts of the server that mean that there is no such thing.

    Raises:
        ServiceUnreachable: Pachyderm does not answer, or refuses the token.
        NotFound: There is no such thing, and no ``kind`` is given.
    """
    try:
        yield
    except (grpc.RpcError, ConnectionError) as raised:
        # The client hides what the server says about a file behind a ConnectionError of its own.
        hidden = raised.__cause__ or raised.__context__
        error = hidden if isinstance(raised, ConnectionError) and isinstance(hidden, grpc.RpcError) else raised
        text = reason(error)
        code = error.code() if isinstance(error, grpc.RpcError) and callable(getattr(error, "code", None)) else None
        away = code in AWAY or isinstance(error, ConnectionError) or any(part in text for part in AWAY_TEXTS)
        if kind is not None and code not in UNREACHABLE and not away:
            raise kind(f"{refusal}: {text}", where=where, fix=fix) from error
        if (
            code == grpc.StatusCode.NOT_FOUND
            or any(part in text for part in MISSING_TEXTS)
            or (missing is not None and missing.search(text))
        ):
            raise NotFound(f"Pachyderm doesn't have it: {text}", where=where) from error
        raise (NoAnswer if away else ServiceUnreachable)(
            f"Pachyderm doesn't answer as it should: {text}",
            where=where,
            fix=DATABASE_FIX if away and code == grpc.StatusCode.UNKNOWN else ADDRESS_FIX,
        ) from error


def reason(error: Exception) -> str:
    """The server's own text of an error."""
    details = getattr(error, "details", None)
    return str(details() if callable(details) else error)
