"""Replaces ``python`` of a pipeline's image: runs the command in a container of that image, as a pod would.

The embedded Pachyderm starts the stage's command line; this program is the ``python`` that it finds. The container gets
only what a pod gets: ``/pfs``, the variables of the worker and of the spec's secrets, the service account's token where
Kubernetes mounts it, and the network.

    python -m image_trial.worker '{"image": ..., "stage": ..., "log": ..., "mounts": {...}}' train.py --repo ...
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

# The user that the images name.
USER = 1000
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# What a pod of a pipeline has: the worker's own variables and those that the spec maps from secrets.
PASSED = ("PACH_", "PACHD_", "PAC_TOKEN", "PPS_", "DET_", "KSERVE_", "data_")


def service_account(kubeconfig: Path, folder: Path) -> dict[str, str]:
    """Lay out the token and the certificate as Kubernetes does for a pod; returns the pod's variables."""
    content = yaml.safe_load(kubeconfig.read_text())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    (folder / "token").write_text(user["token"])
    authority = cluster.get("certificate-authority-data")
    certificate = (
        base64.b64decode(authority).decode() if authority else Path(cluster["certificate-authority"]).read_text()
    )
    (folder / "ca.crt").write_text(certificate)
    (folder / "namespace").write_text("default")
    folder.chmod(0o755)
    address = urlsplit(cluster["server"])
    return {"KUBERNETES_SERVICE_HOST": str(address.hostname), "KUBERNETES_SERVICE_PORT": str(address.port)}


def container_command(
    image: str, pfs: Path, account: Path, mounts: Mapping[str, str], variables: Mapping[str, str], words: list[str]
) -> list[str]:
    """The ``podman run`` of one datum; secrets are named there, and their values stay in the environment."""
    command = ["podman", "run", "--rm", "--interactive", "--network=host", "--pull=never"]
    command += ["--volume", f"{pfs}:/pfs", "--volume", f"{account}:{SERVICE_ACCOUNT}:ro"]
    for source, target in mounts.items():
        command += ["--volume", f"{source}:{target}:ro"]
    for name in sorted(variables):
        command += ["--env", name]
    return [*command, image, "python", *words]


def main(argv: list[str]) -> int:
    """Run one datum's command in a container, and note how it ended."""
    order = json.loads(argv[0])
    pfs = Path(os.environ["PDK_PFS_ROOT"])
    # On a cluster /pfs is a volume of the pod that its user may write.
    for path in (pfs, *pfs.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)
    variables = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
    variables["data"] = "/pfs/data"
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pdk-account-") as scratch:
        variables |= service_account(Path(os.environ["KUBECONFIG"]), Path(scratch))
        command = container_command(order["image"], pfs, Path(scratch), order["mounts"], variables, argv[1:])
        code = subprocess.run(command, env={**os.environ, **variables}).returncode
    # The daemon has to take the output and clear the folder, whoever it is.
    for path in (pfs, *pfs.rglob("*")):
        os.chown(path, os.getuid(), os.getgid(), follow_symlinks=False)
    entry = {"stage": order["stage"], "image": order["image"], "code": code}
    with Path(order["log"]).open("a") as sink:
        sink.write(json.dumps({**entry, "seconds": round(time.monotonic() - started, 1)}) + "\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
