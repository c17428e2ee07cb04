"""Lineage: read from what each step wrote down, and honest about what is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb.journey import lineage
from pdk_nb.journey import reading as module
from pdk_nb.names import Names
from pdk_nb.platforms.mlde import Progress
from pdk_nb.platforms.mldm import Job
from pdk_nb.platforms.serving.predictions import Prediction
from pdk_nb.platforms.serving.spec import HISTORY
from pdk_shared.errors import DataError, DeploymentError, UsageError

OLD, NEW = "1" * 32, "2" * 32
UUID = "aaaaaaaa-0000-0000-0000-000000000000"


def version(name: str, number: int, **metadata: Any) -> SimpleNamespace:
    known = {
        "project": "pdk-dogs-and-cats",
        "repo": "dogs-and-cats-data",
        "commit": name,
        "pipeline": "dogs-and-cats-model",
        "job": name,
        "experiment": number,
        "trial": number,
        "code": {"url": "https://example.com/lab.git", "ref": "main", "sha": f"sha-of-{number}"},
        "classes": ["dog", "cat"],
        "metric": {"name": "accuracy", "value": 0.987},
    }
    training = SimpleNamespace(experiment_id=number)
    checkpoint = SimpleNamespace(uuid=f"{UUID[:-1]}{number}", training=training)
    return SimpleNamespace(name=name, model_version=number, checkpoint=checkpoint, metadata={**known, **metadata})


@dataclass
class World:
    """What the platforms would answer."""

    versions: dict[str, SimpleNamespace] = field(default_factory=dict)
    served: str = NEW
    history: tuple[str, ...] = (OLD, NEW)
    experiments: tuple[str, ...] = (OLD, NEW)
    commits: tuple[str, ...] = (NEW, OLD)
    annotations: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    known = World({OLD: version(OLD, 1), NEW: version(NEW, 2, resumed_from=OLD)})

    def service_status(settings: Any, name: str) -> Any:
        if not known.served:
            raise DeploymentError("There is no such InferenceService.")
        served = [{"version": each, "number": 7, "uri": f"s3://m/{each}/"} for each in known.history]
        return SimpleNamespace(
            version=known.served,
            model="dogs-and-cats",
            url="http://x",
            storage_uri="s3://m/",
            latest_ready="r2",
            annotations={HISTORY: json.dumps(served), **known.annotations},
        )

    def commit_finished(client: Any, commit: Any) -> float:
        if commit.id not in known.commits:
            raise DataError("There is no such commit: gone")
        return 100.0

    def experiment(client: Any, id: str, pipeline: str = "") -> Any:
        config = {
            "name": "pets",
            "hyperparameters": {"model": {"type": "const", "val": "small"}},
            "data": {"classes": ["dog", "cat"], "secrets": {"pachyderm_token": "very-secret"}},
        }
        return SimpleNamespace(id=known.versions[id].model_version, config=config) if id in known.experiments else None

    monkeypatch.setattr(module.serving, "service_status", service_status)
    monkeypatch.setattr(module.mldm, "commit_finished", commit_finished)
    monkeypatch.setattr(module.mldm, "commits", lambda *given: list(known.commits))
    monkeypatch.setattr(
        module.mldm,
        "files",
        lambda client, commit: {f"/data1/{n}.{i}.jpg": 10 for n in ("dog", "cat") for i in range(9)},
    )
    for name in ("job", "newest_try"):
        monkeypatch.setattr(
            module.mldm, name, lambda client, project, pipeline, id, *source: Job(id, pipeline, "SUCCESS", "", 20.0)
        )
    monkeypatch.setattr(module.mlde, "experiment_for_job", experiment)
    monkeypatch.setattr(module.mldm, "pipelines", lambda client, project: {})
    monkeypatch.setattr(module.mlde, "progress", lambda client, id: Progress("COMPLETED", 1.0, id))
    monkeypatch.setattr(module.mlde, "find_model", lambda client, name: name)
    monkeypatch.setattr(module.mlde, "versions", lambda model: list(known.versions.values()))
    return known


LAB: Any = SimpleNamespace(names=Names(), pachyderm=None, determined=None, settings=None)


def test_the_service_leads_back_to_files_and_code(world: World) -> None:
    chain = lineage.trace(LAB)
    assert chain.whole, chain.missing
    assert chain.id == NEW
    code, files = chain.station("code"), chain.station("files")
    assert code is not None and code.id == "sha-of-2"
    assert files is not None and files.facts["count"] == 18
    assert files.facts["by_class"] == {"dog": 9, "cat": 9}
    assert files.facts["learned_from"] + files.facts["held_out"] == 18
    assert files.id == "18 pictures"
    resumed = chain.station("continues from")
    assert resumed is not None and resumed.id == OLD


def test_after_a_roll_back_it_is_the_older_versions(world: World) -> None:
    world.served = OLD
    chain = lineage.trace(LAB)
    assert chain.id == OLD
    assert [chain.station(kind).id for kind in ("code", "model version")] == ["sha-of-1", "dogs-and-cats 1"]  # type: ignore[union-attr]
    forward = lineage.trace(LAB, NEW).station("service")
    assert forward is not None and forward.note == "served it before"


def test_an_answer_is_followed_whatever_the_service_has_been_given_since(world: World) -> None:
    answer = Prediction(1, "cat", {"cat": 0.9}, "dogs-and-cats", OLD, 1)
    chain = lineage.trace(LAB, prediction=answer)
    assert chain.id == OLD
    assert chain.stations[-1].kind == "prediction"
    assert chain.links[-1].written == "the answer itself, by the model"
    with pytest.raises(DeploymentError, match="doesn't name the version"):
        lineage.trace(LAB, prediction=Prediction(1))


def test_missing_links_are_named_and_drawn(world: World) -> None:
    world.versions[NEW] = version(NEW, 2, code={})
    world.experiments = (OLD,)
    chain = lineage.trace(LAB)
    assert not chain.whole
    assert "There is no record of the code." in chain.missing
    assert "Determined has no experiment with this job's label." in chain.missing
    assert "[missing]" in str(chain)
    assert "stroke-dasharray" in chain.draw().svg()


def test_a_version_that_the_registry_lost_is_told_from_the_services_history(world: World) -> None:
    del world.versions[NEW]
    world.experiments = ()
    chain = lineage.trace(LAB)
    lost = chain.station("model version")
    assert lost is not None and "no version of dogs-and-cats" in lost.missing and lost.id == "dogs-and-cats 7"


def test_a_deleted_commit_and_a_foreign_checkpoint_are_noticed(world: World) -> None:
    world.commits = (OLD,)
    world.versions[NEW].checkpoint.training.experiment_id = 99
    chain = lineage.trace(LAB)
    assert any("no such commit" in each for each in chain.missing)
    assert "The checkpoint belongs to experiment 99, not 2." in chain.missing


def test_a_service_that_was_given_another_checkpoint_is_noticed(world: World) -> None:
    world.annotations = {"pdk-lab/checkpoint": "other"}
    assert f"dog-cat was given checkpoint other, the registry has {UUID[:-1]}2." in lineage.trace(LAB).missing
    world.annotations = {"pdk-lab/checkpoint": f"{UUID[:-1]}2"}
    assert lineage.trace(LAB).whole


def test_forward_from_a_commit_says_what_went_on_from_it(world: World) -> None:
    station = lineage.trace(LAB, OLD).station("model version")
    assert station is not None and station.facts["went_on_as"] == [NEW]
    assert "training resumed from it for 22222222…" in station.note


def test_it_is_plain_data_without_secrets(world: World) -> None:
    text = json.dumps(lineage.trace(LAB).as_dict())
    assert "very-secret" not in text
    content = json.loads(text)
    assert content["whole"] is True
    kinds = [each["kind"] for each in content["stations"]]
    assert kinds[:3] == ["files", "commit", "train job"]
    assert {each["from"] for each in content["links"]} | {each["to"] for each in content["links"]} == set(kinds)


@pytest.mark.parametrize("wanted", [NEW, NEW[:6], "2", f"{UUID[:-1]}2", NEW.upper()])
def test_an_id_may_be_that_of_any_station(world: World, wanted: str) -> None:
    assert module.resolve(LAB, wanted) == NEW


@pytest.mark.parametrize("wanted", ["3", "abcdef", "11", "222"])
def test_unknown_ids_are_refused_with_those_that_are_known(world: World, wanted: str) -> None:
    with pytest.raises(UsageError, match="Nothing of the lab") as caught:
        module.resolve(LAB, wanted)
    assert NEW in caught.value.fix


def test_a_prefix_of_two_things_is_refused(world: World) -> None:
    other = f"{NEW[:8]}{'3' * 24}"
    world.commits = (NEW, other)
    with pytest.raises(UsageError, match="More than one"):
        module.resolve(LAB, NEW[:8])


def test_without_a_service_there_has_to_be_an_id(world: World) -> None:
    world.served = ""
    with pytest.raises(DeploymentError, match="no service"):
        lineage.trace(LAB)
    chain = lineage.trace(LAB, OLD)
    assert "There is no service dog-cat." in chain.missing


def test_names_of_others_are_used(world: World) -> None:
    lab = SimpleNamespace(**{**vars(LAB), "names": replace(Names(), service="ada-dog-cat")})
    station = lineage.trace(lab).station("service")  # type: ignore[arg-type]
    assert station is not None and station.id == "ada-dog-cat"


def test_tables_are_files_whose_names_say_no_class(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.mldm, "files", lambda client, commit: {"/data1/rows.csv": 2_000_000})
    files = lineage.trace(LAB).station("files")
    assert files is not None and files.id == "1 file"
    assert files.note == "1 file, 2.0 MB" and "by_class" not in files.facts
