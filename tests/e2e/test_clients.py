"""``pdk-nb env``: the platforms' own clients work without any further setting."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, pdk_nb
from tests.support.packages import needs_kserve

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def shell(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell after ``eval "$(pdk-nb env)"``, with an empty home."""
    done = pdk_nb("env", "--state-dir", stack["state_dir"])
    assert done.returncode == 0, done.stderr
    exported = {}
    for line in done.stdout.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        exported[name] = shlex.split(value)[0]
    assert set(exported) == {"KUBECONFIG", "PACH_CONFIG", "DET_MASTER", "DET_USER", "DET_PASS", "DET_PASSWORD"}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PACH", "DET_", "KUBE"))}
    return {**clean, **exported, "HOME": str(tmp_path_factory.mktemp("home"))}


def call(shell: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=shell, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kubectl(shell: dict[str, str]) -> None:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("kubectl is not installed")
    assert call(shell, kubectl, "get", "cm", "pdk-config", "-o=jsonpath={.data.region}") == "us-local"


def test_det(shell: dict[str, str]) -> None:
    det = str(Path(sys.executable).with_name("det"))
    assert "admin" in call(shell, det, "user", "whoami")


def test_python_clients(shell: dict[str, str]) -> None:
    code = (
        "import python_pachyderm; from determined.experimental import client;"
        "print([p.project.name for p in python_pachyderm.Client().list_project()]);"
        "print(client.Determined().whoami().username)"
    )
    out = call(shell, sys.executable, "-W", "ignore", "-c", code)
    assert "default" in out
    assert "admin" in out


@needs_kserve
def test_kserves_client(shell: dict[str, str]) -> None:
    code = "import kserve; print(kserve.KServeClient().get(namespace='models')['kind'])"
    assert "InferenceServiceList" in call(shell, sys.executable, "-W", "ignore", "-c", code)


def test_a_second_up_finds_the_running_stack(stack: dict[str, str]) -> None:
    done = pdk_nb("up", "--json", "--state-dir", stack["state_dir"])
    assert done.returncode == 0, done.stderr
    assert "already running" in done.stderr
    assert json.loads(done.stdout) == {key: stack[key] for key in json.loads(done.stdout)}


def test_status_names_every_service(stack: dict[str, str]) -> None:
    done = pdk_nb("status", "--json", "--state-dir", stack["state_dir"])
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert [row["state"] for row in content["services"]] == ["ready", "ready", "ready"]


def test_a_port_in_use_is_named(stack: dict[str, str], tmp_path: Path) -> None:
    port = stack["ingress"].rsplit(":", 1)[1]
    done = pdk_nb("up", "--state-dir", str(tmp_path), "--port", f"kubernetes.ingress={port}")
    assert done.returncode == 1
    assert f"Port {port} for kubernetes.ingress is in use" in done.stderr


def test_img2json_makes_what_the_guide_sends(tmp_path: Path) -> None:
    picture = sorted((ROOT / "sample-data" / "pred").glob("*.jpg"))[0]
    target = tmp_path / "picture.json"
    done = pdk_nb("img2json", str(picture), "-o", str(target))
    assert done.returncode == 0, done.stderr
    assert list(json.loads(target.read_text())["instances"][0]) == ["data"]
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    done = pdk_nb("img2json", str(broken))
    assert (done.returncode, done.stdout) == (1, "")
    assert "broken.jpg" in done.stderr
