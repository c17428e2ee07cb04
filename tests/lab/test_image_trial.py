"""The trial of the images: what a container is given, and what it is not. The trial itself is ``make images-test``."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from image_trial import machine, worker  # noqa: E402

IMAGE = "127.0.0.1:5000/pdk/pdk-lab-train@sha256:" + "0" * 64
PODMAN = """#!{python}
import json, os, pathlib, sys
words = sys.argv[1:]
volumes = dict(each.split(":", 1) for each in words if ":/" in each)
pfs, account = ([source for source, target in volumes.items() if target.startswith(start)][0]
                for start in ("/pfs", "/var/run/secrets"))
pathlib.Path(pfs, "out", "result").write_text("done")
passed = {{words[place + 1]: os.environ[words[place + 1]] for place, word in enumerate(words) if word == "--env"}}
inside = {{each.name: each.read_text() for each in pathlib.Path(account).iterdir()}}
pathlib.Path({said!r}).write_text(json.dumps({{"words": words, "passed": passed, "account": inside}}))
sys.exit(3)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="the trial gives the datum's folder to the container's user, as root")
def test_a_container_gets_what_a_pod_gets(tmp_path: Path) -> None:
    said, pfs = tmp_path / "said.json", tmp_path / "pfs"
    for name in ("bin", "pfs/data", "pfs/out"):
        (tmp_path / name).mkdir(parents=True)
    program = tmp_path / "bin" / "podman"
    program.write_text(PODMAN.format(python=sys.executable, said=str(said)))
    program.chmod(0o755)
    kubeconfig = {
        "clusters": [{"cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": "Q0E="}}],
        "users": [{"user": {"token": "token-of-the-worker"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    order = {"image": IMAGE, "stage": "train", "log": str(tmp_path / "log"), "mounts": {"/code": "/code"}}
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "scripts"),
        "PDK_PFS_ROOT": str(pfs),
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "DET_PASSWORD": "a-secret",
        "PACH_JOB_ID": "j",
        "data_COMMIT": "c",
        "MY_OWN": "private",
    }
    command = [sys.executable, "-m", "image_trial.worker", json.dumps(order), "train.py", "--repo", "r"]
    done = subprocess.run(command, env=environment)
    # The stage's exit code is the datum's.
    assert done.returncode == 3
    seen = json.loads(said.read_text())
    assert seen["words"][-5:] == [IMAGE, "python", "train.py", "--repo", "r"]
    assert f"{pfs}:/pfs" in seen["words"] and "/code:/code:ro" in seen["words"]
    assert "a-secret" not in " ".join(seen["words"])
    assert {"DET_PASSWORD": "a-secret", "data": "/pfs/data", "KUBERNETES_SERVICE_PORT": "6443"}.items() <= (
        seen["passed"].items()
    )
    assert not {"MY_OWN", "PATH", "KUBECONFIG", "PDK_PFS_ROOT"} & set(seen["passed"])
    assert seen["account"] == {"token": "token-of-the-worker", "ca.crt": "CA", "namespace": "default"}
    # What the container's user wrote is handed back to the daemon.
    assert (pfs / "out" / "result").stat().st_uid == os.getuid()
    assert json.loads((tmp_path / "log").read_text())["code"] == 3


def test_the_account_of_a_kubeconfig_with_files(tmp_path: Path) -> None:
    (tmp_path / "authority").write_text("CA")
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority": str(tmp_path / "authority")}
    content = {"clusters": [{"cluster": cluster}], "users": [{"user": {"token": "t"}}]}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
    (tmp_path / "account").mkdir()
    variables = worker.service_account(tmp_path / "kubeconfig", tmp_path / "account")
    assert variables == {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    assert (tmp_path / "account" / "ca.crt").read_text() == base64.b64decode("Q0E=").decode()


def test_the_tools_get_a_configuration_of_their_own(tmp_path: Path) -> None:
    variables = machine.configure(tmp_path, tmp_path / "storage")
    files = [Path(value) for name, value in variables.items() if name.startswith("CONTAINERS_")]
    assert len(files) == 2 and all(path.parent == tmp_path and path.is_file() for path in files)
    # Other logins are neither used nor changed.
    assert Path(variables["REGISTRY_AUTH_FILE"]).parent == tmp_path
