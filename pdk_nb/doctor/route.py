"""The route from trials to Pachyderm: a trial fetches its pictures from the machine where Determined runs it."""

from __future__ import annotations

import ipaddress
from typing import Any

from pdk_nb.doctor.context import Context
from pdk_nb.doctor.finding import Finding, Findings
from pdk_nb.platforms import mlde
from pdk_shared.errors import PdkError

WHY = "The worker sees only file names; the trial connects to Pachyderm and reads the commit."


def examine(context: Context) -> Findings:
    """All findings of this group."""
    known = context.settings
    host, port = known.pachd_lb_service_host, known.pachd_lb_service_port
    secret = f"pachd_lb_service_host and _port of {known.mldm_namespace}/{known.mldm_pipeline_secret}"
    found = context.discovery.pachyderm()
    right = (found.host, found.port) if found else (known.mldm_host or "...", known.mldm_port or "...")
    fix = context.set_secret(pachd_lb_service_host=right[0], pachd_lb_service_port=right[1])
    if not host or not port:
        what = (
            "The address of Pachyderm for trials isn't set; a worker's own variables are valid only inside its cluster."
        )
        yield Finding("route.trials", "broken", what, secret, WHY, fix)
        return
    where = f"{host}:{port}"
    if is_loopback(host) and not is_loopback(known.mlde_host):
        what = "Trials would look for Pachyderm on their own machine."
        yield Finding("route.trials", "broken", what, where, WHY, fix)
        return
    proof = _proof(context, host, str(port))
    if proof:
        yield Finding("route.trials", "ok", proof, where)
        return
    answer = context.asked("route")
    if answer is not None and not answer.error:
        yield Finding("route.trials", "ok", "A pod of the cluster reaches it.", where)
        return
    if answer is not None:
        yield Finding("route.trials", "broken", f"A pod of the cluster can't reach it: {answer.error}", where, WHY, fix)
        return
    try:
        context.reach(host, port)
    except PdkError as error:
        ask = "pdk-nb doctor --only route --probe"
        if found and (found.host, found.port) == (host, port):
            # The cluster confirms this address, with a name that's valid inside the cluster.
            what = f"{found.source} has this address; this machine can't check whether trials reach it."
            yield Finding("route.trials", "unknown", what, where, WHY, ask)
            return
        yield Finding(
            "route.trials", "broken", f"{error.what} No Service of the cluster has this address.", where, WHY, fix
        )
        return
    ask = "pdk-nb doctor --only route --probe"
    if is_loopback(host):
        what = "Pachyderm answers there; Determined runs on this machine, too."
        yield Finding("route.trials", "ok", what, where)
        return
    what = "Pachyderm answers there from this machine; no trial has used the address yet."
    yield Finding("route.trials", "unknown", what, where, WHY, ask)


def is_loopback(host: str) -> bool:
    """Whether an address refers to the machine that uses it."""
    if host in ("localhost", "0.0.0.0"):  # noqa: S104  compared, not bound
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _proof(context: Context, host: str, port: str) -> str:
    """Find a finished experiment that read a commit from this address, which proves the route."""
    try:
        client = context.determined
    except PdkError:
        return ""
    found = client.list_experiments(labels=[context.names.train_pipeline])
    for experiment in sorted(found, key=lambda each: each.id, reverse=True):
        block: dict[str, Any] = ((experiment.config or {}).get("data") or {}).get("pachyderm") or {}
        same = (str(block.get("host")), str(block.get("port"))) == (host, port)
        if same and mlde.progress(client, experiment.id).state == "COMPLETED":
            return f"Experiment {experiment.id} has read its commit from there."
    return ""
