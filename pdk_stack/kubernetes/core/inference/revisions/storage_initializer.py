"""Fetches a revision's model: runs KServe's downloader in a separate process (:mod:`.fetch`)."""

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
#: Process id file in a revision's folder, for cleanup after a crash.
PROCESS_NOTE = "fetch.json"


def fetch_model(
    source: str,
    folder: Path,
    environment: dict[str, str],
    on_failure: Callable[[str, bool], None],
    superseded: Callable[[], bool],
) -> None:
    """Fetch a model into ``mnt/models`` of a revision's folder.

    Args:
        source: A URI or a local folder.
        folder: The revision's folder.
        environment: Storage credentials.
        on_failure: Called after each failed try with the reason, and whether the model is merely absent.
        superseded: Returns whether a newer revision is wanted, which cancels the fetch.

    Raises:
        ModelServerError: The model could not be fetched in time.
        Superseded: A newer revision is wanted.
    """
    command = [sys.executable, "-W", "ignore", "-m", PROGRAM, source, str(folder / MOUNT.lstrip("/"))]
    log = folder / f"{INITIALIZER}.log"
    with log.open("wb") as sink:
        process = ProcessGroup([*command, str(FETCH_SECONDS)], {**os.environ, **environment}, stderr=sink)
    process.note(folder / PROCESS_NOTE)
    keep_times(log, process)
    last, absent = "the storage initializer ended without an error message", False

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
