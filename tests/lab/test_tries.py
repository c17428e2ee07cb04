"""A failed deploy job is tried again from notebook 04, on the embedded Pachyderm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb.journey import jobs, watch
from pdk_nb.lessons import n04_deployment
from pdk_nb.names import Names
from pdk_nb.platforms import mldm
from pdk_shared.errors import NotFound, TrainingError
from tests.stack.pachyderm.server import Server

NAMES = Names()
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("pachyderm")).start()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def session(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Both pipelines; the second one fails as long as a file doesn't exist."""
    client = server.client()
    mldm.ensure_project(client, NAMES.project)
    mldm.ensure_repo(client, NAMES.project, NAMES.data_repo)
    right = tmp_path_factory.mktemp("rights") / "granted"
    mldm.ensure_pipeline(client, pipeline(NAMES.train_pipeline, NAMES.data_repo, "cat /pfs/data/*/* > /pfs/out/model"))
    deploy = f"test -e {right} || {{ echo forbidden; exit 3; }}; cp /pfs/data/* /pfs/out/"
    mldm.ensure_pipeline(client, pipeline(NAMES.deploy_pipeline, NAMES.train_pipeline, deploy))
    return SimpleNamespace(pachyderm=client, names=NAMES, right=right, settings=None)


def pipeline(name: str, source: str, command: str) -> dict[str, Any]:
    project = {"name": NAMES.project}
    return {
        "pipeline": {"name": name, "project": project},
        "input": {"pfs": {"name": "data", "repo": source, "project": NAMES.project, "glob": "/"}},
        "transform": {"cmd": ["/bin/sh"], "stdin": [command], "image": "alpine:3"},
        "datum_tries": 1,
    }


def commit(session: Any, folder: Path, number: int) -> str:
    folder.joinpath("model").write_text(f"model {number}")
    files = {"model": folder / "model"}
    return mldm.commit_files(session.pachyderm, NAMES.project, NAMES.data_repo, f"data{number}", files)


def wait_deployed(session: Any, id: str) -> mldm.Job:
    return jobs.wait_job(session, NAMES.deploy_pipeline, id, TIMEOUT_S, lambda job, why: None)


def test_a_failed_deploy_job_is_tried_again(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    id = commit(session, tmp_path, 1)
    # It has not failed yet, or there is none yet: nothing to try again.
    assert jobs.deploy_job(session, id) == id
    with pytest.raises(TrainingError, match="(?s)FAILURE.*forbidden") as caught:
        wait_deployed(session, id)
    assert "run notebook 04: its first wait starts it again" in caught.value.fix
    assert "forbidden" in n04_deployment.log_tail(session, id, 5)
    # As it is without the cause removed, the second try fails, too.
    again = jobs.deploy_job(session, id)
    assert again != id
    assert f"The deploy job of {id} ended as FAILURE" in capsys.readouterr().out
    with pytest.raises(TrainingError, match="forbidden"):
        wait_deployed(session, again)
    assert jobs.deploy_try(session, id) == mldm.job(session.pachyderm, NAMES.project, NAMES.deploy_pipeline, again)

    session.right.touch()
    monkeypatch.setattr(watch._DeploymentWatch, "draw", lambda look: None)
    watch.follow_deployment(session, id, TIMEOUT_S)
    third = jobs.deploy_try(session, id)
    assert third is not None
    assert (third.state, third.id in (id, again)) == ("SUCCESS", False)
    assert "The deploy job succeeded" in capsys.readouterr().out
    # The next look finds it, and starts nothing.
    assert jobs.deploy_job(session, id) == third.id
    assert "tries it again" not in capsys.readouterr().out
    output = mldm.commit_of(NAMES.project, NAMES.deploy_pipeline, id=third.id)
    assert mldm.read_file(session.pachyderm, output, "/model") == b"model 1"


def test_an_older_model_keeps_its_failed_job(session: Any, tmp_path: Path) -> None:
    session.right.unlink(missing_ok=True)
    older, newer = commit(session, tmp_path, 2), commit(session, tmp_path, 3)
    for id in (older, newer):
        with pytest.raises(TrainingError, match="forbidden"):
            wait_deployed(session, id)
    assert jobs.deploy_job(session, older) == older
    again = jobs.deploy_job(session, newer)
    assert again not in (older, newer)
    # The later job has processed the newer model only.
    assert jobs.deploy_try(session, older).id == older  # type: ignore[union-attr]
    assert jobs.deploy_try(session, newer).id == again  # type: ignore[union-attr]


def test_a_pipeline_that_is_gone_is_said_so(session: Any) -> None:
    with pytest.raises(NotFound, match="no such pipeline"):
        mldm.process_again(session.pachyderm, NAMES.project, "none-such")
