"""Clocks: the ``Date`` headers of servers, compared with this machine's time."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from pdk_nb.doctor.context import TIMEOUT_S, Context
from pdk_nb.doctor.finding import Finding, Findings
from pdk_shared.errors import PdkError, ServiceUnreachable

# Amazon refuses signatures that are older than 15 minutes (RequestTimeTooSkewed); tokens and certificates can be
# stricter.
BROKEN_S, WARNING_S = 900.0, 60.0
PROBING = "pdk-nb doctor --only clock --probe  asks from a pod"
WHY = "S3 signatures, tokens, and certificates all contain times."


def examine(context: Context) -> Findings:
    """All findings of this group."""
    servers: tuple[tuple[str, Callable[[Context], str]], ...] = (
        ("kubernetes", _kubernetes),
        ("determined", _determined),
        ("storage", _storage),
    )
    for name, ask in servers:
        before = time.time()
        try:
            header = ask(context)
        except PdkError as error:
            answer = context.asked("clock") if name == "storage" else None
            if answer is not None and not answer.error:
                yield judge(name, answer.value, answer.now, "a node's")
                continue
            yield Finding(f"clock.{name}", "unknown", f"Can't get its time: {error.what}", error.where, WHY, PROBING)
            continue
        yield judge(name, header, (before + time.time()) / 2)


def judge(name: str, header: str, now: float, whose: str = "this machine's") -> Finding:
    """Compare a ``Date`` header with the time of the request.

    Args:
        name: The server.
        header: The header; empty when the server sent none.
        now: Seconds since the epoch.
        whose: The clock that gives ``now``.
    """
    ask = f"date -u  on this machine and on the one that runs {name}"
    try:
        # Headers have whole seconds, rounded down.
        skew = parsedate_to_datetime(header).timestamp() + 0.5 - now
    except (TypeError, ValueError):
        return Finding(f"clock.{name}", "unknown", "Its responses have no Date header.", "", WHY, ask)
    side = "ahead of" if skew > 0 else "behind"
    what = f"The clock of {name} is {abs(skew):.0f} s {side} {whose}."
    fix = "timedatectl set-ntp true  on the machine whose clock is wrong"
    if abs(skew) >= BROKEN_S:
        return Finding(f"clock.{name}", "broken", what, "", WHY, fix)
    if abs(skew) >= WARNING_S:
        return Finding(f"clock.{name}", "warning", what, "", WHY, fix)
    return Finding(f"clock.{name}", "ok", what)


def _kubernetes(context: Context) -> str:
    return context.kubernetes_version()[1]


def _determined(context: Context) -> str:
    return _http(context.settings.master_url + "/info")


def _storage(context: Context) -> str:
    """The model store, which checks signatures."""
    known = context.settings
    host = known.models_host
    if known.minio_url:
        return _http(known.minio_url)
    if host:
        region = f".{known.region}" if known.region else ""
        return _http("https://storage.googleapis.com/" if host == "gcp" else f"https://s3{region}.amazonaws.com/")
    endpoint = known.mldm_s3_endpoint
    return _http(endpoint if "//" in endpoint else f"http://{endpoint}/")


def _http(url: str) -> str:
    import requests

    try:
        return str(requests.get(url, timeout=TIMEOUT_S).headers.get("Date") or "")
    except requests.RequestException as error:
        raise ServiceUnreachable(f"no connection ({type(error).__name__})", where=url) from error
