"""The pipelines' images: their registry, and the cluster's status of pulling them.

The nodes pull the images, not this machine. The doctor asks the registry first. If this machine can't reach it, the
cluster's state counts: pods that wait for an image, pipelines that crash, and jobs that have run.
"""

from __future__ import annotations

from pdk_nb.doctor.context import Context
from pdk_nb.doctor.finding import Finding, Findings
from pdk_nb.doctor.nodes import run_processes
from pdk_nb.doctor.registry import PLATFORM, CannotAsk, Image, Registry, is_local
from pdk_nb.platforms import mldm
from pdk_nb.platforms.serving.pods import CANNOT_PULL
from pdk_nb.platforms.workers import worker_pods
from pdk_shared.errors import PdkError

# The registry in the example's description, a reserved name (RFC 2606).
PLACEHOLDER = "registry.example.com"
PROBING = "pdk-nb doctor --only images --probe"
NOTHING_TO_PULL = "The nodes run the pipelines' code as local processes: there is no image to pull."
WHY = "If a node can't pull its image, a pipeline never starts, and Pachyderm shows few details."


def examine(context: Context) -> Findings:
    """All findings of this group."""
    images = context.stage_images
    registries: dict[str, Registry | str] = {}
    for host in dict.fromkeys(Image.parse(name).registry for _, name in images.values()):
        if host == PLACEHOLDER:
            registries[host] = "this registry doesn't exist"
            what = "pdk-config names no registry; nodes would use the example's placeholder."
            fix = f"{context.set_values(registry_uri='.../team')}; pdk-nb images build && pdk-nb images push"
            yield Finding("images.registry", "broken", what, host, WHY, fix)
            continue
        registry = Registry(host, context.registries)
        try:
            how = registry.check()
        except CannotAsk as error:
            registries[host] = str(error)
            yield _unreachable(context, host, str(error), [name for _, name in images.values()])
            continue
        registries[host] = registry
        if registry.plain and not is_local(host) and not context.registries.insecure and not context.may_probe:
            what = f"The registry answers ({how}), but only over plain HTTP."
            why = "Container runtimes refuse such a registry unless each node's configuration allows it."
            yield Finding("images.registry", "warning", what, host, why, f"{PROBING}  lets a node pull from it")
            continue
        yield Finding("images.registry", "ok", f"The registry answers ({how}{', plain HTTP' * registry.plain}).", host)
    for stage, (pipeline, name) in images.items():
        yield _judge(context, f"images.{stage}", pipeline, name, registries[Image.parse(name).registry])


def _unreachable(context: Context, host: str, reason: str, images: list[str]) -> Finding:
    """A registry that this machine can't ask: if pods may be started, a node tells whether it can."""
    if context.may_probe and any(_pulled(context, name) == "" for name in images if Image.parse(name).registry == host):
        return Finding("images.registry", "ok", f"The nodes pull from it; this machine can't ask it: {reason}.", host)
    if run_processes(context):
        return Finding("images.registry", "ok", NOTHING_TO_PULL, host)
    what = f"This machine can't ask the registry: {reason}."
    return Finding("images.registry", "unknown", what, host, WHY, f"{PROBING}  lets a node pull from it")


def _pulled(context: Context, image: str) -> str | None:
    """Why no node can pull an image; empty when one has; None if no pod may be started, or none can."""
    if not context.may_probe:
        return None
    try:
        return context.probe.pull(image)
    except PdkError:
        return None


def _judge(context: Context, id: str, pipeline: str, name: str, registry: Registry | str) -> Finding:
    image = Image.parse(name)
    fix = f"pdk-nb images build && pdk-nb images push, then {_update(context)}"
    stuck = _stuck_pods(context, pipeline)
    if stuck:
        return Finding(id, "broken", f"The cluster can't pull it: {stuck}", name, WHY, fix)
    refused = _pulled(context, name)
    if refused:
        return Finding(id, "broken", f"A node can't pull it: {refused}", name, WHY, fix)
    if refused is not None:
        return Finding(id, "ok", "A node has pulled it just now.", name)
    reason = registry if isinstance(registry, str) else ""
    if isinstance(registry, Registry):
        try:
            found = registry.manifest(image)
        except CannotAsk as error:
            reason = str(error)
        else:
            if found is None:
                return Finding(id, "broken", "The registry doesn't have this image.", name, WHY, fix)
            if "/".join(PLATFORM) not in found.platforms:
                what = f"It's built for {', '.join(found.platforms)}; nodes are {'/'.join(PLATFORM)}."
                return Finding(id, "broken", what, name, WHY, fix)
            return Finding(id, "ok", f"The registry has it ({found.digest[:19] or 'no digest'}).", name)
    state, what = _experience(context, pipeline)
    if state:
        return Finding(
            id, "ok" if state == "ok" else "broken", what, name, "" if state == "ok" else WHY, fix * (state != "ok")
        )
    if run_processes(context):
        return Finding(id, "ok", NOTHING_TO_PULL, name)
    what = f"No pod has pulled it yet, and this machine can't ask the registry: {reason}."
    return Finding(id, "unknown", what, name, WHY, f"{PROBING}  lets a node pull it")


def _update(context: Context) -> str:
    who = f" --participant {context.names.participant}" if context.names.participant else ""
    return f"pdk-nb run --only 01{who}"


def _stuck_pods(context: Context, pipeline: str) -> str:
    """Why a pod of the pipeline waits for its image; empty when none does."""
    pods = worker_pods(context.core, context.settings.mldm_namespace, context.names.project, pipeline)
    troubles = (each for pod in pods for each in pod.troubles if each.reason in CANNOT_PULL)
    return next((f"{each.reason}: {each.message or each.pod}" for each in troubles), "")


def _experience(context: Context, pipeline: str) -> tuple[str, str]:
    """Pachyderm's status of the pipeline: ``ok`` or ``broken`` with a sentence; empty when unknown."""
    try:
        client, project = context.pachyderm, context.names.project
        state, reason = mldm.pipelines(client, project).get(pipeline, ("", ""))
        if "image" in reason and state in ("CRASHING", "FAILURE"):
            return "broken", f"Pachyderm can't start it: {reason}"
        id = mldm.last_success(client, project, pipeline) if state else ""
        if id:
            return "ok", f"It has run: job {id} of {pipeline} succeeded."
    except PdkError:
        return "", ""
    return "", ""
