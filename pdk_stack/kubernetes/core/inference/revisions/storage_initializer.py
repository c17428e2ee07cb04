"""Bring a revision's model: KServe's downloader in a process of its own (:mod:`.fetch`), followed until it ends."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pdk_stack.common.polling import poll
from pdk_stack.common.processes import ProcessGroup
from pdk_stack.kubernetes.core.container_logs import keep_times
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason, Superseded
from pdk_stack.kubernetes.core.inference.revisions.template import INITIALIZER
from pdk_stack.kubernetes.core.inference.servers.custom_predictor import MOUNT
from pdk_stack.kubernetes.core.inference.servers.model_server import STOP_SECONDS

FETCH_SECONDS = 180.0
PROGRAM = "pdk_stack.kubernetes.core.inference.revisions.fetch"
#: In a revision's folder: which process it was, for a daemon that comes after a crash.
PROCESS_NOTE = "fetch.json"


def fetch_model(
    source: str,
    folder: Path,
    environment: dict[str, str],
    on_failure: Callable[[str, bool], None],
    superseded: Callable[[], bool],
) -> None:
    """Bring a model into ``mnt/models`` of a revision's folder.

    Args:
        source: Where it lies: a URI or a local folder.
        folder: The revision's folder.
        environment: Storage credentials.
        on_failure: Told the reason of each failed try, and whether the model is merely not there.
        superseded: Whether a newer revision is wanted; then the fetch is given up.

    Raises:
        ModelServerError: It could not be fetched in time.
        Superseded: A newer revision is wanted.
    """
    command = [sys.executable, "-W", "ignore", "-m", PROGRAM, source, str(folder / MOUNT.lstrip("/"))]
    log = folder / f"{INITIALIZER}.log"
    with log.open("wb") as sink:
        process = ProcessGroup([*command, str(FETCH_SECONDS)], {**os.environ, **environment}, stderr=sink)
    process.note(folder / PROCESS_NOTE)
    keep_times(log, process)
    last, absent = "the storage initialiser ended without a word", False

    def read() -> None:
        nonlocal last, absent
        with process.stdout as lines:  # type: ignore[union-attr]
            for line in lines:
                if line.startswith(b"{"):
                    told = json.loads(line)
                    last, absent = str(told["reason"]), bool(told["absent"])
                    on_failure(last, absent)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    if not poll(lambda: not process.running, None, stop=superseded):
        process.stop(STOP_SECONDS)
        raise Superseded
    reader.join(5)
    if process.exit_code:
        reason = Reason.STORAGE_NOT_FOUND if absent else Reason.STORAGE_FAILED
        raise ModelServerError(f"storage-initializer: {last}", process.exit_code, reason)
