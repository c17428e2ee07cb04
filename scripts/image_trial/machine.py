"""The test's setup of the machine: container tools, a base image, and a registry."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import requests
import yaml

PACKAGES = ("buildah", "podman", "runc", "mmdebstrap")
REGISTRY_PACKAGE = "docker-registry"
BASE_IMAGE = "localhost/python-base:3.11"
# Like python:3.11-slim: Debian, Python 3.11, pip that may install.
BASE_PACKAGES = "python3,python3-pip,python-is-python3,ca-certificates"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
READY_S = 30.0
# What runc needs where there is no systemd, and limits that a container's root may set.
CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=16384:16384","nproc=8192:8192"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


def install() -> None:
    """Install the container tools where they are missing."""
    missing = [name for name in PACKAGES if not shutil.which(name)]
    if missing:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
        subprocess.run([*words, *missing], check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def configure(work: Path, storage: Path) -> dict[str, str]:
    """Write the tools' configuration into a folder; returns the variables that point them there.

    Args:
        work: Folder of the trial.
        storage: Where images are kept.
    """
    (work / "containers.conf").write_text(CONTAINERS_CONF)
    return {
        "CONTAINERS_CONF": str(work / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(storage_file(work, "builder", storage)),
        "REGISTRY_AUTH_FILE": str(work / "auth.json"),
        # Needs no rights over namespaces.
        "BUILDAH_ISOLATION": "chroot",
    }


def storage_file(work: Path, name: str, storage: Path) -> Path:
    """Write where a machine called ``name`` keeps its images; returns the file for ``CONTAINERS_STORAGE_CONF``."""
    target = work / f"{name}.storage.conf"
    target.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{storage}"\nrunroot = "{work / name}-run"\n')
    return target


def ensure_base(work: Path) -> None:
    """Make the base image of Debian's packages, once."""
    if subprocess.run(["podman", "image", "exists", BASE_IMAGE]).returncode == 0:
        return
    tar = work / "base.tar"
    if not tar.exists():
        partial = work / "base.partial.tar"
        words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={BASE_PACKAGES}"]
        words += ["--customize-hook=rm -f $1/usr/lib/python3*/EXTERNALLY-MANAGED"]
        words += [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "man")]
        subprocess.run([*words, "bookworm", str(partial)], check=True)
        partial.rename(tar)
    subprocess.run(["podman", "import", "--quiet", str(tar), BASE_IMAGE], check=True, stdout=subprocess.DEVNULL)


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Registry:
    """A registry of the trial's own.

    Attributes:
        address: ``host:port`` on loopback.
        user: User who may push and pull.
        password: Their password, random.
    """

    address: str
    user: str
    password: str

    def answers(self, *, logged_in: bool) -> int:
        """The status of its first page."""
        who = (self.user, self.password) if logged_in else None
        return requests.get(f"http://{self.address}/v2/", auth=who, timeout=5).status_code

    def compressed_size(self, image: str) -> int:
        """Bytes that a node pulls for an image.

        Args:
            image: Name by digest, on this registry.
        """
        name, digest = image.removeprefix(f"{self.address}/").split("@")
        kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        url = f"http://{self.address}/v2/{name}/manifests/{digest}"
        answer = requests.get(url, auth=(self.user, self.password), headers={"Accept": kinds}, timeout=10)
        answer.raise_for_status()
        return sum(int(layer["size"]) for layer in answer.json()["layers"])


def _registry_program(work: Path) -> str:
    """Debian's docker-registry, unpacked rather than installed: its package would start one on all interfaces."""
    found = shutil.which("docker-registry") or str(work / "registry" / "usr" / "bin" / "docker-registry")
    if not Path(found).exists():
        packages = work / "packages"
        packages.mkdir(exist_ok=True)
        # apt fetches as a user of its own, who has to get there.
        subprocess.run(["apt-get", "download", "-qq", REGISTRY_PACKAGE], cwd=packages, check=True)
        package = next(packages.glob(f"{REGISTRY_PACKAGE}_*.deb"))
        subprocess.run(["dpkg-deb", "--extract", str(package), str(work / "registry")], check=True)
    return found


@contextmanager
def registry(work: Path, port: int, password: str) -> Iterator[Registry]:
    """Run a registry that asks for a password, on loopback only."""
    here = Registry(f"127.0.0.1:{port}", "pusher", password)
    users, config = work / "htpasswd", work / "registry.yml"
    users.write_text(f"{here.user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()}\n")
    content = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(work / "registry-data")}},
        "http": {"addr": here.address},
        "auth": {"htpasswd": {"realm": "image trial", "path": str(users)}},
    }
    config.write_text(yaml.safe_dump(content))
    # It would take REGISTRY_AUTH_FILE, which is podman's, for a part of its own configuration.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    with (work / "registry.log").open("w") as log:
        command = [_registry_program(work), "serve", str(config)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"the registry ended: {(work / 'registry.log').read_text()[-500:]}")
            try:
                here.answers(logged_in=False)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        assert here.answers(logged_in=False) == 401, "the registry asks for no password"
        assert here.answers(logged_in=True) == 200, "the registry refuses its own user"
        yield here
    finally:
        process.terminate()
        process.wait(10)
