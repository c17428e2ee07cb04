"""Disk and memory of this machine: for the notebooks alone, or for all of the lab where the nodes work here, too."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pdk_nb.doctor.context import Context
from pdk_nb.doctor.finding import Finding, Findings, State
from pdk_nb.doctor.nodes import run_processes
from pdk_nb.doctor.resources import Machine
from pdk_nb.settings import kubeconfig_path
from pdk_shared.errors import SettingsError

GIB = 1024**3


@dataclass(frozen=True)
class Needs:
    """What the lab needs of this machine, in GiB.

    Attributes:
        work: What needs it.
        disk: Below this, it fails before its end.
        good_disk: Below this, it works once, but not for long.
        memory: Below this, the system ends processes.
        good_memory: Below this, it swaps.
    """

    work: str
    disk: float
    good_disk: float
    memory: float
    good_memory: float


# Measured over notebooks 00 to 06 with the lab's own pets, on two cores. Memory: a trial 0.8 GiB, each of the two model
# servers of a roll-out 0.75 GiB, the services 0.5 GiB, a notebook's kernel 0.2 GiB. Disk: state and executed notebooks
# 0.03 GiB; a person's own photos are kept in full size, and once more while a job reads them.
WALKTHROUGH = Needs("a walkthrough", 0.2, 1.0, 1.0, 3.0)
# Of these, what notebooks need if the platforms work elsewhere: kernels, pictures, and executed notebooks.
NOTEBOOKS = Needs("the notebooks", 0.1, 0.5, 0.3, 1.0)


def folders_of(context: Context) -> list[Path]:
    """The folders that the lab writes to on this machine.

    The embedded stack keeps its kubeconfig in its state folder. Executed notebooks are below the current one.
    """
    folders = []
    # Another finding tells that there is no kubeconfig.
    with contextlib.suppress(SettingsError):
        files = kubeconfig_path(context.kubeconfig or None) or ""
        folders += [Path(each).parent for each in files.split(os.pathsep) if each]
    return [*folders, Path.cwd(), Path(tempfile.gettempdir()), Path.home()]


def examine(context: Context) -> Findings:
    """All findings of this group."""
    found = context.machine or Machine.look(folders_of(context))
    needs = WALKTHROUGH if run_processes(context) else NOTEBOOKS
    yield _disk(found, needs)
    yield _memory(found, needs)


def _disk(machine: Machine, needs: Needs) -> Finding:
    folder, free = min(machine.disk.items(), key=lambda each: each[1])
    what = f"{free / GIB:.1f} GiB of disk are free"
    if free >= needs.good_disk * GIB:
        return Finding("machine.disk", "ok", f"{what}.", str(folder))
    state: State = "broken" if free < needs.disk * GIB else "warning"
    why = f"{needs.work.capitalize()} with room to spare need {needs.good_disk:g} GiB; without room, files are cut off."
    fix = f"Delete what you don't need, for example old folders in runs; du -xh {folder} | sort -h | tail  shows more."
    return Finding("machine.disk", state, f"Only {what}.", str(folder), why, fix)


def _memory(machine: Machine, needs: Needs) -> Finding:
    what = f"{machine.memory / GIB:.1f} GiB of memory are available"
    if machine.memory >= needs.good_memory * GIB:
        return Finding("machine.memory", "ok", f"{what}.")
    state: State = "broken" if machine.memory < needs.memory * GIB else "warning"
    why = f"For {needs.work}, {needs.good_memory:g} GiB are comfortable; if memory runs out, the system ends processes."
    fix = "Shut down kernels that you don't use (JupyterLab: Running Terminals and Kernels), or end other programs."
    return Finding("machine.memory", state, f"Only {what}.", "", why, fix)
