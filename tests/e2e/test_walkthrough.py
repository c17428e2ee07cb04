"""The walkthrough: every notebook, in order, on the embedded stack. One test per notebook."""

from __future__ import annotations

import contextlib
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes
import pytest
import yaml
from PIL import Image

from pdk_nb import configure
from pdk_nb.configure.console import console
from pdk_nb.console.pages import services
from pdk_nb.console.pages.catalog import PAGES
from pdk_nb.console.usage import Histories
from pdk_nb.lab import connect
from pdk_nb.lessons import EXERCISES, EXPLANATIONS, find_exercise
from pdk_nb.lessons.explanation import value_at
from pdk_nb.platforms import mlde
from pdk_nb.run.notebooks import find_notebooks, parameters_of
from pdk_nb.run.results import NotebookResult
from pdk_nb.run.runner import execute
from pdk_shared.errors import PdkError
from pdk_stack.kubernetes.api.request_info import request_info
from tests.e2e.conftest import ROOT, pdk_nb
from tests.e2e.exam import SECTIONS, Section
from tests.support.console import Visitor
from tests.support.packages import needs_kserve
from tests.support.secret_search import found_in, found_in_files

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
NOTEBOOKS = find_notebooks(ROOT / "notebooks", electives=True)
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
    result = run_notebook(path, folder, stack, min_accuracy=0.9)
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


def texts(path: Path) -> list[str]:
    """The plain text of each output of an executed notebook."""
    cells = json.loads(path.read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return ["".join(output.get("data", {}).get("text/plain", output.get("text", ""))) for output in outputs]


def test_the_second_arrival_fixes_what_the_first_lacks(folder: Path) -> None:
    shown = texts(folder / "06-second-arrival.ipynb")
    table = next(text for text in shown if "pictures that neither was trained with" in text).splitlines()
    columns = table[1].split()[2:]
    # A version's title has spaces; what follows it doesn't.
    shares = [[float(share.rstrip("%")) / 100 for share in line.split()[-len(columns) :]] for line in table[2:4]]
    old, new = (dict(zip(columns, row, strict=True)) for row in shares)
    assert 0.75 <= old["ALL"] <= 0.93, table
    assert new["ALL"] >= 0.97, table
    # What the first arrival shows was learned at once; what it lacks wasn't.
    assert old["COMMON"] >= 0.95, table
    assert min(old[kind] for kind in ("NIGHT", "SNOW", "CHALK", "BREED")) < 0.85, table
    assert any("it is more than chance" in text for text in shown)


def lineage(stack: dict[str, str], *arguments: str) -> dict[str, Any]:
    done = pdk_nb("lineage", *arguments, "--json", "--kubeconfig", stack["kubeconfig"])
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def stations(chain: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in chain["stations"]}


def test_the_lineage_leads_from_the_service_to_the_pictures_and_follows_a_roll_back(stack: dict[str, str]) -> None:
    lab = connect(stack["kubeconfig"])
    newest = lineage(stack)
    assert newest["whole"], newest
    new = stations(newest)
    assert new["files"]["count"] == 680
    assert new["continues from"]["id"] != newest["id"]
    old_id = new["continues from"]["id"]
    lab.serve_version(old_id)
    rolled = lineage(stack)
    old = stations(rolled)
    assert rolled["id"] == old_id
    assert old["files"]["count"] == 400
    assert "continues from" not in old
    assert old["checkpoint"]["id"] != new["checkpoint"]["id"]
    forward = stations(lineage(stack, newest["id"][:8]))
    assert (forward["service"]["serves_now"], forward["service"]["served_before"]) == (False, True)
    answer = lab.ask(lab.samples()[:1])[0][1]
    assert lab.lineage(prediction=answer).id == old_id
    lab.serve_version(newest["id"])
    picture = pdk_nb("lineage", "--svg", "--kubeconfig", stack["kubeconfig"])
    assert ElementTree.fromstring(picture.stdout).get("role") == "img"


def test_the_console_leads_from_the_pictures_to_the_service(stack: dict[str, str]) -> None:
    lab = connect(stack["kubeconfig"])
    visitor, names, id = Visitor(lab.session), lab.names, lab.latest_commit()
    flow = visitor.get("/")
    data, job = f"/data/{names.project}/{names.data_repo}", f"/jobs/{names.project}/{names.train_pipeline}/{id}"
    for address in (f"{data}/{id}", job, f"/models/{names.model}", f"/services/{names.service}"):
        assert f'href="{address}"' in flow
    commit = visitor.get(f"{data}/{id}")
    assert re.search(r"<th scope=.row.>dog</th><td>3\d\d</td>", commit), commit
    folder = visitor.get(f"{data}/{id}?path=data2")
    picture = html.unescape(next(re.finditer(r'src="(/thumbnail/[^"]+)"', follow(visitor, folder))).group(1))
    small = Image.open(io.BytesIO(visitor.content(picture)))
    assert max(small.size) <= 160
    whole = visitor.content(picture.replace("/thumbnail/", "/download/"))
    assert min(Image.open(io.BytesIO(whole)).size) > 0 and len(whole) != 0
    changes = visitor.get(f"/changes/{names.project}/{names.data_repo}/{id}")
    assert "0 changed, 0 removed" in changes
    experiment = int(next(re.finditer(r'href="/experiments/(\d+)"', flow)).group(1))
    assert f"/experiments/{experiment}" in visitor.get("/experiments")
    page = visitor.get(f"/experiments/{experiment}")
    assert "Training loss" in page and "Validation accuracy" in page and "checkpoint_policy: best" in page
    assert "learning from" in page
    first, second = experiment, next(each.id for each in lab.determined.list_experiments() if each.id != experiment)
    assert page.count("<svg") >= 1 and f"experiment {first}" in visitor.get(f"/compare?ids={first},{second}")
    versions = visitor.get(f"/models/{names.model}")
    assert f"/journey?id={id}" in versions and "ready" in versions
    service = visitor.get(f"/services/{names.service}")
    assert "100 %" in service and "curl" in service and "Bearer" not in service
    assert "ok" in visitor.get("/doctor?look=1")
    assert not found_in("".join([flow, commit, page, versions, service]).encode(), credentials(stack))


def test_the_consoles_account_may_read_every_page_and_has_no_right_too_many(
    stack: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    administrator = connect(stack["kubeconfig"]).session.kubernetes
    objects = [each for each in console() if each["kind"] != "Deployment"]
    for each in objects:
        configure.put(administrator, each)
    kubeconfig = as_account(administrator, objects[1]["metadata"], tmp_path / "kubeconfig")
    # Other tests may have replaced the pods that the walkthrough asked.
    lab = connect(stack["kubeconfig"])
    lab.predict_pictures(lab.samples()[:1])
    asked: set[tuple[str, str, str, str]] = set()
    request = kubernetes.client.rest.RESTClientObject.request

    def record(self: Any, method: str, url: str, **given: Any) -> Any:
        action = request_info(method, urlsplit(url).path, "").action
        asked.add((action.verb, action.group, action.resource, action.namespace))
        return request(self, method, url, **given)

    monkeypatch.setattr(kubernetes.client.rest.RESTClientObject, "request", record)
    # What other pages have read a moment ago isn't read again.
    monkeypatch.setattr(services, "HISTORIES", Histories())
    visitor = Visitor(connect(str(kubeconfig)).session)
    opened = visitor.crawl(skip="/doctor?look")
    service = visitor.get(f"/services/{lab.names.service}")
    assert "need a right" not in service
    assert "since the pods" in service
    # Two pages are for questions that a person types, and for experiments that a person chooses.
    assert {page.path for page in PAGES} - set(opened) <= {"/journey", "/compare"}, opened
    granted = {
        (verb, group, resource, each["metadata"]["namespace"])
        for each in objects
        if each["kind"] == "Role"
        for rule in each["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert asked == granted
    # What the account may not see, the doctor says it doesn't know.
    assert "unknown" in visitor.get("/doctor?look=1")


def as_account(administrator: Any, account: dict[str, str], target: Path) -> Path:
    """A kubeconfig with a service account's token, as a pod has it."""
    core = kubernetes.client.CoreV1Api(administrator)
    body: dict[str, Any] = {"spec": {"audiences": []}}
    token = core.create_namespaced_service_account_token(account["name"], account["namespace"], body).status.token
    known = administrator.configuration
    cluster = {"server": known.host, "certificate-authority": known.ssl_ca_cert}
    content = {
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }
    target.write_text(yaml.safe_dump(content))
    return target


def follow(visitor: Visitor, text: str) -> str:
    """The page itself if it has pictures, or else that of its first folder."""
    while "/thumbnail/" not in text:
        folders = text.split('class="folders"')[1]
        text = visitor.get(html.unescape(next(re.finditer(r'<a href="([^"]+)"', folders)).group(1)))
    return text


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_of_each_exercise_is_right(name: str, stack: dict[str, str]) -> None:
    space: dict[str, Any] = {"lab": connect(stack["kubeconfig"])}
    exec(find_exercise(name).solution, space)
    note = find_exercise(name).judge(space["lab"].session, space["answer"])
    assert note.state == "ok", note


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_each_explanation_shows_the_real_object(name: str, stack: dict[str, str]) -> None:
    session, explained = connect(stack["kubeconfig"]).session, EXPLANATIONS[name]
    content = explained.read(session)
    for path in explained.fields:
        assert value_at(content, path) not in (None, "", {}, []), path
    shown = str(explained.show(session))
    assert not found_in(shown.encode(), credentials(stack))


def test_the_commands_of_the_explanations_work(stack: dict[str, str]) -> None:
    session = connect(stack["kubeconfig"]).session
    exports = pdk_nb("env", "--state-dir", stack["state_dir"]).stdout
    ran = []
    for name, explained in EXPLANATIONS.items():
        command = explained.command(session)
        tool = command.split()[0]
        if shutil.which(tool, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") is None:
            continue
        script = f'PATH="{Path(sys.executable).parent}:$PATH"; set -e -o pipefail; {exports}\n{command}'
        done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (name, command, done.stderr)
        assert done.stdout.strip(), name
        ran.append(tool)
    assert {"det", "curl"} <= set(ran)


def test_a_notebook_says_which_one_has_to_run_first(stack: dict[str, str]) -> None:
    empty = connect(stack["kubeconfig"], participant="nobody")
    with pytest.raises(PdkError, match="Notebook 04 can't start: there is no pipeline") as caught:
        empty.start("04")
    assert "Run notebook 01 first" in caught.value.fix
    assert empty.start("01").state == empty.start("99").state == "ok"
    assert connect(stack["kubeconfig"]).start("06").state == "ok"


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


@pytest.fixture(scope="session")
def exam(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The names that a reader of docs/exam.md has defined so far, and the reader's folder."""
    return {}, tmp_path_factory.mktemp("exam")


# Determined's client uses it to leave out ignored files.
@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
@needs_kserve
@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_each_answer_of_the_exam_is_right(
    section: Section, exam: tuple[dict[str, Any], Path], stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space, folder = exam
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KUBECONFIG", stack["kubeconfig"])
    section.run(space, folder)


def test_a_correction_in_the_panel_becomes_the_next_version(
    stack: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    from pdk_nb.panel import PredictionPanel

    lab = connect(stack["kubeconfig"])
    before, panel = lab.latest_commit(), PredictionPanel(lab.session)
    picture = sorted((ROOT / "sample-data" / "pred").glob("cat*.jpg"))[0]
    panel.submit(picture)
    panel.correct("cat")
    taught = panel.teach()
    assert taught == lab.latest_commit() == lab.served_commit() != before
    assert [path for path, _ in lab.committed() if path.startswith("/feedback/cat/")]
    assert panel.teaching.view is not None
    assert taught[:12] in panel.teaching.view.content
    assert before[:12] in panel.teaching.view.content
    assert "1 of 1 corrected picture right" in panel.status.value
    assert 'role="img"' in panel.teaching.flow.value
    # The new version's predictions lead back to the correction.
    assert lab.lineage(prediction=lab.ask([picture])[0][1]).id == taught


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


def credentials(stack: dict[str, str]) -> dict[str, str]:
    """Every secret of the stack."""
    return dict(json.loads((Path(stack["state_dir"]) / "private" / "credentials.json").read_text()))


# Where each secret belongs: the private folder, the two kubeconfigs, Kubernetes' own objects (as Secrets), and
# Determined's own database, since a trial is given the token that it reads its commit with.
HOMES = {
    "private/": {"admin_token", "worker_token", "root_token", "admin_password", "user_password"},
    "kubernetes/kubeconfig": {"admin_token"},
    "kubernetes/worker-kubeconfig": {"worker_token"},
    "kubernetes/objects.sqlite": {"root_token", "admin_password"},
    "determined/master.sqlite": {"root_token"},
}


def test_no_secret_leaves_its_place(stack: dict[str, str]) -> None:
    """After two trainings and deployments: logs, commits, checkpoints, archives, command lines, replies."""
    import psutil

    secrets, state = credentials(stack), Path(stack["state_dir"])
    strayed = [
        (path, name)
        for path, name in found_in_files(state, secrets)
        if not any(path.startswith(home) and name in names for home, names in HOMES.items())
    ]
    assert strayed == []
    # The search does see what is there, checkpoints and archives included.
    assert {name for _, name in found_in_files(state, secrets)} == set(secrets)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            assert not found_in(" ".join(process.cmdline()).encode(), secrets), process.pid
    lab = connect(stack["kubeconfig"])
    http = mlde.session(lab.determined)
    report = lab.doctor()
    # What has been trained and deployed proves the route and the images, whatever the registry says.
    assert report.exit_code == 0, str(report)
    states = {each.id: (each.state, each.what) for each in report}
    assert "has read its commit from there" in states["route.trials"][1]
    assert {states[f"images.{stage}"][0] for stage in ("train", "deploy")} == {"ok"}
    shown = [
        str(lab.settings_table()),
        repr(lab.settings),
        str(report),
        lab.deploy_log(200),
        lab.training_log(200),
    ]
    for experiment in lab.determined.list_experiments():
        shown.append(http.get(f"/api/v1/experiments/{experiment.id}").text)
    for info in lab.pachyderm.list_pipeline(details=True):
        shown.append(str(info))
    assert not found_in("\n".join(shown).encode(), secrets)


def test_clean_up_leaves_nothing(folder: Path, stack: dict[str, str]) -> None:
    run_notebook(NOTEBOOKS[-1], folder, stack)
    again = folder / "clean-again"
    again.mkdir()
    run_notebook(NOTEBOOKS[-1], again, stack)
    assert "Nothing of the lab is on the cluster" in (again / NOTEBOOKS[-1].name).read_text()


def test_no_secret_is_in_any_artefact(folder: Path, stack: dict[str, str]) -> None:
    assert list(found_in_files(folder, credentials(stack))) == []
