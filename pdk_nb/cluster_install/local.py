"""A cluster of one node in Docker, by kind or k3d, with a registry beside it and ports on the loopback address.

kind: https://kind.sigs.k8s.io/docs/user/local-registry/. k3d: https://k3d.io/stable/usage/registries/. Both nodes pull
from ``localhost:PORT`` as this machine pushes to it: containerd is told that this name means the registry's container.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pdk_nb.cluster_install.tools import InstallError, Tool
from pdk_nb.cluster_install.versions import Versions

__all__ = ["MAKERS", "PORTS", "Local", "exists", "read", "state_folder"]

MAKERS = ("kind", "k3d")
LOOPBACK = "127.0.0.1"
#: Ports of the loopback address, by what answers there.
PORTS = {"pachyderm": 31650, "determined": 31080, "ingress": 31081, "registry": 5001}
LABEL = "pdk-lab.cluster"
CREATE_TIMEOUT = "300s"


@dataclass(frozen=True)
class Local:
    """A cluster that ``cluster up`` makes.

    Attributes:
        name: Its name.
        maker: ``kind`` or ``k3d``.
        ports: Ports of the loopback address, as :data:`PORTS` names them.
    """

    name: str
    maker: str
    ports: dict[str, int] = field(default_factory=lambda: dict(PORTS))

    @property
    def folder(self) -> Path:
        """Folder with its kubeconfig, its logs, and the note that it was made by this command."""
        return state_folder() / self.name

    @property
    def kubeconfig(self) -> Path:
        """Its kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def registry(self) -> str:
        """The registry with its folder, as image names begin."""
        return f"localhost:{self.ports['registry']}/pdk"

    @property
    def registry_container(self) -> str:
        """Name of the registry's container, by which the node reaches it."""
        return f"{self.name}-registry"

    @property
    def network(self) -> str:
        """Docker's network of the node."""
        return "kind" if self.maker == "kind" else f"k3d-{self.name}"

    @property
    def node(self) -> str:
        """Name of the node's container."""
        return f"{self.name}-control-plane" if self.maker == "kind" else f"k3d-{self.name}-server-0"

    def addresses(self) -> dict[str, str]:
        """Values of ``pdk-config`` for this machine."""
        found = {"registry_uri": self.registry}
        for system, port in (("mldm", "pachyderm"), ("mlde", "determined"), ("kserve_ingress", "ingress")):
            found |= {f"{system}_host": LOOPBACK, f"{system}_port": str(self.ports[port])}
        return found

    def save(self) -> None:
        """Note that this command made the cluster."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.folder / "cluster.json").write_text(json.dumps(asdict(self)) + "\n")

    def create(self, tool: Tool, versions: Versions, node_ports: Mapping[str, int], log: Path) -> None:
        """Create the cluster, and write its kubeconfig.

        Args:
            tool: kind or k3d.
            versions: Images of the nodes.
            node_ports: The node's port for each of :data:`PORTS` but the registry's.
            log: File for the tool's output.

        Raises:
            InstallError: The tool fails.
        """
        # Noted first: what an interrupted run leaves is removed by `cluster down`.
        self.save()
        fix = f"pdk-nb cluster down --name {self.name} --yes, then again; Docker's log: docker logs {self.node}"
        image = str(versions.kubernetes[self.maker]["image"])
        if self.maker == "kind":
            config = self.folder / "kind.yaml"
            config.write_text(yaml.safe_dump(self._kind_config(image, node_ports), sort_keys=False))
            arguments = ["create", "cluster", "--name", self.name, "--config", str(config), "--wait", CREATE_TIMEOUT]
            tool.run(*arguments, "--kubeconfig", str(self.kubeconfig), log=log, what="Can't create it", fix=fix)
        else:
            config = self.folder / "registries.yaml"
            inside = f"http://{self.registry_container}:5000"
            mirrors = {f"localhost:{self.ports['registry']}": {"endpoint": [inside]}}
            config.write_text(yaml.safe_dump({"mirrors": mirrors}))
            arguments = ["cluster", "create", self.name, "--image", image, "--servers", "1", "--no-lb"]
            for name, inner in node_ports.items():
                arguments += ["--port", f"{LOOPBACK}:{self.ports[name]}:{inner}@server:0:direct"]
            # k3s' own Traefik and load balancer would take the platforms' ports.
            for part in ("traefik", "servicelb"):
                arguments += ["--k3s-arg", f"--disable={part}@server:0"]
            # k3d's default is every address of the machine.
            arguments += ["--api-port", f"{LOOPBACK}:random"]
            arguments += ["--registry-config", str(config), "--wait", "--timeout", CREATE_TIMEOUT]
            arguments += ["--kubeconfig-update-default=false", "--kubeconfig-switch-context=false"]
            tool.run(*arguments, log=log, what="Can't create it", fix=fix)
        self.write_kubeconfig(tool)

    def _kind_config(self, image: str, node_ports: Mapping[str, int]) -> dict[str, Any]:
        mappings = [
            {"containerPort": inner, "hostPort": self.ports[name], "listenAddress": LOOPBACK, "protocol": "TCP"}
            for name, inner in node_ports.items()
        ]
        return {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "nodes": [{"role": "control-plane", "image": image, "extraPortMappings": mappings}],
            # The default since kind 0.27; older ones need to be told.
            "containerdConfigPatches": [
                '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n'
            ],
        }

    def start(self, docker: Tool, tool: Tool, log: Path) -> bool:
        """Start the node if it is stopped, for example after the machine was.

        Returns:
            Whether it was stopped.

        Raises:
            InstallError: It doesn't start.
        """
        if docker.ask("container", "inspect", "-f", "{{.State.Running}}", self.node).stdout.strip() != "false":
            return False
        fix = f"docker logs {self.node}"
        if self.maker == "k3d":
            tool.run("cluster", "start", self.name, log=log, what="Can't start the cluster", fix=fix)
        else:
            docker.run("start", self.node, log=log, what="Can't start the node", fix=fix)
        return True

    def write_kubeconfig(self, tool: Tool) -> None:
        """Write the kubeconfig, readable by the user only.

        Raises:
            InstallError: The tool doesn't give it.
        """
        verb = ("get", "kubeconfig", "--name") if self.maker == "kind" else ("kubeconfig", "get")
        done = tool.ask(*verb, self.name, timeout=60)
        if done.returncode:
            raise InstallError(f"{self.maker} gives no kubeconfig: {done.stderr.strip()}", where=self.name)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(self.kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(done.stdout)

    def create_registry(self, docker: Tool, versions: Versions, log: Path) -> bool:
        """Start the registry, connect it to the node's network, and tell the node about it.

        Returns:
            Whether there was anything to do.

        Raises:
            InstallError: Docker fails, or a container of another owner has the name.
        """
        state = docker.ask(
            "container", "inspect", "-f", f'{{{{.State.Running}}}} {{{{index .Config.Labels "{LABEL}"}}}}',
            self.registry_container,
        )  # fmt: skip
        running, _, owner = state.stdout.strip().partition(" ")
        fix = f"docker logs {self.registry_container}"
        if state.returncode == 0 and owner != self.name:
            raise InstallError(
                f"A container {self.registry_container} exists, but this command didn't create it.",
                where="docker ps --all",
                fix="pdk-nb cluster up --name ANOTHER, or rename the container.",
            )
        changed = running != "true"
        if state.returncode:
            docker.run(
                *("run", "--detach", "--restart=always", "--label", f"{LABEL}={self.name}"),
                *("--publish", f"{LOOPBACK}:{self.ports['registry']}:5000", "--name", self.registry_container),
                str(versions.kubernetes["registry"]["image"]),
                log=log,
                what="Can't start the registry",
                fix=fix,
            )
        elif changed:
            docker.run("start", self.registry_container, log=log, what="Can't start the registry", fix=fix)
        form = f'{{{{index .NetworkSettings.Networks "{self.network}"}}}}'
        joined = docker.ask("container", "inspect", "-f", form, self.registry_container).stdout.strip()
        if joined in ("", "<nil>", "<no value>"):
            what = "Can't connect the registry to the node's network"
            docker.run("network", "connect", self.network, self.registry_container, log=log, what=what, fix=fix)
            changed = True
        if self.maker == "kind":
            self._tell_node(docker, log)
        return changed

    def _tell_node(self, docker: Tool, log: Path) -> None:
        """Write containerd's file for ``localhost:PORT`` into the node; k3d gets it when the cluster is created."""
        folder = f"/etc/containerd/certs.d/localhost:{self.ports['registry']}"
        what = "Can't tell the node about the registry"
        docker.run("exec", self.node, "mkdir", "-p", folder, log=log, what=what)
        text = f'[host."http://{self.registry_container}:5000"]\n'
        docker.run("exec", "-i", self.node, "cp", "/dev/stdin", f"{folder}/hosts.toml", log=log, what=what, text=text)

    def delete(self, docker: Tool, tool: Tool, log: Path) -> None:
        """Delete the cluster, its registry, and its files on this machine.

        Raises:
            InstallError: A tool fails.
        """
        if exists(self.maker, tool, self.name):
            verb = ("delete", "cluster", "--name") if self.maker == "kind" else ("cluster", "delete")
            tool.run(*verb, self.name, log=log, what="Can't delete the cluster", fix=f"{self.maker} cluster list")
        owner = docker.ask(
            "container", "inspect", "-f", f'{{{{index .Config.Labels "{LABEL}"}}}}', self.registry_container
        )
        if owner.returncode == 0 and owner.stdout.strip() == self.name:
            arguments = ("rm", "--force", "--volumes", self.registry_container)
            docker.run(*arguments, log=log, what="Can't delete the registry", fix="docker ps --all")
        for name in ("kubeconfig", "kind.yaml", "registries.yaml", "cluster.json"):
            (self.folder / name).unlink(missing_ok=True)


def state_folder() -> Path:
    """Folder for what ``pdk-nb cluster`` keeps on this machine: kubeconfigs, logs, downloaded manifests."""
    import platformdirs

    return Path(platformdirs.user_state_dir("pdk-lab", appauthor=False)) / "clusters"


def read(name: str) -> Local | None:
    """The cluster that this command made under a name; None when it made none."""
    try:
        content = json.loads((state_folder() / name / "cluster.json").read_text())
        return Local(content["name"], content["maker"], {key: int(port) for key, port in content["ports"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def exists(maker: str, tool: Tool, name: str) -> bool:
    """Whether kind or k3d has a cluster of this name, whoever made it."""
    if maker == "kind":
        return name in tool.ask("get", "clusters", timeout=60).stdout.split()
    done = tool.ask("cluster", "list", "--output", "json", timeout=60)
    try:
        return any(each.get("name") == name for each in json.loads(done.stdout or "[]"))
    except (ValueError, AttributeError, TypeError):
        return False
