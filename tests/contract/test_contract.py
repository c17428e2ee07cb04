"""What the lab relies on in the platforms. Quick, and without training: every station's own behaviour."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from pdk_nb import lab as pdk
from pdk_nb.console.pages.catalog import PAGES
from pdk_nb.names import STAGE_LOG
from pdk_nb.platforms import mlde, mldm, serving
from pdk_shared.errors import DataError, DeploymentError, SettingsError, SpecError, TrainingError
from tests.support.console import Visitor

# Pulling an image for the first time takes its time on a cluster.
JOB_SECONDS = 300.0
IMAGE = "python:3.11-slim"


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for a condition and give what it gives."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)
    return found


def pipeline(lab: pdk.Lab, name: str, code: str) -> dict[str, Any]:
    """A pipeline of one Python line over the whole commit."""
    return {
        "pipeline": {"name": f"{lab.names.participant}-{name}", "project": {"name": lab.names.project}},
        "description": f"contract test {name}",
        "input": {"pfs": {"name": "data", "repo": lab.names.data_repo, "project": lab.names.project, "glob": "/"}},
        "transform": {"cmd": ["python3", "-c", code], "image": IMAGE},
        "datum_tries": 1,
    }


@pytest.fixture
def made(lab: pdk.Lab) -> Iterator[Callable[[dict[str, Any]], str]]:
    """Creates pipelines that end with the test."""
    names: list[str] = []

    def make(spec: dict[str, Any]) -> str:
        name = str(spec["pipeline"]["name"])
        assert mldm.ensure_pipeline(lab.pachyderm, spec) == "created"
        names.append(name)
        return name

    yield make
    for name in reversed(names):
        lab.pachyderm.delete_pipeline(name, project_name=lab.names.project)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Two files that no commit has yet."""
    found = {}
    for name in ("cat/1.txt", "dog/1.txt"):
        path = tmp_path / name.replace("/", "-")
        path.write_text(f"{name} {secrets.token_hex(8)}")
        found[name] = path
    return found


def commit(lab: pdk.Lab, files: dict[str, Path]) -> tuple[str, str]:
    """Commit files into a folder of their own: id and folder."""
    folder = f"data-{secrets.token_hex(3)}"
    return mldm.commit_files(lab.pachyderm, lab.names.project, lab.names.data_repo, folder, files), folder


# Settings


def test_the_cluster_says_everything_that_the_lab_needs(lab: pdk.Lab) -> None:
    lab.settings.require()
    assert lab.settings.missing == ()
    assert lab.settings.det_password.reveal() not in str(lab.settings_table()) + repr(lab.settings)


def test_creating_projects_again_changes_nothing(lab: pdk.Lab) -> None:
    assert {row[2] for row in lab.create_projects().rows} == {"unchanged"}


# Pachyderm


def test_a_commit_is_whole_and_read_back(lab: pdk.Lab, files: dict[str, Path]) -> None:
    names, client = lab.names, lab.pachyderm
    id, folder = commit(lab, files)
    assert len(id) == 32
    assert mldm.head(client, names.project, names.data_repo) == id
    where = mldm.commit_of(names.project, names.data_repo, id=id)
    sizes = mldm.files(client, where, f"/{folder}")
    assert sizes == {f"/{folder}/{name}": path.stat().st_size for name, path in files.items()}
    assert mldm.read_file(client, where, f"/{folder}/cat/1.txt") == files["cat/1.txt"].read_bytes()
    assert mldm.find_same(client, names.project, names.data_repo, files) == folder
    with pytest.raises(DataError):
        mldm.read_file(client, where, f"/{folder}/no-such-file")


def test_names_that_pachyderm_refuses_never_reach_it(lab: pdk.Lab, files: dict[str, Path]) -> None:
    before = mldm.head(lab.pachyderm, lab.names.project, lab.names.data_repo)
    with pytest.raises(DataError, match="refuses 1 name"):
        commit(lab, {"what?.txt": files["cat/1.txt"]})
    assert mldm.head(lab.pachyderm, lab.names.project, lab.names.data_repo) == before


def test_a_commit_and_its_job_have_one_id(
    lab: pdk.Lab, files: dict[str, Path], made: Callable[[dict[str, Any]], str]
) -> None:
    code = (
        "import os, pathlib; root = pathlib.Path('/pfs/data');"
        "root = root if root.exists() else pathlib.Path('pfs/data');"
        "found = sorted(str(p.relative_to(root)) for p in root.rglob('*.txt'));"
        "print('seen', len(found), os.environ['PACH_JOB_ID'], os.environ['data_COMMIT']);"
        "(root.parent / 'out' / 'list.txt').write_text('\\n'.join(found))"
    )
    spec = pipeline(lab, "list", code)
    name = made(spec)
    assert mldm.ensure_pipeline(lab.pachyderm, spec) == "unchanged"
    id, folder = commit(lab, files)
    job = mldm.wait_job(lab.pachyderm, lab.names.project, name, id, timeout=JOB_SECONDS)
    assert (job.id, job.state) == (id, "SUCCESS")
    output = mldm.commit_of(lab.names.project, name, id=id)
    listed = mldm.read_file(lab.pachyderm, output, "/list.txt").decode().splitlines()
    assert {f"{folder}/cat/1.txt", f"{folder}/dog/1.txt"} <= set(listed)
    lines = until(lambda: mldm.job_log(lab.pachyderm, lab.names.project, name, id).lines)
    assert any(id in line and "seen" in line for line in lines)
    assert mldm.last_success(lab.pachyderm, lab.names.project, name) == id
    assert mldm.images(lab.pachyderm, lab.names.project)[name] == IMAGE


def test_a_job_that_fails_says_why(lab: pdk.Lab, files: dict[str, Path], made: Callable[[dict[str, Any]], str]) -> None:
    name = made(pipeline(lab, "fail", "raise SystemExit('the reason is told')"))
    id, _ = commit(lab, files)
    with pytest.raises(TrainingError) as caught:
        mldm.wait_job(lab.pachyderm, lab.names.project, name, id, timeout=JOB_SECONDS)
    assert "FAILURE" in str(caught.value)
    assert "the reason is told" in str(caught.value)


def test_the_log_of_a_failed_job_outlives_its_worker(
    lab: pdk.Lab, files: dict[str, Path], made: Callable[[dict[str, Any]], str]
) -> None:
    """With autoscaling, a cluster has no worker to ask for the log at the moment that the job ends."""
    code = (
        "import pathlib; root = pathlib.Path('/pfs/out');"
        "root = root if root.exists() else pathlib.Path('pfs/out');"
        f"(root / '{STAGE_LOG}').write_text('the reason is kept');"
        "raise SystemExit('the reason is kept')"
    )
    name = made({**pipeline(lab, "gone", code), "autoscaling": True})
    id, _ = commit(lab, files)
    with pytest.raises(TrainingError, match="FAILURE[^$]*the reason is kept"):
        mldm.wait_job(lab.pachyderm, lab.names.project, name, id, timeout=JOB_SECONDS)


def test_a_commit_without_changes_tries_again_what_has_failed(
    lab: pdk.Lab, files: dict[str, Path], made: Callable[[dict[str, Any]], str]
) -> None:
    name = made(pipeline(lab, "again", "raise SystemExit('tried')"))
    first, _ = commit(lab, files)
    again = mldm.commit_again(lab.pachyderm, lab.names.project, lab.names.data_repo, "tries again")
    assert again not in ("", first)
    assert mldm.head(lab.pachyderm, lab.names.project, lab.names.data_repo) == again
    for id in (first, again):
        with pytest.raises(TrainingError, match="FAILURE[^$]*tried"):
            mldm.wait_job(lab.pachyderm, lab.names.project, name, id, timeout=JOB_SECONDS)


def test_specs_that_pachyderm_refuses(lab: pdk.Lab) -> None:
    spec = pipeline(lab, "refused", "pass")
    spec["input"]["pfs"]["repo"] = "no-such-repo"
    with pytest.raises(SpecError, match="refuses the pipeline"):
        mldm.ensure_pipeline(lab.pachyderm, spec)
    spec = pipeline(lab, "refused", "pass")
    spec["transform"]["secrets"] = [{"name": "no-such-secret", "env_var": "X", "key": "x"}]
    with pytest.raises(SpecError):
        mldm.ensure_pipeline(lab.pachyderm, spec)


def test_the_labs_own_pipelines_are_taken_as_rendered(lab: pdk.Lab) -> None:
    assert {row[3] for row in lab.create_pipelines().rows} == {"created"}
    assert {row[3] for row in lab.create_pipelines().rows} == {"unchanged"}
    names = lab.names
    for name in (names.deploy_pipeline, names.train_pipeline):
        lab.pachyderm.delete_pipeline(name, project_name=names.project)


def test_a_repo_that_a_pipeline_reads_cannot_be_deleted(lab: pdk.Lab, made: Callable[[dict[str, Any]], str]) -> None:
    made(pipeline(lab, "keep", "pass"))
    with pytest.raises(grpc.RpcError):
        lab.pachyderm.delete_repo(lab.names.data_repo, project_name=lab.names.project)


def test_the_console_shows_data_and_jobs(
    lab: pdk.Lab, files: dict[str, Path], made: Callable[[dict[str, Any]], str]
) -> None:
    name = made(pipeline(lab, "seen", "pass"))
    id, _ = commit(lab, files)
    mldm.wait_job(lab.pachyderm, lab.names.project, name, id, timeout=JOB_SECONDS)
    visitor, project, repo = Visitor(lab.session), lab.names.project, lab.names.data_repo
    assert f"/data/{project}/{repo}" in visitor.get("/data")
    assert id in visitor.get(f"/data/{project}/{repo}")
    assert "What to do" not in visitor.get(f"/data/{project}/{repo}/{id}")
    changes = visitor.get(f"/changes/{project}/{repo}/{id}")
    assert any(path.rpartition("/")[2] in changes for path in files)
    assert f"/jobs/{project}/{name}/{id}" in visitor.get("/jobs")
    assert "SUCCESS" in visitor.get(f"/jobs/{project}/{name}/{id}")
    assert name in visitor.get(f"/pipelines?project={project}")
    assert f"{project}/{name}" not in visitor.get("/pipelines?project=nobody")
    assert id in visitor.get(f"/jobs?project={project}&pipeline={name}")


def test_every_page_of_the_console_answers(lab: pdk.Lab) -> None:
    opened = Visitor(lab.session).crawl()
    assert {page.path for page in PAGES if page.menu} <= set(opened), opened
    visitor = Visitor(lab.session)
    assert "cluster" in visitor.get("/doctor?look=1")
    # Other people's services on the same cluster, with what their pods count.
    for each in serving.status_table(lab.session.settings)[:3]:
        assert "Requests and latency" in visitor.get(f"/services/{each['NAME']}")


# Determined


def test_models_are_found_by_their_exact_name(lab: pdk.Lab) -> None:
    # The client's own list matches parts of names, and "_" stands for any letter.
    longer = f"{lab.names.model}-v2"
    other = mlde.ensure_model(lab.determined, longer, labels=["contract"], metadata={})
    try:
        assert mlde.find_model(lab.determined, lab.names.model) is None
        own = mlde.ensure_model(lab.determined, lab.names.model, labels=[], metadata={"pipeline": "x"})
        again = mlde.ensure_model(lab.determined, lab.names.model, labels=[], metadata={})
        assert (again.name, again.model_id) == (lab.names.model, own.model_id)
        assert mlde.versions(own) == []
        assert mlde.version_for_commit(lab.determined, lab.names.model, "0" * 32) is None
    finally:
        other.delete()


def test_a_workspace_that_does_not_exist_is_named(lab: pdk.Lab) -> None:
    mlde.check_project(lab.determined, lab.names.workspace, lab.names.experiment_project)
    with pytest.raises(SettingsError, match="has no workspace"):
        mlde.check_project(lab.determined, f"{lab.names.workspace} no", lab.names.experiment_project)
    with pytest.raises(SettingsError, match="has no project"):
        mlde.check_project(lab.determined, lab.names.workspace, "no-such-project")


def test_there_is_a_place_to_train(lab: pdk.Lab) -> None:
    available = mlde.pools(lab.determined)
    assert mlde.choose_pool(available, lab.settings.resource_pool).name
    with pytest.raises(SettingsError, match="no resource pool"):
        mlde.choose_pool(available, "no-such-pool")


# KServe


def test_a_service_is_made_changed_rolled_back_and_deleted(lab: pdk.Lab) -> None:
    """Its model does not exist, so it never gets ready: the objects are what is looked at."""
    name = lab.names.service

    def deployment(version: str) -> serving.Deployment:
        return serving.Deployment(
            name=name,
            # Named so that no cluster fetches anything large.
            storage_uri=f"s3://{lab.names.participant}-no-such-bucket/{lab.names.model}/{version}/",
            model=lab.names.model,
            version=version,
            project=lab.names.project,
            repo=lab.names.train_pipeline,
        )

    assert serving.apply(lab.settings, deployment("v1")).action == "created"
    assert serving.apply(lab.settings, deployment("v1")).action == "unchanged"
    assert serving.apply(lab.settings, deployment("v2")).action == "updated"
    status = serving.service_status(lab.settings, name)
    assert (status.version, status.ready) == ("v2", False)
    assert name in {row["NAME"] for row in serving.status_table(lab.settings)}
    assert [each["version"] for each in serving.revisions(lab.settings, name)] == ["v1", "v2"]
    serving.rollback(lab.settings, name)
    assert serving.service_status(lab.settings, name).storage_uri.endswith("/v1/")
    with pytest.raises(DeploymentError):
        serving.wait_ready(lab.settings, name, 1.0, version="v1")
    assert serving.delete(lab.settings, name) is True
    assert serving.delete(lab.settings, name) is False


# Many participants, and the end


def test_nobody_elses_things_are_in_the_plan(lab: pdk.Lab) -> None:
    steps = {step.name for step in lab.clean_up_plan().steps}
    assert steps
    assert all(lab.names.participant in name for name in steps)


def test_nothing_that_the_lab_needs_is_broken(lab: pdk.Lab) -> None:
    # Not judged: images of the pipelines, which these tests do not use.
    report = lab.doctor("cluster", "pachyderm", "determined", "kserve", "rights", "route", "clock", "versions")
    assert report.count("broken") == 0, str(report)
    # What this machine can't see of a cluster, a pod can.
    assert all("--probe" in each.fix for each in report if each.is_unchecked), str(report)
