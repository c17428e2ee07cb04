"""Prepares a run of a trial: folder, environment, and command.

Source of the variables: the master's ``master/pkg/tasks`` and ``agent/internal/containers``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdk_stack.common.service import LOOPBACK
from pdk_stack.determined.core.trials.processes import free_port_block

__all__ = ["AGENT_ID", "Cluster", "Run", "clean_up", "environment_of", "prepare"]

AGENT_ID = "embedded-agent"
CONTAINER = Path(__file__).with_name("container")
#: Variables that a trial inherits from the master.
KEPT = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
KEPT_PREFIXES = ("SSL_CERT", "REQUESTS_CA", "PIP_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "CURL_CA")
#: One port for c10d, and two blocks for traffic between a trial's processes.
PORTS_PER_RUN = 16


@dataclass(frozen=True)
class Cluster:
    """The master as its trials see it.

    Attributes:
        cluster_id: Constant for a state folder; part of the TensorBoard path.
        master_id: Changes at every start.
        port: The master's port on loopback.
        folder: Parent of the runs' folders.
        python: Python interpreter for trials.
        cores: CPU cores for training.
    """

    cluster_id: str
    master_id: str
    port: int
    folder: Path
    python: str
    cores: int

    @property
    def url(self) -> str:
        """The master's URL for trials."""
        return f"http://{LOOPBACK}:{self.port}"


@dataclass(frozen=True)
class Run:
    """A run (allocation) of a trial.

    Attributes:
        allocation_id: ``<task id>.<run id>``.
        slots: The slots that the run holds.
        first_port: First of its :data:`PORTS_PER_RUN` ports.
        threads: Number of threads for numerical libraries.
    """

    allocation_id: str
    task_id: str
    container_id: str
    run_id: int
    slots: tuple[int, ...]
    first_port: int
    threads: int
    session_token: str
    user_token: str
    username: str
    latest_checkpoint: str | None
    steps_completed: int


def choose_ports(taken: set[int]) -> int:
    """Choose the first port of a free block for a run.

    Args:
        taken: All ports of the runs in progress.
    """
    return free_port_block(PORTS_PER_RUN, taken)


def prepare(cluster: Cluster, run: Run) -> Path:
    """Create the run's folder, which is ``/run/determined`` in a container."""
    folder = cluster.folder / run.allocation_id
    for name in ("info", "train/model", "train/logs", "pythonuserbase", "packages", "workdir", "ssh"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def shared_folder(storage: dict[str, Any]) -> str:
    """Return the folder that a container mounts at ``/determined_shared_fs``; create it if absent."""
    if storage["type"] == "shared_fs":
        folder = str(storage["host_path"])
    elif storage["type"] == "directory":
        folder = str(storage["container_path"])
    else:
        return ""
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
    return folder if storage["type"] == "shared_fs" else ""


def environment_of(
    cluster: Cluster, run: Run, folder: Path, experiment: dict[str, Any], trial: dict[str, Any]
) -> dict[str, str]:
    """Build the environment of a trial's processes.

    Args:
        folder: The run's folder.
        experiment: The experiment's document.
        trial: The trial's document.
    """
    config = experiment["config"]
    environment = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}
    own = {
        "DET_MASTER": cluster.url,
        "DET_MASTER_HOST": LOOPBACK,
        "DET_MASTER_ADDR": LOOPBACK,
        "DET_MASTER_PORT": str(cluster.port),
        "DET_MASTER_ID": cluster.master_id,
        "DET_CLUSTER_ID": cluster.cluster_id,
        "DET_AGENT_ID": AGENT_ID,
        "DET_CONTAINER_ID": run.container_id,
        "DET_SLOT_IDS": json.dumps(list(run.slots)),
        "DET_TASK_ID": run.task_id,
        "DET_ALLOCATION_ID": run.allocation_id,
        "DET_RESOURCES_ID": run.container_id,
        "DET_RESOURCES_TYPE": "docker-container",
        "DET_SESSION_TOKEN": run.session_token,
        "DET_USER_TOKEN": run.user_token,
        "DET_USER": run.username,
        "DET_WORKDIR": str(folder / "workdir"),
        "DET_RUN_DIR": str(folder),
        "DET_USE_TLS": "false",
        "DET_SEGMENT_ENABLED": "false",
        "DET_TASK_LOGGING_METADATA": json.dumps({"allocation_id": run.allocation_id, "task_id": run.task_id}),
        "DET_EXPERIMENT_ID": str(experiment["id"]),
        "DET_TRIAL_ID": str(trial["id"]),
        "DET_TRIAL_RUN_ID": str(run.run_id),
        "DET_TRIAL_SEED": str(trial["seed"]),
        "DET_EXPERIMENT_CONFIG": json.dumps(config),
        "DET_HPARAMS": json.dumps(trial["hparams"]),
        "DET_STEPS_COMPLETED": str(run.steps_completed),
        "DET_TASK_TYPE": "TRIAL",
        "DET_PYTHON_EXECUTABLE": cluster.python,
        "DET_SKIP_PIP_INSTALL": "1",
        "C10D_PORT": str(run.first_port),
        "DTRAIN_SSH_PORT": str(run.first_port + 1),
        "INTER_TRAIN_PROCESS_COMM_PORT_1": str(run.first_port + 2),
        "INTER_TRAIN_PROCESS_COMM_PORT_2": str(run.first_port + 2 + (PORTS_PER_RUN - 2) // 2),
        "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
        "PYTHONUSERBASE": str(folder / "pythonuserbase"),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(run.threads),
        # Threads that spin while they wait starve each other under load: we measured a tenfold slowdown.
        "OMP_WAIT_POLICY": "PASSIVE",
        # The harness's checkpoints contain more than weights, and its torch.load call can't allow that.
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        "NO_PROXY": f"{LOOPBACK},localhost",
        "no_proxy": f"{LOOPBACK},localhost",
    }
    if run.latest_checkpoint:
        own["DET_LATEST_CHECKPOINT"] = run.latest_checkpoint
    environment.update(own)
    python_path: list[str] = []
    for entry in config["environment"]["environment_variables"].get("cpu") or []:
        name, _, value = str(entry).partition("=")
        if name == "PYTHONPATH":
            python_path = [value]
        else:
            environment[name] = value
    shim = [str(CONTAINER / "shim"), str(folder / "packages")]
    environment["PYTHONPATH"] = os.pathsep.join([*shim, *python_path])
    search = [str(folder / "packages" / "bin"), str(Path(cluster.python).parent)]
    environment["PATH"] = os.pathsep.join([*search, environment.get("PATH") or os.environ.get("PATH", os.defpath)])
    environment["PDK_TRIAL_RUN_DIR"] = str(folder)
    environment["PDK_TRIAL_PACKAGES"] = str(folder / "packages")
    shared = shared_folder(config["checkpoint_storage"])
    if shared:
        environment["PDK_TRIAL_SHARED_FS"] = shared
    return environment


def command_of(cluster: Cluster, folder: Path) -> list[str]:
    """Return the command that starts a trial; it contains the run's folder to show which run it belongs to."""
    return [cluster.python, str(CONTAINER / "start.py"), str(folder)]


def clean_up(cluster: Cluster, allocation_id: str) -> None:
    """Remove a run's files, except its checkpoints and TensorBoard files."""
    shutil.rmtree(cluster.folder / allocation_id, ignore_errors=True)
    # The harness hard-codes these three in /tmp.
    temporary = Path("/tmp")
    for path in temporary.glob(f"tensorboard-{allocation_id}-*"):
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        (temporary / f"pid_server-{allocation_id}").unlink()
    link = temporary / "tensorboard"
    with contextlib.suppress(OSError):
        if os.readlink(link) == f"/tmp/tensorboard-{allocation_id}-0":
            link.unlink()
