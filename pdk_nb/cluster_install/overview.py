"""What a cluster has: each platform with its version, its workloads, and whether it answers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from pdk_nb.cluster_install.helm import Helm
from pdk_nb.cluster_install.objects import Api
from pdk_nb.cluster_install.platforms import ORDER, TITLES, find
from pdk_nb.cluster_install.readiness import Workload, not_ready
from pdk_nb.cluster_install.record import Record
from pdk_nb.settings import Settings, load
from pdk_shared.errors import PdkError

__all__ = ["Row", "overview"]

TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Row:
    """One platform.

    Attributes:
        name: Its name for people.
        state: ``installed``, ``found``, or ``absent``.
        version: Version of its chart or manifests; empty when unknown.
        ready: Workloads that are ready, of how many, e.g. ``3/3``; empty when it was found.
        answers: What its address answers; empty when it has none.
    """

    name: str
    state: str
    version: str = ""
    ready: str = ""
    answers: str = ""

    @property
    def complete(self) -> bool:
        """Whether it is there, and all of its workloads are ready.

        A KServe that was there before may have its certificate and its ingress from elsewhere.
        """
        have, _, wanted = self.ready.partition("/")
        helper = self.name in (TITLES["cert-manager"], TITLES["ingress"])
        return have == wanted and (self.state != "absent" or helper)

    def __str__(self) -> str:
        return f"{self.name:<14}{self.state:<11}{self.version:<26}{self.ready:<7}{self.answers}".rstrip()


def overview(api: Api, helm: Helm, record: Record, kubeconfig: str) -> list[Row]:
    """The state of each platform.

    Args:
        api: The cluster.
        helm: Helm on it.
        record: What was installed.
        kubeconfig: The cluster, for the addresses in ``pdk-config``.
    """
    try:
        settings: Settings | None = load(kubeconfig or None)
    except PdkError:
        settings = None
    rows = []
    for name in ORDER:
        entry = record.platforms.get(name)
        answers = _ANSWERS[name](settings) if name in _ANSWERS and settings is not None else ""
        if entry is None or entry.state == "found":
            where = find(api, name, record.serving or "raw")
            rows.append(Row(TITLES[name], "found" if where else "absent", where, "", answers if where else ""))
            continue
        workloads = [
            Workload.of(each)
            for key in entry.releases
            for each in helm.workloads(key.partition("/")[2], key.partition("/")[0])
        ]
        workloads += [
            Workload(each["kind"], each["namespace"], each["name"])
            for each in entry.objects
            if each["kind"] == "Deployment"
        ]
        ready = len(workloads) - len(not_ready(api, workloads))
        version = entry.version or "not complete"
        rows.append(Row(TITLES[name], "installed", version, f"{ready}/{len(workloads)}", answers))
    return rows


def _tcp(host: str, port: int | None) -> str:
    if not host or not port:
        return "no address in pdk-config"
    try:
        socket.create_connection((host, port), TIMEOUT_S).close()
    except OSError as error:
        return f"{host}:{port} doesn't answer: {error.strerror or error}"
    return f"{host}:{port} answers"


def _http(host: str, port: int | None, path: str, good: tuple[int, ...]) -> str:
    import requests

    if not host or not port:
        return "no address in pdk-config"
    url = f"http://{host}:{port}{path}"
    try:
        status = requests.get(url, timeout=TIMEOUT_S, allow_redirects=False).status_code
    except requests.RequestException as error:
        return f"{url} doesn't answer: {type(error).__name__}"
    return f"{url} answers" + ("" if status in good else f" {status}")


_ANSWERS: dict[str, Callable[[Settings], str]] = {
    "pachyderm": lambda known: _tcp(known.mldm_host, known.mldm_port),
    "determined": lambda known: _http(known.mlde_host, known.mlde_port, "/info", (200,)),
    # An ingress answers 404 to a host that it doesn't know.
    "ingress": lambda known: _http(known.kserve_ingress_host, known.kserve_ingress_port, "/", (200, 404)),
}
