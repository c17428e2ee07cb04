"""JupyterLab with Pachyderm's extension: its environment, its kernel, its cluster, and nothing sent to others."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pdk_nb import pachyderm_workbench as workbench
from pdk_nb.settings import from_maps
from pdk_shared.errors import PdkError

CONFIG = {"mldm_host": "pach.example.com", "mldm_port": "30650", "mlde_host": "det", "mlde_port": "80"}
TOKEN = "0a1b2c3d-secret"


def test_the_server_gets_the_labs_kernel_the_clusters_address_and_no_telemetry(tmp_path: Path) -> None:
    settings = from_maps(CONFIG, {"pac_token": TOKEN})
    made = workbench.environment_for(tmp_path, settings, {"JUPYTER_CONFIG_PATH": "/given"})
    kernels = Path(made["JUPYTER_PATH"]) / "kernels" / "python3" / "kernel.json"
    assert json.loads(kernels.read_text())["argv"][0] == sys.executable
    first, _, rest = made["JUPYTER_CONFIG_PATH"].partition(os.pathsep)
    page = json.loads((Path(first) / "labconfig" / "page_config.json").read_text())
    assert page["disabledExtensions"] == {"jupyterlab-pachyderm:telemetry": True}
    assert rest == "/given"
    client = Path(made["PACH_CONFIG"])
    assert stat.S_IMODE(client.stat().st_mode) == 0o600
    context = json.loads(client.read_text())["v2"]["contexts"]["pdk-lab"]
    assert context == {"pachd_address": "grpc://pach.example.com:30650", "session_token": TOKEN}
    assert TOKEN not in json.dumps(made)


def test_a_file_that_others_could_read_is_closed_again(tmp_path: Path) -> None:
    old = tmp_path / "lab" / "pachyderm.json"
    old.parent.mkdir()
    old.write_text("{}")
    old.chmod(0o644)
    workbench.environment_for(tmp_path, from_maps({**CONFIG, "mldm_url": "grpcs://pach.example.com:443"}), {})
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    context = json.loads(old.read_text())["v2"]["contexts"]["pdk-lab"]
    assert context == {"pachd_address": "grpcs://pach.example.com:30650"}


def test_a_persons_own_configuration_of_pachyderm_counts(tmp_path: Path) -> None:
    made = workbench.environment_for(tmp_path, from_maps(CONFIG), {"PACH_CONFIG": "/mine"})
    assert "PACH_CONFIG" not in made


def test_the_environment_is_made_once_and_again_when_its_packages_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What pip does isn't the subject, and needs a network.
    said: list[str] = []
    real = subprocess.run

    def run(command: list[str], **options: object) -> object:
        if command[1:4] == ["-m", "pip", "install"]:
            return real([command[0], "-c", "pass"], capture_output=True, text=True)
        return real(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(workbench.subprocess, "run", run)
    python = workbench.prepare(tmp_path / "env", said.append)
    assert python.exists() and len(said) == 1
    assert workbench.prepare(tmp_path / "env", said.append) == python
    assert len(said) == 1
    monkeypatch.setattr(workbench, "PACKAGES", ("jupyterlab-pachyderm==99",))
    workbench.prepare(tmp_path / "env", said.append)
    assert len(said) == 2


def test_without_a_network_a_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(PdkError, match="can't be installed") as caught:
        workbench.prepare(tmp_path / "env", lambda line: None)
    assert "--with-pachyderm-extension" in caught.value.fix
    assert not (tmp_path / "env" / workbench.DONE).exists()
