"""Run the notebooks in order with papermill, headless, and keep everything that they showed.

``runs/<id>/`` gets each executed notebook, an HTML page of each that asks nothing from outside, and
``summary.json``; ``runs/latest`` points to the newest run. All of it is written when a notebook fails, too.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pdk_nb.headless import EVENT_LOG_VARIABLE, HEADLESS_VARIABLE, read_events, score
from pdk_nb.names import PARTICIPANT_VARIABLE
from pdk_nb.run.html_export import IMAGES, export_html
from pdk_shared.errors import UsageError

KERNEL = "python3"
EVENT_LOG = "record.jsonl"
PARTICIPANT_PARAMETER = "participant"
CELL_SECONDS = 900
KERNEL_START_SECONDS = 120
VERSIONED = (
    "pdk-lab",
    "determined",
    "kserve",
    "kubernetes",
    "python-pachyderm",
    "torch",
    "torchvision",
    "jupyterlab",
    "papermill",
)


@dataclass
class NotebookResult:
    """One executed notebook.

    Attributes:
        name: File name without its suffix.
        status: ``passed``, ``failed`` or ``not run``.
        seconds: Duration.
        checks: Its closing checks: ``state``, ``text`` and ``fix`` of each finding.
        error: What failed, in which cell; empty when it passed.
    """

    name: str
    status: str = "not run"
    seconds: float = 0.0
    checks: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""


@dataclass
class RunResult:
    """One run of the walkthrough; ``summary.json`` holds exactly this."""

    id: str
    status: str
    seconds: float
    seconds_to_first_prediction: float | None
    notebooks: list[NotebookResult]
    predictions: list[dict[str, Any]]
    versions: dict[str, str]
    folder: Path

    def summary(self) -> dict[str, Any]:
        """The summary as plain data."""
        content = asdict(self)
        content.pop("folder")
        return content


def find_notebooks(folder: Path, first: str | None = None, only: str | None = None) -> list[Path]:
    """The notebooks of a folder in order.

    Args:
        folder: Folder of ``NN-name.ipynb`` files.
        first: Number to start at.
        only: Number of the only one to run.

    Raises:
        UsageError: There is none, or none of that number.
    """
    found = sorted(path for path in folder.glob("*.ipynb") if re.match(r"\d\d-", path.name))
    if not found:
        raise UsageError("There are no notebooks.", where=str(folder), fix="pdk-nb run --notebooks DIR")
    numbers = [path.name[:2] for path in found]
    for flag, wanted in (("--from", first), ("--only", only)):
        if wanted is not None and wanted not in numbers:
            raise UsageError(f"There is no notebook {wanted}.", where=flag, fix=f"Use one of: {', '.join(numbers)}")
    if only:
        return [path for path in found if path.name.startswith(only)]
    return [path for path in found if path.name[:2] >= (first or "")]


def parameters_of(notebook: Path) -> dict[str, Any]:
    """The parameters that a notebook declares, as papermill reads them."""
    import papermill

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(papermill.inspect_notebook(str(notebook)))


def check_parameters(notebooks: Sequence[Path], parameters: Mapping[str, str]) -> dict[Path, dict[str, Any]]:
    """Which notebook gets which parameters; each value has the type of the default.

    Raises:
        UsageError: No notebook knows a parameter, or a value is not of its type.
    """
    declared = {path: parameters_of(path) for path in notebooks}
    known = sorted({name for names in declared.values() for name in names})
    for name in parameters:
        if name not in known:
            raise UsageError(
                f"No notebook has a parameter '{name}'.", where=f"-p {name}=...", fix=f"Use one of: {', '.join(known)}"
            )
    return {
        path: {name: _typed(name, value, names[name]) for name, value in parameters.items() if name in names}
        for path, names in declared.items()
    }


def _typed(name: str, text: str, declared: Mapping[str, Any]) -> Any:
    kind = str(declared.get("inferred_type_name") or "str")
    try:
        if kind == "bool":
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if kind in ("int", "float"):
            return int(text) if kind == "int" else float(text)
    except (KeyError, ValueError) as error:
        raise UsageError(f"'{text}' is not a {kind}.", where=f"-p {name}={text}") from error
    return text


def run(
    notebooks_dir: Path,
    out_dir: Path,
    *,
    kubeconfig: str = "",
    first: str | None = None,
    only: str | None = None,
    parameters: Mapping[str, str] | None = None,
    participant: str = "",
    progress: Callable[[str], None] = lambda line: None,
) -> RunResult:
    """Execute notebooks in order; the first failure ends the run.

    Args:
        notebooks_dir: Folder of the notebooks.
        out_dir: Folder of all runs.
        kubeconfig: The cluster; given to each kernel as ``KUBECONFIG`` and as the parameter ``kubeconfig``.
        first: Number to start at.
        only: Number of the only one to run.
        parameters: Values by name, as text.
        participant: Whose things these are, where many people share the cluster; given like the cluster.
        progress: Called with one line per step.

    Returns:
        The result; its ``status`` is ``passed`` or ``failed``.

    Raises:
        UsageError: A notebook or parameter does not exist.
    """
    notebooks = find_notebooks(notebooks_dir, first, only)
    given = check_parameters(notebooks, parameters or {})
    folder = new_run_folder(out_dir)
    copy_images(notebooks_dir, folder)
    results = [NotebookResult(path.stem) for path in notebooks]
    started_at, started = time.time(), time.monotonic()
    status = "failed"
    profile = quiet_profile()
    try:
        for path, result in zip(notebooks, results, strict=True):
            progress(f"[{result.name}] running ...")
            values = dict(given[path])
            for name, value in (("kubeconfig", kubeconfig), (PARTICIPANT_PARAMETER, participant)):
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
                    EVENT_LOG_VARIABLE: str(folder / EVENT_LOG),
                    "IPYTHONDIR": profile.name,
                },
            )
            fine = sum(check["state"] == "ok" for check in result.checks)
            progress(f"[{result.name}] {result.status} in {result.seconds:.1f} s, {fine} check(s) ok")
            if result.status != "passed":
                break
        else:
            status = "passed"
    finally:
        # Also when somebody interrupts the run: what was done is written down.
        profile.cleanup()
        finished = time.monotonic() - started
        outcome = _result(folder, status, finished, started_at, results)
        (folder / "summary.json").write_text(json.dumps(outcome.summary(), indent=1) + "\n")
        _point_latest(folder)
        _print_outcome(outcome, progress)
    return outcome


def quiet_profile() -> tempfile.TemporaryDirectory[str]:
    """An IPython folder of the run's own: nobody's start-up files, and no words of the kernel about itself."""
    folder = tempfile.TemporaryDirectory(prefix="pdk-ipython-", ignore_cleanup_errors=True)
    config = Path(folder.name) / "profile_default" / "ipython_kernel_config.py"
    config.parent.mkdir()
    config.write_text("c = get_config()\nc.IPKernelApp.log_level = 50\nc.HistoryManager.enabled = False\n")
    return folder


def new_run_folder(out_dir: Path) -> Path:
    """A new folder named after this moment."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        folder = (out_dir / f"{stamp}{suffix}").resolve()
        if not folder.exists():
            folder.mkdir(parents=True)
            return folder
    raise UsageError("No name is left for a new run.", where=str(out_dir))


def copy_images(notebooks_dir: Path, folder: Path) -> None:
    """The pictures that the notebooks' text shows, beside the executed ones."""
    images = notebooks_dir / IMAGES
    if images.is_dir():
        shutil.copytree(images, folder / IMAGES, dirs_exist_ok=True)


def execute(
    notebook: Path, folder: Path, values: Mapping[str, Any], result: NotebookResult, environment: Mapping[str, str]
) -> None:
    """Execute one notebook and fill in its result; never raises for what happens inside the notebook."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    target = folder / notebook.name
    events = Path(environment[EVENT_LOG_VARIABLE])
    before = len(read_events(events))
    started = time.monotonic()
    try:
        with _environment({**environment, HEADLESS_VARIABLE: "1"}), warnings.catch_warnings():
            # papermill and nbclient warn about their own dependencies; nothing in it is ours to mend.
            warnings.simplefilter("ignore")
            papermill.execute_notebook(
                str(notebook.resolve()),
                str(target),
                parameters=dict(values),
                kernel_name=KERNEL,
                cwd=str(notebook.resolve().parent),
                progress_bar=False,
                log_output=False,
                request_save_on_cell_execute=True,
                execution_timeout=CELL_SECONDS,
                start_timeout=KERNEL_START_SECONDS,
            )
        result.error = incomplete_cell(target)
    except PapermillExecutionError as error:
        message = re.sub(r"\x1b\[[0-9;]*m", "", f"{error.ename}: {error.evalue}")
        result.error = f"{notebook.name}, {failed_cell(target)}: {message}"
    except Exception as error:  # a dead kernel, a time-out, a broken file: the run must still be written down
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


@contextmanager
def _environment(values: Mapping[str, str]) -> Any:
    """Set environment variables for the kernels that start meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if value})
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old


def incomplete_cell(executed: Path) -> str:
    """What was not executed; papermill takes a notebook that calls ``exit()`` for a success."""
    import nbformat

    notebook = nbformat.read(str(executed), as_version=4)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        state = cell.metadata.get("papermill", {}).get("status")
        if state != "completed":
            return f"{executed.name}, {cell_name(executed, index)}: the cell is {state or 'not executed'}"
    return ""


def failed_cell(executed: Path) -> str:
    """How to find the cell that failed; papermill's own index does not count the banners that it adds."""
    import nbformat

    notebook = nbformat.read(str(executed), as_version=4)
    for index, cell in enumerate(notebook.cells):
        if cell.metadata.get("papermill", {}).get("status") == "failed":
            return cell_name(executed, index)
    return "an unknown cell"


def cell_name(executed: Path, index: int) -> str:
    """How to find a cell: its id, or its position."""
    import nbformat

    try:
        cells = nbformat.read(str(executed), as_version=4).cells
        return f"cell '{cells[index].get('id', index)}'"
    except (OSError, ValueError, IndexError):
        return f"cell {index}"


def _result(folder: Path, status: str, seconds: float, started_at: float, notebooks: list[NotebookResult]) -> RunResult:
    lines = [line for line in read_events(folder / EVENT_LOG) if line["kind"] == "prediction"]
    predictions = [{key: line[key] for key in ("image", "expected", "label", "correct")} for line in lines]
    first = round(lines[0]["time"] - started_at, 2) if lines else None
    return RunResult(folder.name, status, round(seconds, 2), first, notebooks, predictions, versions(), folder)


def versions() -> dict[str, str]:
    """Versions of what the run used."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _point_latest(folder: Path) -> None:
    """Let ``latest`` name the newest run."""
    link = folder.parent / "latest"
    if link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)


def _print_outcome(outcome: RunResult, progress: Callable[[str], None]) -> None:
    if outcome.predictions:
        progress("")
        progress(f"{'PICTURE':<28} {'SHOULD BE':<10} {'PREDICTED':<10}")
        for line in outcome.predictions:
            mark = {True: "right", False: "WRONG"}.get(line["correct"], "")
            progress(f"{line['image']:<28} {line['expected'] or '-':<10} {line['label']:<10} {mark}")
        progress(f"{score(outcome.predictions)} predictions are right.")
    progress("")
    if outcome.seconds_to_first_prediction is not None:
        progress(f"First prediction after {outcome.seconds_to_first_prediction:.0f} s, all in {outcome.seconds:.0f} s.")
    progress(f"Notebooks: {outcome.folder}")
    progress(f"Report:    {outcome.folder / 'summary.json'}")
    for each in outcome.notebooks:
        if each.error:
            progress(f"FAILED: {each.error}")
            progress(f"  look at: {outcome.folder / (each.name + '.html')}")
    progress(f"The run {outcome.status}.")
