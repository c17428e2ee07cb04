"""Run the notebooks in order with papermill, headless, and keep all their output.

``runs/<id>/`` contains each executed notebook, an offline HTML page for each, and ``summary.json``; ``runs/latest``
points to the newest run. The runner writes these files even when a notebook fails.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pdk_nb.counting import counted
from pdk_nb.example import DEFAULT, find
from pdk_nb.headless import EVENT_LOG_VARIABLE, HEADLESS_VARIABLE, read_events
from pdk_nb.names import EXAMPLE_VARIABLE, PARTICIPANT_VARIABLE
from pdk_nb.run.html_export import IMAGES, export_html
from pdk_nb.run.kernels import environment_variables, kernels_in, quiet_profile
from pdk_nb.run.notebooks import check_parameters, failed_cell, find_notebooks, incomplete_cell, parameters_of
from pdk_nb.run.results import NotebookResult, RunResult, collect
from pdk_nb.tasks.notebooks import write
from pdk_shared.errors import UsageError

__all__ = ["execute", "run"]

KERNEL = "python3"
EVENT_LOG = "record.jsonl"
PARTICIPANT_PARAMETER, EXAMPLE_PARAMETER = "participant", "example"
CELL_SECONDS = 900
KERNEL_START_SECONDS = 120
# papermill's own bar (tqdm); the line disappears when the notebook ends.
CELL_BAR = {"bar_format": "[{desc}] cell {n_fmt} of {total_fmt}, {elapsed}", "leave": False}


def run(
    notebooks_dir: Path,
    out_dir: Path,
    *,
    kubeconfig: str = "",
    first: str | None = None,
    only: str | None = None,
    until: str | None = None,
    clean_up: bool = True,
    electives: bool = False,
    parameters: Mapping[str, str] | None = None,
    participant: str = "",
    example: str = "",
    progress: Callable[[str], None] = lambda line: None,
    cell_bar: bool = False,
) -> RunResult:
    """Execute notebooks in order; the first failure ends the run.

    Args:
        notebooks_dir: Folder of the notebooks.
        out_dir: Folder of all runs.
        kubeconfig: The cluster; given to each kernel as ``KUBECONFIG`` and as the parameter ``kubeconfig``.
        first: Number to start at.
        only: Number of the only one to run.
        until: Number of the last one to run.
        clean_up: Whether the last notebook removes what the others created.
        electives: Whether the elective notebooks belong to the run.
        parameters: Values by name, as text.
        participant: The participant, if many people share the cluster; passed in the same ways as the cluster.
        example: The example, a folder under ``examples``; the default one when empty. Passed in the same ways.
        progress: Called with one line for each step.
        cell_bar: Whether stderr is a terminal that shows the cell that runs: ``cell 4 of 11``.

    Returns:
        The result; its ``status`` is ``passed`` or ``failed``.

    Raises:
        UsageError: A notebook or parameter doesn't exist.
        SpecError: There is no such example, or its contract is wrong.
    """
    with _notebooks_of(example, notebooks_dir) as own_dir:
        notebooks = find_notebooks(own_dir, first, only, until, clean_up=clean_up, electives=electives)
        given = check_parameters(notebooks, parameters or {})
        folder = new_run_folder(out_dir)
        copy_images(own_dir, folder)
        return _run_all(
            notebooks, given, folder, kubeconfig, participant, example, notebooks_dir, progress, cell_bar=cell_bar
        )


@contextlib.contextmanager
def _notebooks_of(example: str, notebooks_dir: Path) -> Iterator[Path]:
    """The folder of the example's notebooks; those that aren't the default example's are removed after the run."""
    if example in ("", DEFAULT):
        yield notebooks_dir
        return
    with tempfile.TemporaryDirectory(prefix="pdk-notebooks-") as scratch:
        yield write(notebooks_dir, Path(scratch), find(example))


def _run_all(
    notebooks: Sequence[Path],
    given: Mapping[Path, Mapping[str, Any]],
    folder: Path,
    kubeconfig: str,
    participant: str,
    example: str,
    home: Path,
    progress: Callable[[str], None],
    *,
    cell_bar: bool,
) -> RunResult:
    results = [NotebookResult(path.stem) for path in notebooks]
    started_at, started = time.time(), time.monotonic()
    status = "failed"
    try:
        for path, result in zip(notebooks, results, strict=True):
            progress(f"[{result.name}] running ...")
            values = dict(given[path])
            own = (("kubeconfig", kubeconfig), (PARTICIPANT_PARAMETER, participant), (EXAMPLE_PARAMETER, example))
            for name, value in own:
                if value and name in parameters_of(path):
                    values[name] = str(value)
            execute(
                path,
                folder,
                values,
                result,
                {
                    "KUBECONFIG": kubeconfig,
                    PARTICIPANT_VARIABLE: participant,
                    EXAMPLE_VARIABLE: example,
                    EVENT_LOG_VARIABLE: str(folder / EVENT_LOG),
                },
                cell_bar=cell_bar,
                home=home,
            )
            fine = sum(check["state"] == "ok" for check in result.checks)
            progress(f"[{result.name}] {result.status} in {result.seconds:.1f} s, {counted(fine, 'check')} ok")
            if result.status != "passed":
                break
        else:
            status = "passed"
    finally:
        # Also when somebody interrupts the run: the results so far are kept.
        seconds = time.monotonic() - started
        outcome = collect(folder, status, seconds, started_at, results, read_events(folder / EVENT_LOG))
        (folder / "summary.json").write_text(json.dumps(outcome.summary(), indent=1) + "\n")
        _point_latest(folder)
        for line in outcome.lines():
            progress(line)
    return outcome


def new_run_folder(out_dir: Path) -> Path:
    """A new folder, named after the current time."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
            folder = (out_dir / f"{stamp}{suffix}").resolve()
            with contextlib.suppress(FileExistsError):  # of another run that started in the same second
                folder.mkdir()
                return folder
    except OSError as error:
        raise UsageError(
            f"Can't make a folder for the results: {error.strerror}.", where=str(out_dir), fix="pdk-nb run --out DIR"
        ) from error
    raise UsageError("Can't find an unused name for a new run.", where=str(out_dir))


def copy_images(notebooks_dir: Path, folder: Path) -> None:
    """Copy the pictures of the notebooks' text next to the executed notebooks."""
    images = notebooks_dir / IMAGES
    if images.is_dir():
        shutil.copytree(images, folder / IMAGES, dirs_exist_ok=True)


def execute(
    notebook: Path,
    folder: Path,
    values: Mapping[str, Any],
    result: NotebookResult,
    environment: Mapping[str, str],
    *,
    cell_bar: bool = False,
    home: Path | None = None,
) -> None:
    """Execute one notebook. Errors inside it aren't raised, but recorded in its result.

    Args:
        notebook: The notebook.
        folder: The run's folder, for the executed notebook and its page.
        values: Parameters by name.
        result: Filled in.
        environment: Variables for the kernel; includes the event log's path.
        cell_bar: Whether to show the running cell on stderr, a terminal.
        home: Where the kernel runs, and so finds the lab's files; the notebook's folder when None.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    target = folder / notebook.name
    events = Path(environment[EVENT_LOG_VARIABLE])
    before = len(read_events(events))
    started = time.monotonic()
    try:
        with (
            quiet_profile() as profile,
            environment_variables({**environment, HEADLESS_VARIABLE: "1", "IPYTHONDIR": profile}),
            warnings.catch_warnings(),
        ):
            # papermill and nbclient warn about their own dependencies, which we can't fix.
            warnings.simplefilter("ignore")
            papermill.execute_notebook(
                str(notebook.resolve()),
                str(target),
                parameters=dict(values),
                kernel_name=KERNEL,
                cwd=str((home or notebook.parent).resolve()),
                progress_bar={**CELL_BAR, "desc": notebook.stem} if cell_bar else False,
                log_output=False,
                request_save_on_cell_execute=True,
                execution_timeout=CELL_SECONDS,
                start_timeout=KERNEL_START_SECONDS,
                kernel_manager_class=kernels_in(profile),
            )
        result.error = incomplete_cell(target)
    except PapermillExecutionError as error:
        message = re.sub(r"\x1b\[[0-9;]*m", "", f"{error.ename}: {error.evalue}")
        result.error = f"{notebook.name}, {failed_cell(target)}: {message}"
    except Exception as error:  # a dead kernel, a timeout, a broken file: the run must still be recorded
        result.error = f"{notebook.name}: {type(error).__name__}: {error}"
    result.seconds = round(time.monotonic() - started, 2)
    result.checks = [
        {key: line[key] for key in ("notebook", "state", "text", "fix")}
        for line in read_events(events)[before:]
        if line["kind"] == "check"
    ]
    if not result.error and not result.checks:
        result.error = f"{notebook.name} ended without its closing check."
    result.status = "failed" if result.error else "passed"
    if target.exists():
        export_html(target)


def _point_latest(folder: Path) -> None:
    """Point ``latest`` to the newest run."""
    link = folder.parent / "latest"
    if link.is_symlink() or not link.exists():
        # In one step, because another run may do the same.
        new = folder.parent / f".latest-{folder.name}"
        new.symlink_to(folder.name)
        new.replace(link)
