"""Start, stop and look at the embedded stack of one state folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pdk_shared.checkout import find_checkout
from pdk_shared.errors import StackError
from pdk_stack.common.service import LOOPBACK, free_port, read_credentials, write_private
from pdk_stack.paths import SERVICES, StatePaths, state_paths
from pdk_stack.supervisor import LISTENERS, service_environment

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 75.0
ADDRESS_KEYS = ("kubeconfig", "pachd", "determined", "kubernetes", "ingress", "s3", "state_dir")


@dataclass(frozen=True)
class ServiceStatus:
    """One row of ``pdk-nb status``."""

    name: str
    state: str
    address: str
    pid: int


def is_running(paths: StatePaths) -> bool:
    """Whether a supervisor holds the state folder."""
    if not paths.lock.exists():
        return False
    with paths.lock.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.flock(handle, fcntl.LOCK_UN)
    return False


def addresses(paths: StatePaths) -> dict[str, str]:
    """The addresses of the running stack.

    Raises:
        StackError: No stack is ready on this state folder.
    """
    if is_running(paths):
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(paths.announcement.read_text())
            return {key: str(content[key]) for key in ADDRESS_KEYS}
    raise StackError("The embedded stack is not running.", where=str(paths.root), fix="pdk-nb up")


def up(
    state_dir: str | Path | None = None,
    *,
    ports: dict[str, int] | None = None,
    checkout: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, str], bool]:
    """Start the stack in the background and return when it is ready.

    Args:
        state_dir: State folder; see :func:`pdk_stack.paths.state_paths`.
        ports: Wanted port by ``<service>.<listener>``; free ones are chosen for the others.
        checkout: The lab's checkout; found from the working folder when None.
        progress: Called with one line per step.

    Returns:
        The stack's addresses, and whether this call started it.

    Raises:
        StackError: A wanted port is taken, the checkout is not found, or a service does not start.
    """
    paths = state_paths(state_dir)
    if is_running(paths):
        progress(f"The embedded stack is already running on {paths.root}.")
        return wait_ready(paths, None, progress), False
    checkout = (checkout or find_checkout()).resolve()
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    end_orphans(paths)
    for stale in (paths.announcement, paths.failure, *(paths.ready(name) for name in SERVICES)):
        stale.unlink(missing_ok=True)
    chosen = choose_ports(paths, ports or {})
    command = [sys.executable, "-m", "pdk_stack.supervisor", "--state-dir", str(paths.root)]
    command += ["--checkout", str(checkout), "--ports", json.dumps(chosen)]
    paths.log("supervisor").parent.mkdir(parents=True, exist_ok=True)
    with paths.log("supervisor").open("ab") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=service_environment(),
            cwd=paths.root,
            start_new_session=True,
        )
    return wait_ready(paths, process, progress), True


def wait_ready(
    paths: StatePaths, process: subprocess.Popen[bytes] | None, progress: Callable[[str], None]
) -> dict[str, str]:
    """Wait until the stack's addresses are there, saying which services answer already."""
    deadline = time.monotonic() + START_TIMEOUT_S
    said: set[str] = set()
    while time.monotonic() < deadline:
        for name in SERVICES:
            if name not in said and paths.ready(name).exists():
                said.add(name)
                progress(f"  {name} answers")
        if paths.announcement.exists():
            return addresses(paths)
        ended = process.poll() is not None if process else not is_running(paths)
        if ended:
            raise _start_failure(paths)
        time.sleep(0.05)
    raise StackError(
        f"The embedded stack was not ready within {START_TIMEOUT_S:.0f} s.",
        where=str(paths.log("supervisor")),
        fix="pdk-nb down, then pdk-nb up",
    )


def _start_failure(paths: StatePaths) -> StackError:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(paths.failure.read_text())
        return StackError(content["what"], where=content["where"], fix=content["fix"])
    tail = ""
    with contextlib.suppress(OSError):
        tail = "\n".join(paths.log("supervisor").read_text(errors="replace").splitlines()[-12:])
    return StackError(
        f"The supervisor ended while starting:\n{tail}", where=str(paths.log("supervisor")), fix="pdk-nb up"
    )


def choose_ports(paths: StatePaths, wanted: dict[str, int]) -> dict[str, int]:
    """Pick a port for every listener: the wanted one, the last one if it is free, or any free one.

    Raises:
        StackError: A wanted port is taken, or its listener is unknown.
    """
    known = [f"{service}.{listener}" for service, names in LISTENERS.items() for listener in names]
    for name in wanted:
        if name not in known:
            raise StackError(f"There is no listener '{name}'.", where="--port", fix=f"Use one of: {', '.join(known)}")
    last: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        last = json.loads(paths.options.read_text())["ports"]
    chosen: dict[str, int] = {}
    for name in known:
        if name in wanted:
            if not port_is_free(wanted[name]):
                raise StackError(
                    f"Port {wanted[name]} for {name} is in use by another program.",
                    where=f"{LOOPBACK}:{wanted[name]}",
                    fix="Leave --port out to use a free one, or stop the other program.",
                )
            chosen[name] = wanted[name]
        elif last.get(name) and port_is_free(last[name]):
            chosen[name] = last[name]
        else:
            while (port := free_port()) in chosen.values():
                pass
            chosen[name] = port
    write_private(paths.options, json.dumps({"ports": chosen}, indent=1))
    return chosen


def port_is_free(port: int) -> bool:
    """Whether a server could listen on a loopback port now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def down(
    state_dir: str | Path | None = None,
    *,
    purge: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> bool:
    """Stop the stack; its state stays unless ``purge``.

    Returns:
        Whether anything was running.

    Raises:
        StackError: The supervisor does not stop.
    """
    paths = state_paths(state_dir)
    running = is_running(paths)
    if running:
        progress("Stopping the embedded stack ...")
        with contextlib.suppress(OSError, ValueError, ProcessLookupError):
            os.kill(int(paths.lock.read_text()), signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while is_running(paths):
            if time.monotonic() > deadline:
                raise StackError(
                    f"The stack did not stop within {STOP_TIMEOUT_S:.0f} s.",
                    where=str(paths.log("supervisor")),
                    fix=f"kill -9 {paths.lock.read_text()}, then: pdk-nb down",
                )
            time.sleep(0.05)
    orphans = end_orphans(paths)
    if purge and paths.root.exists():
        _refuse_foreign_folder(paths)
        shutil.rmtree(paths.root)
        progress(f"Deleted {paths.root}.")
    return running or bool(orphans)


def _refuse_foreign_folder(paths: StatePaths) -> None:
    """Deleting is only for folders that a stack made."""
    if not paths.options.exists() and any(paths.root.iterdir()):
        raise StackError("This folder was not made by the embedded stack, so it is not deleted.", where=str(paths.root))


def end_orphans(paths: StatePaths) -> list[int]:
    """End processes of a stack whose supervisor was killed.

    A process counts when its command line names this state folder, so nothing else is touched.

    Returns:
        The process ids that were ended.
    """
    import psutil

    marker = str(paths.root)
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            is_ours = any(part.startswith("pdk_stack.") for part in line) and marker in line
            # Trials, workers and model servers name their folders; an editor or `tail` is a person's.
            is_child = process.name().startswith(("python", "java")) and any(
                part.startswith(marker + os.sep) for part in line
            )
            if is_ours or is_child:
                found.append(process)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=15)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return [process.pid for process in found]


def status(state_dir: str | Path | None = None) -> tuple[bool, list[ServiceStatus]]:
    """Whether the stack is ready, and each service's state."""
    paths = state_paths(state_dir)
    running = is_running(paths)
    keys = {"kubernetes": "kubernetes", "pachyderm": "pachd", "determined": "determined"}
    rows = []
    for name in SERVICES:
        content: dict[str, object] = {}
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(paths.ready(name).read_text())
        alive = running and bool(content)
        rows.append(
            ServiceStatus(
                name,
                "ready" if alive else ("starting" if running else "stopped"),
                str(content.get(keys[name], "")) if alive else "",
                int(str(content.get("pid", 0))) if alive else 0,
            )
        )
    return running and all(row.state == "ready" for row in rows) and paths.announcement.exists(), rows


def environment(state_dir: str | Path | None = None) -> dict[str, str]:
    """The variables that make the platforms' own clients talk to the running stack.

    Raises:
        StackError: The stack is not running.
    """
    paths = state_paths(state_dir)
    known = addresses(paths)
    credentials = read_credentials(paths.credentials)
    return {
        "KUBECONFIG": known["kubeconfig"],
        "PACH_CONFIG": str(paths.pachyderm_config),
        "DET_MASTER": known["determined"],
        "DET_USER": "admin",
        "DET_PASS": credentials["admin_password"],
        "DET_PASSWORD": credentials["admin_password"],
    }
