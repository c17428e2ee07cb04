"""Helm's command lines: charts from their repositories or from a folder, releases, and their workloads."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pdk_nb.cluster_install.tools import InstallError, Tool
from pdk_nb.cluster_install.versions import Chart
from pdk_nb.platforms.cluster import Object
from pdk_shared.errors import UsageError

__all__ = ["Charts", "Helm", "Release", "WEBHOOK_IS_STARTING", "tree_digest"]

# Below a folder with source trees, charts are no deeper than this (pachyderm/etc/helm/pachyderm).
DEPTH = 5
SKIPPED = frozenset({".git", "node_modules", "vendor", "third_party", "testdata", "test", "tests"})
WEBHOOK_IS_STARTING = ("failed calling webhook", "failed to call webhook", "no endpoints available")
PENDING = "pending-"


@dataclass(frozen=True)
class Release:
    """One Helm release to install.

    Attributes:
        name: Its name.
        chart: The chart's name in ``cluster/versions.yaml``.
        namespace: Its namespace.
        values: Names of our files with values.
        skip_crds: Whether the chart's folder ``crds`` is left out.
    """

    name: str
    chart: str
    namespace: str
    values: tuple[str, ...] = ()
    skip_crds: bool = False

    @property
    def key(self) -> str:
        """``namespace/name``, as the record has it."""
        return f"{self.namespace}/{self.name}"


class Charts:
    """Where charts come from.

    Args:
        known: Pinned charts by name.
        folder: Folder with charts, packed or not, at any place in it; the projects' repositories when None.
    """

    def __init__(self, known: Mapping[str, Chart], folder: Path | None = None) -> None:
        self._known = known
        self._folder = folder
        self._local = _charts_in(folder) if folder else {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the charts in the folder."""
        return tuple(self._local)

    def arguments(self, name: str) -> list[str]:
        """The arguments of Helm that name a chart.

        Raises:
            UsageError: The folder doesn't have it.
        """
        chart = self._known[name]
        if self._folder is not None:
            return [str(self._in_folder(chart))]
        if chart.repo.startswith("oci://"):
            return [f"{chart.repo}/{chart.name}", "--version", chart.version]
        return [chart.name, "--repo", chart.repo, "--version", chart.version]

    def version(self, name: str) -> str:
        """Version of a chart; that of the folder's chart is what it says of itself."""
        if self._folder is not None:
            path = self._in_folder(self._known[name])
            if path.is_dir():
                said = str(_read_chart(path).get("version", ""))
                return f"{self._known[name].version} (folder, {said})"
        return self._known[name].version

    def fingerprint(self, name: str) -> str:
        """What a release's digest says of its chart: the content of a folder's chart, else address and version."""
        if self._folder is not None:
            return tree_digest(self._in_folder(self._known[name]))
        return " ".join(self.arguments(name))

    def file(self, address: str) -> Path | None:
        """The file of an address in the folder, by its name; None without a folder.

        Raises:
            UsageError: The folder doesn't have it.
        """
        if self._folder is None:
            return None
        name = address.rpartition("/")[2]
        found = sorted(self._folder.glob(name)) + sorted(self._folder.glob(f"*/{name}"))
        if not found:
            raise UsageError(f"There is no {name} in the folder.", where=f"--charts {self._folder}", fix=address)
        return found[0]

    def _in_folder(self, chart: Chart) -> Path:
        found = self._local.get(chart.name)
        if found is None:
            raise UsageError(
                f"There is no chart {chart.name} in the folder.",
                where=f"--charts {self._folder}",
                fix=f"helm pull {chart.name} --repo {chart.repo} --version {chart.version} --destination {self._folder}"
                if not chart.repo.startswith("oci://")
                else f"helm pull {chart.repo}/{chart.name} --version {chart.version} --destination {self._folder}",
            )
        return found


def _read_chart(folder: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((folder / "Chart.yaml").read_text())
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _charts_in(folder: Path) -> dict[str, Path]:
    """Charts below a folder by name: folders with a ``Chart.yaml``, and packed ones; the first of a name counts.

    Raises:
        UsageError: There is no such folder.
    """
    if not folder.is_dir():
        raise UsageError("The folder with charts doesn't exist.", where=f"--charts {folder}")
    found: dict[str, Path] = {}
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        if "Chart.yaml" in files:
            name = str(_read_chart(here).get("name", "")).strip()
            if name:
                found.setdefault(name, here)
            folders.clear()  # what lies in a chart belongs to it
            continue
        for file in sorted(files):
            name, dash, _ = file.removesuffix(".tgz").rpartition("-")
            if file.endswith(".tgz") and dash:
                found.setdefault(name, here / file)
        deep = len(here.relative_to(folder).parts) >= DEPTH
        folders[:] = [] if deep else sorted(each for each in folders if each not in SKIPPED)
    return found


def tree_digest(path: Path) -> str:
    """A digest of a file, or of all files of a folder."""
    digest = hashlib.sha256()
    for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if each.is_file():
            digest.update(f"{each.relative_to(path)}\0".encode())
            digest.update(each.read_bytes())
    return digest.hexdigest()


class Helm:
    """Helm on one cluster.

    Args:
        tool: The program.
        kubeconfig: The cluster.
    """

    def __init__(self, tool: Tool, kubeconfig: str) -> None:
        self._tool = tool
        # As an environment variable, it can be a list of files.
        self._env = {"KUBECONFIG": kubeconfig}

    def upgrade(
        self,
        release: Release,
        chart: Sequence[str],
        values: Sequence[Path],
        secret: Mapping[str, Any],
        own: Sequence[Path] = (),
        *,
        log: Path,
    ) -> str:
        """Install a release, or bring it up to date. Doesn't wait for its pods.

        Args:
            release: The release.
            chart: Arguments that name the chart.
            values: Our files with values; later ones take precedence.
            secret: Values that no command line may show; they take precedence over our files.
            own: The user's files; they take precedence over everything.
            log: File for Helm's output.

        Raises:
            InstallError: Helm fails.
        """
        self._check_pending(release)
        with tempfile.NamedTemporaryFile("w", prefix="pdk-values-", suffix=".yaml") as file:  # mode 0600
            yaml.safe_dump(dict(secret), file)
            file.flush()
            arguments = ["upgrade", "--install", release.name, *chart, "--namespace", release.namespace]
            arguments += ["--create-namespace", "--history-max", "3"]
            arguments += ["--skip-crds"] if release.skip_crds else []
            for each in (*map(str, values), *([file.name] if secret else []), *map(str, own)):
                arguments += ["--values", each]
            return self._tool.run(
                *arguments,
                log=log,
                what=f"Can't install {release.name}",
                fix=f"helm -n {release.namespace} status {release.name}",
                env=self._env,
            )

    def _check_pending(self, release: Release) -> None:
        """Refuse a release that another Helm works on, or that one left behind when it was ended."""
        state = self.state(release)
        if state.startswith(PENDING):
            first = state == f"{PENDING}install"
            undo = "uninstall" if first else "rollback"
            raise InstallError(
                f"Helm says that {release.name} is being changed ({state}), or was interrupted.",
                where=f"release {release.key}",
                fix=f"If no other Helm runs: helm -n {release.namespace} {undo} {release.name}, then run this again.",
            )

    def state(self, release: Release) -> str:
        """Helm's word for a release, e.g. ``deployed``; empty when there is none."""
        done = self._tool.ask(
            "status", release.name, "--namespace", release.namespace, "--output", "json", env=self._env, timeout=60
        )
        if done.returncode:
            return ""
        try:
            return str(json.loads(done.stdout)["info"]["status"])
        except (ValueError, KeyError, TypeError):
            return "unknown"

    def workloads(self, release: str, namespace: str) -> list[Object]:
        """The Deployments, StatefulSets, and DaemonSets of a release; empty when there is no release."""
        done = self._tool.ask("get", "manifest", release, "--namespace", namespace, env=self._env, timeout=60)
        if done.returncode:
            return []
        found = []
        for each in yaml.safe_load_all(done.stdout):
            if each and each.get("kind") in ("Deployment", "StatefulSet", "DaemonSet"):
                each["metadata"].setdefault("namespace", namespace)
                found.append(each)
        return found

    def uninstall(self, name: str, namespace: str, *, log: Path) -> bool:
        """Remove a release and what Helm made for it.

        Returns:
            Whether there was one.
        """
        if not self.state(Release(name, "", namespace)):
            return False
        self._tool.run(
            *("uninstall", name, "--namespace", namespace),
            log=log,
            what=f"Can't remove {name}",
            fix=f"helm -n {namespace} uninstall {name} --debug",
            env=self._env,
        )
        return True
