"""What has to hold before anything is changed: programs, memory, disk, ports, and rights, each with what to do."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdk_nb.cluster_install.objects import Api, Refused
from pdk_nb.cluster_install.tools import HOW_TO_GET, InstallError, Tool, find_tool, parse_version
from pdk_nb.cluster_install.versions import Versions

__all__ = ["Check", "cluster", "docker", "ports", "program", "refuse"]

GIB = 1024**3
# The three platforms hold 3 GiB, a trial and two predictors the rest.
MEMORY_GIB, GOOD_MEMORY_GIB = 7.0, 11.0
# Images of the node, the platforms, and the lab, and what is unpacked of them.
DISK_GIB, GOOD_DISK_GIB = 25.0, 40.0
GOOD_CPUS = 4
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        state: ``ok``, ``warning``, or ``broken``.
        what: What was seen.
        fix: What to do; empty when all is well.
    """

    state: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.state:<8} {self.what}" + (f"\n{'':<9}fix: {self.fix}" if self.fix else "")


def refuse(checks: Iterable[Check], *, force: bool | None = None) -> None:
    """Stop if anything is broken.

    Args:
        checks: What was looked at.
        force: Whether to continue all the same; None when there is no way to.

    Raises:
        InstallError: Something is broken; the message has all of it.
    """
    broken = [each for each in checks if each.state == "broken"]
    if broken and not force:
        raise InstallError(
            "\n".join(["Nothing was changed, because something is missing:", *map(str, broken)]),
            where="preflight",
            fix="Do what the lines above say" + ("." if force is None else ", or try it anyway: --force"),
        )


def program(name: str, versions: Versions, *, required: bool = True) -> tuple[Tool | None, Check]:
    """A program that the installer needs.

    Args:
        name: Its name.
        versions: The oldest versions that work.
        required: Whether nothing works without it.
    """
    tool, oldest = find_tool(name), versions.tools[name]
    bad = "broken" if required else "warning"
    if tool is None:
        return None, Check(bad, f"{name} isn't on the PATH.", HOW_TO_GET[name])
    if any(tool.version) and tool.version < parse_version(oldest):
        return tool, Check(bad, f"{name} is {tool.version_text}; {oldest} or newer is needed.", HOW_TO_GET[name])
    return tool, Check("ok", f"{name} {tool.version_text} ({tool.program})")


def docker(tool: Tool) -> list[Check]:
    """Docker's daemon, its memory, CPUs, and disk."""
    done = tool.ask("info", "--format", "{{json .}}")
    try:
        info = json.loads(done.stdout) if done.returncode == 0 else {}
    except ValueError:
        info = {}
    if not info.get("ServerVersion"):
        said = (done.stderr.strip() or "no answer").splitlines()[-1]
        return [Check("broken", f"Docker's daemon doesn't answer: {said}", "Start it (sudo systemctl start docker, "
                      "or Docker Desktop), and join the group docker.")]  # fmt: skip
    return [
        Check("ok", f"Docker's daemon {info['ServerVersion']} answers."),
        _amount("memory", info.get("MemTotal", 0) / GIB, MEMORY_GIB, GOOD_MEMORY_GIB, "of Docker's machine")
        if info.get("MemTotal")
        else Check("warning", "Docker doesn't say how much memory it has."),
        _cpus(int(info.get("NCPU") or 0)),
        _disk(str(info.get("DockerRootDir") or "")),
    ]


def _amount(what: str, has: float, least: float, good: float, where: str) -> Check:
    text = f"{has:.0f} GiB of {what} {where}"
    desktop = "Docker Desktop: Settings, Resources. On Linux: free some, or use another machine."
    if has < least:
        return Check("broken", f"{text}; {least:.0f} GiB is the least.", desktop)
    if has < good:
        return Check("warning", f"{text}: enough for one walkthrough; {good:.0f} GiB is comfortable.")
    return Check("ok", text)


def _cpus(count: int) -> Check:
    if count < 2:
        return Check("broken", f"{count} CPU; the platforms need 2.", "Docker Desktop: Settings, Resources.")
    if count < GOOD_CPUS:
        return Check("warning", f"{count} CPUs: slow, but enough; {GOOD_CPUS} are comfortable.")
    return Check("ok", f"{count} CPUs")


def _disk(root: str) -> Check:
    try:
        free = shutil.disk_usage(root).free / GIB
    except OSError:
        return Check("warning", f"This machine can't see Docker's disk ({root or 'no folder'}); it needs "
                     f"{DISK_GIB:.0f} GiB.")  # fmt: skip
    return _amount("disk", free, DISK_GIB, GOOD_DISK_GIB, f"free in {root}")


def ports(wanted: Mapping[str, int]) -> list[Check]:
    """Ports of the loopback address that have to be free, by what they are for."""
    taken = []
    for name, port in wanted.items():
        with contextlib.closing(socket.socket()) as probe:
            # As Docker binds it: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                fix = f"Stop what uses it (ss -ltnp 'sport = :{port}'), or use another port: --port {name}=PORT"
                taken.append(Check("broken", f"Port {port} ({name}) can't be used: {error.strerror}.", fix))
    return taken or [Check("ok", f"ports {', '.join(map(str, wanted.values()))} are free on 127.0.0.1")]


def cluster(api: Api, versions: Versions, single_node: Iterable[str], needs_volumes: bool) -> list[Check]:
    """An existing cluster: its version, nodes, memory, volumes, and this user's rights.

    Args:
        api: The cluster.
        versions: The range of versions that works.
        single_node: Platforms to install that keep data in a folder of the node.
        needs_volumes: Whether a platform to install claims volumes.
    """
    checks = [_kubernetes(api, versions), _rights(api)]
    nodes = [each for each in api.list("v1", "Node") if _takes_pods(each)]
    memory = sum(_bytes(each["status"]["allocatable"].get("memory", "0")) for each in nodes) / GIB
    checks.append(_amount("memory", memory, MEMORY_GIB - 1, GOOD_MEMORY_GIB - 1, f"on {len(nodes)} node(s)"))
    names = list(single_node)
    if len(nodes) > 1 and names:
        checks.append(
            Check(
                "broken",
                f"{len(nodes)} nodes, but our values keep data of {' and '.join(names)} in a folder of one node.",
                f"Use storage that all nodes can reach: --values {names[0]}=FILE  (docs/cluster/one-command.md)",
            )
        )
    if needs_volumes:
        checks.append(_volumes(api))
    return checks


def _kubernetes(api: Api, versions: Versions) -> Check:
    said = str(api.request("GET", "/version").get("gitVersion", ""))
    oldest, newest = versions.kubernetes["oldest"], versions.kubernetes["newest"]
    found = parse_version(said)[:2]
    if found < parse_version(oldest)[:2]:
        return Check("broken", f"Kubernetes {said}; KServe needs {oldest} or newer.", "Update the cluster.")
    if found > parse_version(newest)[:2]:
        return Check("warning", f"Kubernetes {said}: newer than the tested versions ({oldest} to {newest}).")
    return Check("ok", f"Kubernetes {said} at {api.server}")


def _rights(api: Api) -> Check:
    """Whether this user may do everything: the charts create CRDs, cluster roles, and webhooks."""
    ask = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"group": "*", "resource": "*", "verb": "*"}},
    }
    try:
        answer = api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", ask)
        allowed = bool(answer["status"].get("allowed"))
    except (Refused, KeyError, TypeError):
        allowed = False
    if allowed:
        return Check("ok", "this user can administer the cluster")
    return Check(
        "broken",
        "This user isn't the cluster's administrator; the charts create CRDs, cluster roles, and webhooks.",
        "Ask for the ClusterRole cluster-admin, or ask an administrator to run this command.",
    )


def _takes_pods(node: dict[str, Any]) -> bool:
    taints = node.get("spec", {}).get("taints") or []
    return not node.get("spec", {}).get("unschedulable") and not any(
        each.get("effect") in ("NoSchedule", "NoExecute") for each in taints
    )


def _bytes(quantity: str) -> float:
    from kubernetes.utils import parse_quantity

    try:
        return float(parse_quantity(quantity))
    except ValueError:
        return 0.0


def _volumes(api: Api) -> Check:
    classes = api.list("storage.k8s.io/v1", "StorageClass")
    default = [
        each["metadata"]["name"]
        for each in classes
        if (each["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"
    ]
    if default:
        return Check("ok", f"volumes come from StorageClass {default[0]}")
    if classes:
        name = classes[0]["metadata"]["name"]
        annotation = f'{{"metadata": {{"annotations": {{"{DEFAULT_CLASS}": "true"}}}}}}'
        fix = f"kubectl patch storageclass {name} -p '{annotation}'"
        return Check("broken", "No StorageClass is the default one, so the databases get no volumes.", fix)
    return Check(
        "broken",
        "The cluster has no StorageClass, so the databases get no volumes.",
        "Install one, for example https://github.com/rancher/local-path-provisioner, and make it the default.",
    )


def folder(path: Path) -> Check:
    """Whether a folder for logs and the kubeconfig can be written."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        return Check("broken", f"Can't write to {path}: {error.strerror}.", "Set XDG_STATE_HOME to another folder.")
    return Check("ok", f"logs go to {path}")
