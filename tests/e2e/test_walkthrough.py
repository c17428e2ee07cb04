"""The walkthrough: every notebook, in order, on the embedded stack. One test per notebook."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pdk_nb.runner import NotebookResult, execute, find_notebooks, parameters_of
from tests.e2e.conftest import ROOT, pdk_nb

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
NOTEBOOKS = find_notebooks(ROOT / "notebooks")
BEFORE_THE_END = [path for path in NOTEBOOKS if path.name < "99"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("executed")


def run_notebook(path: Path, folder: Path, stack: dict[str, str], **parameters: Any) -> NotebookResult:
    result = NotebookResult(path.stem)
    values = {"kubeconfig": stack["kubeconfig"], **parameters}
    values = {name: value for name, value in values.items() if name in parameters_of(path)}
    execute(
        path,
        folder,
        values,
        result,
        {"KUBECONFIG": stack["kubeconfig"], "PDK_RUN_RECORD": str(folder / "record.jsonl")},
    )
    assert result.status == "passed", result.error
    return result


@pytest.mark.parametrize("path", BEFORE_THE_END, ids=lambda path: path.stem)
def test_notebook(path: Path, folder: Path, stack: dict[str, str]) -> None:
    result = run_notebook(path, folder, stack, min_accuracy=0.95)
    assert result.checks
    assert {check["state"] for check in result.checks} == {"ok"}


def test_predictions_are_right(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]
    predictions = {line["image"]: line for line in lines if line["kind"] == "prediction"}
    assert predictions["cat.json"]["label"] == "cat"
    assert predictions["dog.json"]["label"] == "dog"
    pictures = [line for name, line in predictions.items() if name.endswith(".jpg")]
    assert len(pictures) == 6
    assert sum(bool(line["correct"]) for line in pictures) >= 5


def test_the_guides_kubectl_and_curl(stack: dict[str, str]) -> None:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("kubectl is not installed")

    def get(*arguments: str) -> str:
        command = [kubectl, "--kubeconfig", stack["kubeconfig"], *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    header, row = get("-n", "models", "get", "inferenceservices").splitlines()
    assert header.split()[:3] == ["NAME", "URL", "READY"]
    assert row.split()[:3] == ["dog-cat", "http://dog-cat.models.example.com", "True"]
    host, port = (
        get("get", "cm", "pdk-config", f"-o=jsonpath={{.data.kserve_ingress_{key}}}") for key in ("host", "port")
    )
    for name, index in (("cat", 1), ("dog", 0)):
        # As curl -d sends it: with a form's content type.
        call = urllib.request.Request(
            f"http://{host}:{port}/v1/models/dogs-and-cats:predict",
            (ROOT / "sample-data" / f"{name}.json").read_bytes(),
            {"Host": "dog-cat.models.example.com", "Content-Type": "application/x-www-form-urlencoded"},
        )
        with urllib.request.urlopen(call, timeout=30) as answer:
            assert answer.status == 200
            assert json.loads(answer.read()) == {"predictions": [index]}


def test_a_second_run_changes_nothing(folder: Path, stack: dict[str, str]) -> None:
    again = folder / "again"
    again.mkdir()
    for path in BEFORE_THE_END[:3]:
        run_notebook(path, again, stack)
    text = (again / "02-commit-data.ipynb").read_text()
    assert "no new commit" in text
    setup = json.loads((again / "01-project-and-pipelines.ipynb").read_text())
    outputs = json.dumps([cell.get("outputs") for cell in setup["cells"]])
    assert "unchanged" in outputs
    assert "created" not in outputs


def test_predict_on_the_command_line(stack: dict[str, str]) -> None:
    picture = sorted((ROOT / "sample-data" / "pred").glob("*.jpg"))[0]
    done = pdk_nb("predict", str(picture), "--kubeconfig", stack["kubeconfig"], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] in ("dog", "cat")


def test_killing_everything_loses_nothing(stack: dict[str, str], folder: Path) -> None:
    import psutil

    for process in psutil.process_iter():
        try:
            if stack["state_dir"] in " ".join(process.cmdline()):
                process.kill()
        except psutil.Error:
            continue
    done = pdk_nb("up", "--json", "--state-dir", stack["state_dir"])
    assert done.returncode == 0, done.stderr
    stack.update(json.loads(done.stdout))
    after = folder / "after"
    after.mkdir()
    # Its check asks for the service, both versions and the newest commit.
    for number in ("04", "05"):
        run_notebook(next(path for path in NOTEBOOKS if path.name.startswith(number)), after, stack)


def test_clean_up_leaves_nothing(folder: Path, stack: dict[str, str]) -> None:
    run_notebook(NOTEBOOKS[-1], folder, stack)
    again = folder / "clean-again"
    again.mkdir()
    run_notebook(NOTEBOOKS[-1], again, stack)
    assert "Nothing of the lab is on the cluster" in (again / NOTEBOOKS[-1].name).read_text()


def test_no_secret_is_in_any_artefact(folder: Path, stack: dict[str, str]) -> None:
    credentials = json.loads((Path(stack["state_dir"]) / "private" / "credentials.json").read_text())
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_text(errors="ignore")
            for name, secret in credentials.items():
                assert secret not in content, f"{name} is in {path.name}"
