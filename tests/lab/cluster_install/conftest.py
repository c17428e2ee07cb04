"""A machine with fake tools, and a fake cluster behind them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from pdk_nb.cli import main
from pdk_nb.cluster_install import installing, lab
from pdk_nb.cluster_install.platforms import merged
from tests.lab.cluster_install import fake_tools
from tests.lab.cluster_install.fake_api import FakeApi, serving

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("docker", "podman", "kind", "k3d", "helm")
COPIED = ("images", "examples", "cluster", "pyproject.toml", "constraints.txt")


@dataclass
class Machine:
    """A machine with the tools on its PATH.

    Attributes:
        folder: The fake tools' state.
        bin: The folder of the PATH.
        state: Where ``pdk-nb cluster`` keeps its files.
        kubeconfig: The cluster's kubeconfig.
        api: The cluster.
        checkout: A copy of what the installer needs of the checkout.
    """

    folder: Path
    bin: Path
    state: Path
    kubeconfig: Path
    api: FakeApi
    checkout: Path
    capture: Any = field(repr=False, default=None)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run ``pdk-nb cluster``: its exit code, and all that it printed."""
        code = main(["cluster", *arguments])
        shown = self.capture.readouterr()
        return code, shown.out + shown.err

    def values(self, release: str) -> dict[str, Any]:
        """Values that Helm got for a release, merged."""
        files = []
        for number, text in enumerate(self.tools["releases"][release]["values"]):
            files.append(self.folder / f"values-{number}.yaml")
            files[-1].write_text(text)
        return merged(files)

    def install(self, *arguments: str) -> tuple[int, str]:
        """Run ``pdk-nb cluster install`` on the cluster, without the doctor."""
        return self.run("install", "--kubeconfig", str(self.kubeconfig), "--without", "doctor", *arguments)

    def calls(self, name: str, *start: str) -> list[list[str]]:
        """Arguments of a tool's calls that begin so, without those that only ask."""
        path = self.folder / "calls.jsonl"
        each = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [
            call["arguments"]
            for call in each
            if call["name"] == name and not call["asks"] and call["arguments"][: len(start)] == list(start)
        ]

    def forget_calls(self) -> None:
        """Start counting calls and writes anew."""
        (self.folder / "calls.jsonl").unlink(missing_ok=True)
        self.api.writes.clear()

    @property
    def tools(self) -> dict[str, Any]:
        """The fake tools' state."""
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return found

    def change(self, **state: Any) -> None:
        """Change the fake tools' state."""
        path = self.folder / "state.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**known, **state}))

    def fail(self, start: str, message: str, times: int = -1) -> None:
        """Let calls that begin so fail."""
        (self.folder / "fail.json").write_text(json.dumps({start: [times, message]}))

    def remove(self, *names: str) -> None:
        """Take tools off the PATH."""
        for name in names:
            (self.bin / name).unlink()

    @property
    def record(self) -> dict[str, Any]:
        """The record on the cluster."""
        found: dict[str, Any] = json.loads(self.api.objects["ConfigMap", "default", "pdk-cluster"]["data"]["record"])
        return found


class Helms:
    """Brings what the fake Helm installed onto the fake cluster."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._there: dict[str, list[tuple[str, str, str]]] = {}

    def sync(self) -> None:
        """Create the objects of new releases, and delete those of removed ones."""
        path = self._machine.folder / "state.json"
        releases = json.loads(path.read_text()).get("releases", {}) if path.exists() else {}
        objects = self._machine.api.objects
        for key in set(self._there) - set(releases):
            for each in self._there.pop(key):
                objects.pop(each, None)
        for key, release in releases.items():
            if key in self._there:
                continue
            self._there[key] = []
            if ("Namespace", "", release["namespace"]) not in objects:
                self._machine.api.put({"kind": "Namespace", "metadata": {"name": release["namespace"]}})
            for each in fake_tools.objects(release):
                made = self._machine.api.put(each)["metadata"]
                self._there[key].append((each["kind"], made["namespace"], made["name"]))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Machine]:
    """A machine with all tools, and an empty cluster."""
    folder, bin, checkout = tmp_path / "tools", tmp_path / "bin", tmp_path / "checkout"
    for each in (folder, bin, checkout):
        each.mkdir()
    script = Path(__file__).with_name("fake_tools.py").read_text()
    for name in TOOLS:
        # -IS: without the environment's packages, it starts at once.
        (bin / name).write_text(f"#!{sys.executable} -IS\n{script}")
        (bin / name).chmod(0o755)
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, checkout / name)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "--quiet", "-b", "main"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *command], cwd=checkout, check=True)
    monkeypatch.chdir(checkout)
    # No other tool of this machine is seen: git is needed, and python by the tools.
    (bin / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(bin))
    monkeypatch.setenv("FAKE_TOOLS", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    api = FakeApi()
    with serving(api) as address:
        cluster = {"name": "fake", "cluster": {"server": address}}
        context = {"name": "fake", "context": {"cluster": "fake", "user": "fake"}}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "contexts": [context],
            "users": [{"name": "fake", "user": {"token": "t"}}],
            "current-context": "fake",
        }
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(content))
        found = Machine(folder, bin, tmp_path / "state" / "pdk-lab" / "clusters", kubeconfig, api, checkout, capsys)
        api.before_answer = Helms(found).sync
        monkeypatch.setattr(installing, "RETRY_S", 0.05)
        # The registry is in Docker, which is fake: what was pushed is there.
        monkeypatch.setattr(lab, "_has", lambda name, access: name in found.tools["pushed"])
        yield found
