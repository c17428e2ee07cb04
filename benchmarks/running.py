"""A running stack and a running console, for the benchmarks of the console."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.support.command_line import ROOT, pdk_nb

__all__ = ["console", "stack"]


@contextlib.contextmanager
def stack(state: Path) -> Iterator[str]:
    """A running stack: its kubeconfig.

    Args:
        state: Its state folder.
    """
    done = pdk_nb("up", "--json", "--state-dir", str(state))
    assert done.returncode == 0, done.stderr
    try:
        yield str(json.loads(done.stdout)["kubeconfig"])
    finally:
        pdk_nb("down", "--state-dir", str(state))


@contextlib.contextmanager
def console(kubeconfig: str) -> Iterator[tuple[httpx.Client, int]]:
    """A visitor of a console of its own, who has been let in, and the console's process id.

    Args:
        kubeconfig: The cluster.
    """
    command = [sys.executable, "-m", "pdk_nb.cli", "ui", "--kubeconfig", kubeconfig]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with httpx.Client(base_url=address.partition("/?")[0], timeout=300, follow_redirects=True) as client:
            client.get(f"/?{address.partition('/?')[2]}")
            yield client, process.pid
    finally:
        process.terminate()
        process.wait(30)
