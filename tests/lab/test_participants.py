"""Many people on one cluster: their names, their things side by side, and a clean-up that leaves the others alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pdk_nb import lab as pdk
from pdk_nb import participants
from pdk_nb.cli import main
from pdk_nb.lessons import n01_pipelines
from pdk_nb.names import PARTICIPANT_VARIABLE, Names, participant_of
from pdk_nb.platforms import mlde, mldm, serving
from pdk_nb.platforms.serving.spec import check_service_name
from pdk_shared.errors import UsageError

LONGEST = "participant-no-9"
KINDS = [each for each in vars(Names()) if each not in ("participant", "example")]


def test_no_name_given_means_the_guides_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARTICIPANT_VARIABLE, raising=False)
    assert Names.chosen() == Names.for_participant("") == Names()
    monkeypatch.setenv(PARTICIPANT_VARIABLE, "ada")
    assert Names.chosen().participant == "ada"
    assert Names.chosen("bob") == Names.for_participant("bob")


def test_every_name_is_the_participants_own_and_tells_whose_it_is() -> None:
    ada, bob, nobody = Names.for_participant("ada"), Names.for_participant("bob"), Names()
    for kind in KINDS:
        assert len({getattr(each, kind) for each in (ada, bob, nobody)}) == 3
        assert participant_of(kind, getattr(ada, kind)) == "ada"
        assert participant_of(kind, getattr(nobody, kind)) == ""
    assert participant_of("project", "Ada-pdk") == ""


@pytest.mark.parametrize("name", ["a", "ada", "team-7", LONGEST])
def test_the_platforms_take_the_names(name: str) -> None:
    names = Names.for_participant(name)
    assert check_service_name(names.service) == names.service
    # Pods of pipelines; "v99" leaves room for later versions.
    for pipeline in (names.train_pipeline, names.deploy_pipeline):
        assert len(f"{names.project}-{pipeline}-v99") <= 63
        assert len(pipeline) <= 51


@pytest.mark.parametrize("name", ["Ada", "1a", "a_b", "-a", "a-", "a--b", "ä", "a b", "a.b", LONGEST + "9", "../x"])
def test_names_that_a_platform_would_refuse_are_refused_at_once(name: str) -> None:
    with pytest.raises(UsageError, match="isn't a valid name for a participant") as caught:
        Names.for_participant(name)
    assert "ada" in caught.value.fix
    assert main(["reset", "--dry-run", "--participant=" + name, "--kubeconfig", "/dev/null"]) != 0


def paused_experiment(lab: pdk.Lab) -> int:
    """An experiment as the train stage labels it, which nobody starts."""
    names = lab.names
    config = {
        "name": "paused",
        "entrypoint": "true",
        "labels": [names.data_repo, "0" * 32, names.train_pipeline],
        "workspace": names.workspace,
        "project": names.experiment_project,
        "searcher": {"name": "single", "metric": "x", "max_length": {"batches": 1}},
    }
    body = {"config": json.dumps(config), "activate": False, "modelDefinition": []}
    reply = mlde.session(lab.determined).post("/api/v1/experiments", json=body).json()
    return int(reply["experiment"]["id"])


def set_up(kubeconfig: str, participant: str) -> pdk.Lab:
    """Everything that a walkthrough leaves on the cluster, without the training."""
    lab = pdk.connect(kubeconfig, participant=participant)
    lab.create_projects()
    lab.create_pipelines()
    names = lab.names
    mlde.ensure_model(lab.determined, names.model, labels=[], metadata={"pipeline": names.train_pipeline})
    paused_experiment(lab)
    served = serving.Deployment(
        name=names.service,
        storage_uri="file:///absent/model/",
        model=names.model,
        version="v1",
        project=names.project,
        repo=names.train_pipeline,
    )
    serving.apply(lab.settings, served)
    return lab


def things(lab: pdk.Lab) -> list[tuple[str, str]]:
    return [(step.kind, step.name) for step in lab.clean_up_plan().steps]


@pytest.fixture
def three(shared_stack: dict[str, str]) -> Iterator[tuple[pdk.Lab, pdk.Lab, pdk.Lab]]:
    """Ada, Bob, and somebody who uses the guide's own names."""
    labs = tuple(set_up(shared_stack["kubeconfig"], name) for name in ("ada", "bob", ""))
    yield labs  # type: ignore[misc]
    for lab in labs:
        lab.clean_up(lab.clean_up_plan())


def test_one_persons_reset_touches_nobody_else(
    three: tuple[pdk.Lab, pdk.Lab, pdk.Lab], shared_stack: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    ada, bob, other = three
    before = {each.names.participant: things(each) for each in three}
    kinds = [kind for kind, _ in before["ada"]]
    # The way back: what uses a thing goes before the thing.
    assert kinds == [kind for kind, _ in before["bob"]]
    assert [kinds.index(each) for each in ("InferenceService", "Pachyderm pipeline", "Pachyderm repo")] == [0, 1, 3]
    assert kinds[4:] == [
        "Pachyderm project",
        "Model and its versions",
        "Experiment and its checkpoints",
        "Determined project",
        "Determined workspace",
    ]
    flags = ["--kubeconfig", shared_stack["kubeconfig"], "--participant", "ada"]
    assert main(["reset", "--dry-run", *flags]) == 0
    assert "ada-dogs-and-cats-data" in capsys.readouterr().out
    assert things(ada) == before["ada"]
    assert main(["reset", "--yes", *flags]) == 0
    assert things(ada) == []
    assert things(bob) == before["bob"]
    assert things(other) == before[""]
    # The specs that Bob's pipelines run with are his alone.
    train, deploy = n01_pipelines.rendered(bob.session)
    command = train["transform"]["stdin"][-1]
    assert "--workspace 'bob PDK Demos' --experiment-project bob-pdk-dogs-and-cats" in command
    assert "--deployment-name bob-dog-cat" in deploy["transform"]["stdin"][-1]
    assert mldm.ensure_pipeline(bob.pachyderm, train) == "unchanged"


def test_the_instructor_lists_and_cleans_everybody_but_nothing_else(
    three: tuple[pdk.Lab, pdk.Lab, pdk.Lab], shared_stack: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    ada, bob, other = three
    # Names that look alike, of people who do not use the lab.
    ada.pachyderm.create_project("carol-pdk", "Carol's own")
    mlde.ensure_model(ada.determined, "dave-dogs-and-cats", labels=[], metadata={})
    flags = ["--kubeconfig", shared_stack["kubeconfig"]]
    try:
        assert participants.find(ada) == ["ada", "bob"]
        assert main(["participants", "list", "--json", *flags]) == 0
        rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        assert [row["participant"] for row in rows] == ["ada", "bob"]
        assert {row["service"] for row in rows} == {"not ready"}
        assert rows[0]["train_pipeline"] in ("running", "standby")
        assert main(["participants", "clean", "--dry-run", *flags]) == 0
        assert main(["participants", "clean", "--yes", "bob", *flags]) == 0
        assert participants.find(ada) == ["ada"]
        kept = things(other)
        assert main(["participants", "clean", "--yes", *flags]) == 0
        assert participants.find(ada) == []
        assert things(bob) == []
        assert things(other) == kept
        assert main(["participants", "clean", "--yes", *flags]) == 0
        assert "No participant has resources" in capsys.readouterr().err
        left = {info.project.name for info in ada.pachyderm.list_project()}
        assert "carol-pdk" in left
        assert mlde.find_model(ada.determined, "dave-dogs-and-cats") is not None
    finally:
        ada.pachyderm.delete_project("carol-pdk")
        found = mlde.find_model(ada.determined, "dave-dogs-and-cats")
        if found is not None:
            found.delete()


def test_a_workspace_with_somebodys_project_stays(shared_stack: dict[str, str]) -> None:
    lab = pdk.connect(shared_stack["kubeconfig"], participant="erin")
    workspace = mlde.ensure_workspace(lab.determined, lab.names.workspace)
    workspace.create_project("not the lab's")
    assert things(lab) == []
    mlde.ensure_project(lab.determined, lab.names.workspace, lab.names.experiment_project)
    assert things(lab) == [("Determined project", "erin-pdk-dogs-and-cats")]
    http = mlde.session(lab.determined)
    http.delete(f"/api/v1/workspaces/{workspace.id}")
