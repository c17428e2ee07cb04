"""Install the platforms and configure the lab on a cluster; what is there already stays as it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdk_nb import doctor
from pdk_nb.cluster_install import knative, lab, loopback, platforms
from pdk_nb.cluster_install import record as records
from pdk_nb.cluster_install.helm import WEBHOOK_IS_STARTING, Charts, Helm, Release
from pdk_nb.cluster_install.local import Local, state_folder
from pdk_nb.cluster_install.objects import Api, reference
from pdk_nb.cluster_install.preflight import Check, cluster
from pdk_nb.cluster_install.readiness import Workload, not_ready, wait_ready
from pdk_nb.cluster_install.record import Entry
from pdk_nb.cluster_install.steps import Step, Steps
from pdk_nb.cluster_install.tools import InstallError, Tool
from pdk_nb.cluster_install.versions import Versions
from pdk_nb.container_images import Engine, RegistryAccess
from pdk_nb.platforms.waiting import wait
from pdk_shared.errors import PdkError, UsageError

__all__ = ["Installer", "Request"]

# KServe's first installation fails while its own webhook starts, or cert-manager's, which has to take its certificate.
WEBHOOK_S = 600.0
RETRY_S = 3.0
DEFAULT_INGRESS_CLASS = "traefik"


@dataclass(frozen=True)
class Request:
    """What to install, and how.

    Attributes:
        kubeconfig: The cluster.
        serving: KServe's mode; that of the first installation, or ``raw``, when empty.
        without: Platforms that are left out.
        charts: Folder with the charts; the projects' repositories when None.
        values: Files with further values, by chart.
        registry: Registry with its folder, for the images; no images are built when empty.
        access: How to reach it.
        trial_image: Image of Determined's tasks; built when empty and there is a registry.
        chosen: Values of ``pdk-config``.
        det_password: Password of ``admin`` in a Determined that was there before.
        probe: Whether the doctor may start pods.
        local: The cluster in Docker that it is; None for any other.
    """

    kubeconfig: str
    serving: str = ""
    without: frozenset[str] = frozenset()
    charts: Path | None = None
    values: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    registry: str = ""
    access: RegistryAccess = field(default_factory=RegistryAccess)
    trial_image: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    det_password: str = field(default="", repr=False)
    probe: bool = True
    local: Local | None = None


class Installer:
    """One installation on one cluster.

    Args:
        request: What to install.
        api: The cluster.
        helm: Helm.
        versions: What is pinned.
        checkout: The lab's checkout.

    Raises:
        UsageError: The cluster was installed in KServe's other mode, or a file of the request can't be used.
    """

    def __init__(self, request: Request, api: Api, helm: Tool, versions: Versions, checkout: Path) -> None:
        self._request, self._api, self._versions, self._checkout = request, api, versions, checkout
        self._helm = Helm(helm, request.kubeconfig)
        self._charts = Charts(versions.charts, request.charts)
        self.record = records.load(api)
        self.serving = request.serving or self.record.serving or "raw"
        if self.record.serving and self.serving != self.record.serving:
            raise UsageError(
                f"This cluster was installed with --serving {self.record.serving}; both modes of KServe use the "
                "same names for their objects, and a service stays in the mode in which it was created.",
                where=f"ConfigMap {records.NAMESPACE}/{records.NAME}",
                fix="pdk-nb cluster down, then install it again",
            )
        self.wanted = [name for name in platforms.ORDER if name not in request.without]
        self.builds_images = bool(request.registry) and "images" not in request.without
        self._values = {each: platforms.merged(self._files(each)) for each in self._releases(self.wanted)}

    def _releases(self, names: Sequence[str]) -> list[Release]:
        return [release for name in names for release in platforms.releases(name, self.serving)]

    def _files(self, release: Release) -> list[Path]:
        return [*self._versions.values(*release.values), *self._request.values.get(release.chart, ())]

    def checks(self) -> list[Check]:
        """What has to hold on the cluster before anything is changed; the charts are looked up, too.

        Raises:
            UsageError: The folder with charts lacks one.
        """
        new = [name for name in self.wanted if not self._found(name)]
        for release in self._releases(new):
            self._charts.arguments(release.chart)
        single = [
            name
            for name in new
            if any(
                platforms.uses_node_storage(name, self._values[each]) for each in platforms.releases(name, self.serving)
            )
        ]
        # Values of one's own may bring databases of one's own; Pachyderm's etcd always claims a volume.
        return cluster(self._api, self._versions, single, bool({"pachyderm", "determined"} & set(new)))

    def _found(self, name: str) -> str:
        """Where the cluster has a platform that this installer didn't make; empty when it doesn't."""
        return "" if self.record.ours(name) else platforms.find(self._api, name, self.serving)

    def install(self, steps: Steps, engine: Engine | None) -> doctor.Report | None:
        """Run all steps.

        Args:
            steps: Progress.
            engine: Builds the images; None when none are to be built.

        Returns:
            The doctor's report; None when the doctor was left out.

        Raises:
            InstallError: A step failed; what the steps before it did stays.
        """
        self.record.serving = self.serving
        trial_image = self._request.trial_image
        for name in self.wanted:
            if name == "determined" and self.builds_images and engine is not None and not trial_image:
                with steps.step("Image of the trials") as step:
                    trial_image = lab.trial_image(
                        self._checkout, engine, self._request.registry, self._request.access, step
                    )
            with steps.step(self._title(name)) as step:
                self._platform(name, trial_image, step)
        if self.builds_images and engine is not None:
            with steps.step("Images of the pipelines") as step:
                lab.stage_images(self._checkout, engine, self._request.registry, self._request.access, step)
        with steps.step("Configuration of the lab") as step:
            self._configure(step)
        if "doctor" in self._request.without:
            return None
        with steps.step("Doctor") as step:
            step.changed = False
            return lab.examine(
                self._request.kubeconfig, probe=self._request.probe, access=self._request.access, step=step
            )

    def _title(self, name: str) -> str:
        if name == "ingress":
            return "Ingress: Knative with Kourier" if self.serving == "serverless" else "Ingress: Traefik"
        return f"KServe ({self.serving})" if name == "kserve" else platforms.TITLES[name]

    def _platform(self, name: str, trial_image: str, step: Step) -> None:
        where = self._found(name)
        if where:
            step.changed = False
            step.say(f"found {where}; it stays as it is")
            self.record.platforms[name] = Entry("found", note=where)
            records.save(self._api, self.record)
            return
        entry = self.record.platforms.get(name)
        if entry is None or entry.state != "installed":
            entry = self.record.platforms[name] = Entry()
        step.changed = False
        if name == "ingress" and self.serving == "serverless":
            self._manifests(entry, step)
        else:
            self._charts_of(name, entry, trial_image, step)
        if self._request.local is not None:
            for target, service in loopback.services(self._versions, self.serving):
                if target == name:
                    self._own(entry, service)
                    step.changed |= self._api.apply(service)
        records.save(self._api, self.record)

    def _own(self, entry: Entry, thing: Mapping[str, Any]) -> None:
        """Note an object as ours before it is made, unless it is there already."""
        named = reference(dict(thing))
        if named not in entry.objects and self._api.get(*(named[k] for k in _PLACE)) is None:
            entry.objects.append(named)
            records.save(self._api, self.record)

    def _manifests(self, entry: Entry, step: Step) -> None:
        cache = state_folder() / "manifests"
        things = knative.objects(
            knative.manifests(self._versions, self._charts, cache), self._versions.values("knative")[0]
        )
        digest, workloads = knative.digest(things), knative.workloads(things)
        if entry.digest == digest and not not_ready(self._api, workloads):
            return
        step.changed = True

        def made(named: dict[str, str]) -> None:
            if named not in entry.objects:
                entry.objects.append(named)

        try:
            knative.apply_all(self._api, things, made=made)
        finally:
            records.save(self._api, self.record)
        wait_ready(self._api, workloads, progress=step.say)
        entry.digest, entry.version = digest, self._versions.manifests["knative"][0]

    def _charts_of(self, name: str, entry: Entry, trial_image: str, step: Step) -> None:
        releases = platforms.releases(name, self.serving)
        secret = self._computed(name, releases, trial_image)
        digest = self._digest(releases, secret)
        deployed = entry.digest == digest and all(self._helm.state(each) == "deployed" for each in releases)
        if deployed and not not_ready(self._api, self._workloads(releases)):
            return
        step.changed = True
        entry.version = self._charts.version(releases[-1].chart)
        for release in releases:
            if release.namespace != "default":
                meta = {"name": release.namespace}
                self._own(entry, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
            if release.key not in entry.releases:
                entry.releases.append(release.key)
                # Before Helm starts: what an interrupted run leaves is ours.
                records.save(self._api, self.record)
            if not deployed:
                self._upgrade(release, secret[release.key], step)
            wait_ready(self._api, self._workloads([release]), progress=step.say)
        entry.digest = digest

    def _computed(self, name: str, releases: Sequence[Release], trial_image: str) -> dict[str, dict[str, Any]]:
        needed = platforms.PASSWORDS if name in ("pachyderm", "determined") else ()
        secret = records.passwords(self._api, needed) if needed else {}
        ingress = self.record.platforms.get("ingress")
        found = ingress.note.removeprefix("IngressClass ") if ingress and ingress.state == "found" else ""
        found = found if self.serving == "raw" and found != DEFAULT_INGRESS_CLASS else ""
        return {each.key: platforms.computed(each, secret, trial_image, found) for each in releases}

    def _digest(self, releases: Sequence[Release], secret: Mapping[str, Mapping[str, Any]]) -> str:
        made_of = [
            [
                self._charts.fingerprint(each.chart),
                *(path.read_text() for path in self._files(each)),
                json.dumps(secret[each.key], sort_keys=True),
            ]
            for each in releases
        ]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()

    def _workloads(self, releases: Sequence[Release]) -> list[Workload]:
        return [
            Workload.of(each) for release in releases for each in self._helm.workloads(release.name, release.namespace)
        ]

    def _upgrade(self, release: Release, secret: Mapping[str, Any], step: Step) -> None:
        chart = self._charts.arguments(release.chart)
        ours = self._versions.values(*release.values)
        own = list(self._request.values.get(release.chart, ()))
        last: list[InstallError] = []

        def attempt() -> bool:
            try:
                self._helm.upgrade(release, chart, ours, secret, own, log=step.log)
            except InstallError as error:
                if not any(word in error.what for word in WEBHOOK_IS_STARTING):
                    raise
                if not last:
                    step.say("a webhook is still starting; Helm tries again")
                last[:] = [error]
                # No wait for its pods here: without the objects that were refused, they may never become ready.
                return False
            return True

        def why(_: bool) -> PdkError:
            return last[0]

        wait(attempt, bool, timeout=WEBHOOK_S, interval=RETRY_S, reason=why)

    def _configure(self, step: Step) -> None:
        ours = {name: self.record.ours(name) for name in ("pachyderm", "determined")}
        password, folder = self._request.det_password, ""
        for release, values in self._values.items():
            if release.chart == "determined" and ours["determined"]:
                storage = values.get("checkpointStorage") or {}
                folder = str(storage.get("hostPath") or "") if storage.get("type") == "shared_fs" else ""
                password = password or str(values.get("initialUserPassword") or "")
                password = password or records.passwords(self._api, ["determined"])["determined"]
        chosen = dict(self._request.local.addresses()) if self._request.local else {}
        chosen |= {"registry_uri": self._request.registry} if self._request.registry else {}
        made = lab.configure_lab(
            self._api,
            self._request.kubeconfig,
            chosen={**chosen, **self._request.chosen},
            defaults={**lab.SMALL, **({"mlde_bucket_name": folder} if folder else {}), **lab.code_of(self._checkout)},
            inside=platforms.inside_addresses(ours["pachyderm"], ours["determined"]),
            det_password=password,
            step=step,
        )
        self.record.lab += [each for each in made if each not in self.record.lab]
        records.save(self._api, self.record)


_PLACE = ("apiVersion", "kind", "namespace", "name")
