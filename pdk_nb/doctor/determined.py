"""Determined: connection, login, workspace, and slots for training."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pdk_nb.counting import counted
from pdk_nb.doctor.context import TIMEOUT_S, Context
from pdk_nb.doctor.finding import Finding, Findings
from pdk_nb.platforms import mlde
from pdk_shared.errors import PdkError, ServiceUnreachable


def examine(context: Context) -> Findings:
    """All findings of this group."""
    known = context.settings
    known.require("mlde_host", "mlde_port")
    try:
        version = master_info(context, known.master_url)["version"]
    except (PdkError, KeyError) as error:
        what = error.what if isinstance(error, PdkError) else "The server there isn't Determined."
        found = context.discovery.determined()
        fix = "kubectl get services --all-namespaces | grep determined-master"
        if found and (found.host, found.port) != (known.mlde_host, known.mlde_port):
            fix = context.set_values(mlde_host=found.host, mlde_port=found.port)
        yield Finding("determined.reach", "broken", what, known.master_url, "Experiments run there.", fix)
        return
    yield Finding("determined.reach", "ok", f"Determined {version} answers.", known.master_url)
    yield from _pipelines_address(context)
    secret = f"{known.mldm_namespace}/{known.mldm_pipeline_secret}"
    try:
        mlde.check_login(known.master_url, known.det_user, known.det_password.reveal())
        client = context.determined
    except PdkError as error:
        yield Finding(
            "determined.login",
            "broken",
            error.what,
            f"det_user and det_password of {secret}",
            "The train stage logs in with these to start experiments; newer masters refuse an empty password.",
            f"det -m {known.master_url} user login {known.det_user or 'admin'}  tries a password; then: "
            + context.set_secret(det_password="..."),
        )
        return
    yield Finding("determined.login", "ok", f"{known.det_user} is logged in.", known.master_url)
    yield from _workspace(context, client)
    yield from _pool(context, client)


def master_info(context: Context, address: str) -> dict[str, Any]:
    """A master's response without a login.

    Args:
        context: The cluster.
        address: URL, or ``host:port``.

    Raises:
        ServiceUnreachable: The master doesn't respond, or another server does.
    """
    import requests

    url = address if "//" in address else f"http://{address}"
    try:
        parts = urlsplit(url)
        context.reach(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        answer = requests.get(f"{url.rstrip('/')}/info", timeout=TIMEOUT_S)
        answer.raise_for_status()
        return dict(answer.json())
    except (requests.RequestException, ValueError) as error:
        raise ServiceUnreachable(f"Determined doesn't answer: {error}", where=url) from error


def _pipelines_address(context: Context) -> Findings:
    """Pipelines use ``det_master`` of their secret, notebooks ``pdk-config``; both must name the same master."""
    known = context.settings
    theirs, ours = known.det_master, f"{known.mlde_host}:{known.mlde_port}"
    place = f"det_master of {known.mldm_namespace}/{known.mldm_pipeline_secret}"
    why = "The train stage starts its experiment at one address; the notebooks look for it at the other."
    fix = context.set_secret(det_master=ours)
    if theirs.split("//")[-1].rstrip("/") in (ours, known.master_url.split("//")[-1].rstrip("/")):
        yield Finding("determined.pipelines", "ok", "Pipelines use the same address.", theirs)
        return
    try:
        there = str(master_info(context, theirs).get("cluster_id"))
    except PdkError as error:
        answer = context.asked("master")
        if answer is None:
            what = f"Pipelines use another address, which this machine can't reach: {error.what}"
            ask = "pdk-nb doctor --only determined --probe"
            yield Finding("determined.pipelines", "unknown", what, f"{place}: {theirs}", why, ask)
            return
        if answer.error:
            what = f"A pod of the cluster can't reach the pipelines' address: {answer.error}"
            yield Finding("determined.pipelines", "broken", what, f"{place}: {theirs}", why, fix)
            return
        there = answer.value
    same = there == str(master_info(context, known.master_url).get("cluster_id"))
    if same:
        yield Finding("determined.pipelines", "ok", "Pipelines reach the same Determined at another address.", theirs)
    else:
        what = "Pipelines and notebooks use different Determined masters."
        yield Finding("determined.pipelines", "broken", what, f"{place}: {theirs}", why, fix)


def _workspace(context: Context, client: Any) -> Findings:
    names = context.names
    try:
        mlde.check_project(client, names.workspace, names.experiment_project)
    except PdkError as error:
        what = f"{error.what.removesuffix('.')} yet; notebook 01 creates it."
        yield Finding("determined.workspace", "ok", what, error.where)
        return
    yield Finding("determined.workspace", "ok", f"{names.workspace}/{names.experiment_project} exists.")


def _pool(context: Context, client: Any) -> Findings:
    wanted = context.settings.resource_pool
    available = mlde.pools(client)
    why = "Determined refuses an experiment for an unknown pool. Without a slot, an experiment waits forever."
    try:
        chosen = mlde.choose_pool(available, wanted)
    except PdkError as error:
        usable = next((pool.name for pool in available), "...")
        fix = context.set_values(resource_pool=usable) if wanted else "det agent list"
        yield Finding("determined.pool", "broken", error.what, "resource_pool of pdk-config", why, fix)
        return
    listed = ", ".join(f"{pool.name} ({pool.slots} slots)" for pool in available)
    yield Finding("determined.pool", "ok", f"Training uses pool {chosen.name}.", listed)
    kind = "GPU" if chosen.has_gpu else "CPU"
    cpu = 0.0 if chosen.has_gpu else mlde.slot_cpu(client)
    if chosen.slots and 0 < cpu < 1:
        what = f"Pool {chosen.name} has {counted(chosen.slots, f'{kind} slot')} of {cpu:g} CPU."
        slow = "A slot's request is also its limit: a trial computes with this part of a CPU, however idle the node is."
        ask = "Set slotResourceRequests.cpu to 1 or more in the Helm values of Determined."
        yield Finding("determined.slots", "warning", what, "", slow, ask)
    elif chosen.slots:
        size = f" of {cpu:g} CPU" if cpu else ""
        what = f"Pool {chosen.name} has {counted(chosen.slots, f'{kind} slot')}{size}."
        yield Finding("determined.slots", "ok", what)
    elif chosen.on_demand:
        what = f"Pool {chosen.name} has no agent now; it starts agents on demand."
        yield Finding("determined.slots", "warning", what, "", "The first experiment waits for a machine.")
    else:
        fix = f"det agent list; det slot list; det agent enable --all; or {context.set_values(resource_pool='...')}"
        yield Finding("determined.slots", "broken", f"Pool {chosen.name} has no slots.", "", why, fix)
