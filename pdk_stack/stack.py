"""Starts, stops, and inspects the embedded stack of a state folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from pdk_shared.checkout import find_checkout
from pdk_shared.errors import StackError
from pdk_stack.client_files import add_images
from pdk_stack.common.logs import tail
from pdk_stack.common.polling import poll
from pdk_stack.common.processes import OWNER_VARIABLE, ProcessGroup, owned_by
from pdk_stack.common.service import read_credentials
from pdk_stack.paths import StatePaths, state_paths
from pdk_stack.ports import choose_ports
from pdk_stack.service_process import service_environment
from pdk_stack.services import LISTENERS, SERVICES
from pdk_stack.state_lock import holder, is_running, unusable

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 75.0
ORPHAN_TIMEOUT_S = 15.0
ADDRESS_KEYS = ("kubeconfig", *LISTENERS.values(), "state_dir")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ServiceStatus:
    """A row of ``pdk-nb status``."""

    name: str
    state: str
    address: str
    pid: int
    reason: str = ""


@contextlib.contextmanager
def _folder_errors(paths: StatePaths) -> Iterator[None]:
    """Convert errors of the state folder to :class:`StackError`."""
    try:
        yield
    except OSError as error:
        raise unusable(paths, error) from error


def addresses(paths: StatePaths) -> dict[str, str]:
    """Return the running stack's addresses.

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
    images: Mapping[str, Path] | None = None,
    progress: Progress = lambda line: None,
) -> tuple[dict[str, str], bool]:
    """Start the stack in the background and wait until it is ready.

    Args:
        state_dir: State folder; see :func:`pdk_stack.paths.state_paths`.
        ports: Requested ports by ``<service>.<listener>``; other listeners get free ones.
        checkout: The lab's checkout; None searches from the working directory.
        images: Folders that replace container images, by the last component of the image's name. The state folder
            keeps them (``images.json``).
        progress: Called with one line per step.

    Returns:
        The stack's addresses, and whether this call started it.

    Raises:
        StackError: A wanted port is taken, the checkout is not found, a service does not start, or the state folder
            cannot be used. Or images are named, but the stack runs already: it reads them when it starts.
        UsageError: The folder of an image doesn't exist.
    """
    paths = state_paths(state_dir)
    with _folder_errors(paths):
        return _up(paths, ports or {}, checkout, images or {}, progress)


def _up(
    paths: StatePaths, ports: dict[str, int], checkout: Path | None, images: Mapping[str, Path], progress: Progress
) -> tuple[dict[str, str], bool]:
    if is_running(paths):
        if images:
            raise StackError(
                "The embedded stack runs already, and reads its images only when it starts.",
                where=str(paths.root),
                fix="pdk-nb down, then the same command again",
            )
        progress(f"The embedded stack is already running on {paths.root}.")
        return _wait_ready(paths, None, progress), False
    checkout = (checkout or find_checkout()).resolve()
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if images:
        add_images(paths, images)
    end_orphans(paths)
    stale = [paths.announcement, paths.failure]
    stale += [path for name in SERVICES for path in (paths.ready(name), paths.death(name))]
    for path in stale:
        path.unlink(missing_ok=True)
    chosen = choose_ports(paths, ports)
    command = [sys.executable, "-m", "pdk_stack.supervisor", "--state-dir", str(paths.root)]
    command += ["--checkout", str(checkout), "--ports", json.dumps(chosen)]
    paths.log("supervisor").parent.mkdir(parents=True, exist_ok=True)
    with paths.log("supervisor").open("ab") as sink:
        environment = {**service_environment(), OWNER_VARIABLE: str(paths.root)}
        process = ProcessGroup(command, environment, folder=paths.root, stdout=sink)
    return _wait_ready(paths, process, progress), True


def _wait_ready(paths: StatePaths, process: ProcessGroup | None, progress: Progress) -> dict[str, str]:
    """Wait until the stack announces its addresses, and report each service that answers."""
    silent = list(SERVICES)

    def announced() -> bool:
        for name in [each for each in silent if paths.ready(each).exists()]:
            silent.remove(name)
            progress(f"  {name} answers")
        if paths.announcement.exists():
            return True
        if not (process.running if process else is_running(paths)):
            raise _start_failure(paths)
        return False

    if poll(announced, START_TIMEOUT_S):
        return addresses(paths)
    raise StackError(
        f"The embedded stack was not ready within {START_TIMEOUT_S:.0f} s.",
        where=str(paths.log("supervisor")),
        fix="pdk-nb down, then pdk-nb up",
    )


def _start_failure(paths: StatePaths) -> StackError:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(paths.failure.read_text())
        return StackError(content["what"], where=content["where"], fix=content["fix"])
    log = paths.log("supervisor")
    return StackError(f"The supervisor ended while starting:\n{tail(log, 12)}", where=str(log), fix="pdk-nb up")


def down(state_dir: str | Path | None = None, *, purge: bool = False, progress: Progress = lambda line: None) -> bool:
    """Stop the stack; keep its state unless ``purge`` is set.

    Returns:
        Whether anything was running.

    Raises:
        StackError: The supervisor does not stop, or the state folder cannot be deleted.
    """
    paths = state_paths(state_dir)
    running = is_running(paths)
    if running:
        progress("Stopping the embedded stack ...")
        with contextlib.suppress(OSError, ValueError):
            os.kill(holder(paths), signal.SIGTERM)
        if not poll(lambda: not is_running(paths), STOP_TIMEOUT_S):
            raise StackError(
                f"The stack did not stop within {STOP_TIMEOUT_S:.0f} s.",
                where=str(paths.log("supervisor")),
                fix=f"kill -9 {paths.lock.read_text()}, then: pdk-nb down",
            )
    orphans = end_orphans(paths)
    with _folder_errors(paths):
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

    Returns:
        The ids of the ended processes.
    """
    found = owned_by(str(paths.root))
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=ORPHAN_TIMEOUT_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return [process.pid for process in found]


def status(state_dir: str | Path | None = None) -> tuple[bool, list[ServiceStatus]]:
    """Return whether the stack is ready, and each service's state."""
    paths = state_paths(state_dir)
    running = is_running(paths)
    rows = []
    for name, entry in SERVICES.items():
        content: dict[str, object] = {}
        reason = ""
        if running:
            with contextlib.suppress(OSError, ValueError):
                content = json.loads(paths.ready(name).read_text())
            reason = "" if content else _last_death(paths, name)
        state = "ready" if content else "stopped" if not running else "down" if reason else "starting"
        address = str(content.get(next(iter(entry.listeners.values())), ""))
        rows.append(ServiceStatus(name, state, address, int(str(content.get("pid", 0))), reason))
    return running and all(row.state == "ready" for row in rows) and paths.announcement.exists(), rows


def _last_death(paths: StatePaths, name: str) -> str:
    """Return how a service ended and when it restarts; empty if it did not end."""
    try:
        death = json.loads(paths.death(name).read_text())
        left = float(death["next_start"]) - time.time()
        again = f"starts again in {left:.0f} s" if left > 0 else "is starting again"
        said = f" (its log ends with: {death['log']})" if death["log"] else ""
        return f"{death['reason']}, {again}{said}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def environment(state_dir: str | Path | None = None) -> dict[str, str]:
    """Return the variables that connect the platforms' own clients to the running stack.

    Raises:
        StackError: The stack is not running.
    """
    paths = state_paths(state_dir)
    known = addresses(paths)
    password = read_credentials(paths.credentials)["admin_password"]
    return {
        "KUBECONFIG": known["kubeconfig"],
        "PACH_CONFIG": str(paths.pachyderm_config),
        "DET_MASTER": known["determined"],
        "DET_USER": "admin",
        "DET_PASS": password,
        "DET_PASSWORD": password,
    }
