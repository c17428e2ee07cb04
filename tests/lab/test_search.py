"""The hyperparameter search: its configuration, what is drawn of it, and what is registered."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb import hyperparameter_search as search
from pdk_nb.candidate_deployment import session_of
from pdk_nb.example import find
from pdk_nb.hyperparameter_search import Search
from pdk_nb.lessons import find_exercise, n07_search
from pdk_nb.names import Names
from pdk_nb.platforms import mlde
from pdk_nb.session import Session
from pdk_nb.stages import resuming
from pdk_shared.errors import TrainingError, UsageError

COMMIT = "c" * 32
# As the master shows the experiment of a train job: completed with defaults, secrets masked.
TRAINED: dict[str, Any] = {
    "name": "dogs-and-cats",
    "description": "Tells dogs from cats",
    "labels": ["data", COMMIT, "train"],
    "workspace": "W",
    "project": "P",
    "checkpoint_storage": {"type": "s3", "secret_key": "********"},
    "bind_mounts": None,
    "data": {
        "classes": ["dog", "cat"],
        "pachyderm": {
            "host": "pachd",
            "port": "30650",
            "project": "lab",
            "repo": "data",
            "branch": COMMIT,
            "token": "",
            "previous_commit": "b" * 32,
        },
        "secrets": {"pachyderm_token": "********"},
    },
    "hyperparameters": {
        "learning_rate": {"type": "const", "val": 0.004},
        "width": {"type": "const", "val": 16},
    },
    "searcher": {"name": "single", "metric": "accuracy", "source_checkpoint_uuid": "u", "max_length": {"batches": 200}},
    "resources": {"resource_pool": "default", "slots_per_trial": 1},
}


def made(method: str, trials: int = 9, batches: int = 90) -> dict[str, Any]:
    return search.configuration(TRAINED, method, trials, batches, label="search", repo="data", token="t")


def test_a_search_is_the_training_with_another_searcher_and_a_range() -> None:
    config = made("random")
    assert config["hyperparameters"] == {
        "learning_rate": {"type": "log", "base": 10, "minval": -4.0, "maxval": -1.5},
        "width": {"type": "const", "val": 16},
    }
    assert config["searcher"] == {
        "name": "random",
        "metric": "loss",
        "smaller_is_better": True,
        "max_length": {"batches": 90},
        "max_concurrent_trials": 2,
        "max_trials": 9,
    }
    # From scratch, on the same commit.
    assert config["data"]["pachyderm"] == {**TRAINED["data"]["pachyderm"], "previous_commit": None}
    assert config["resources"] == TRAINED["resources"]
    assert config["min_validation_period"] == {"batches": 15}


def test_masks_of_secrets_are_never_sent_back() -> None:
    assert "********" not in str(made("random"))
    assert made("random")["data"]["secrets"] == {"pachyderm_token": "t"}


def test_no_search_is_taken_for_the_experiment_of_a_train_job() -> None:
    assert made("random")["labels"] == ["data", "search"]


def test_each_method_has_the_fields_that_it_needs() -> None:
    grid, asha = made("grid"), made("adaptive_asha")
    assert grid["hyperparameters"]["learning_rate"]["count"] == 9
    assert "max_trials" not in grid["searcher"]
    assert {key: asha["searcher"][key] for key in ("time_metric", "max_time", "divisor", "max_rungs")} == {
        "time_metric": "batches",
        "max_time": 90,
        "divisor": 3,
        "max_rungs": 2,
    }
    # Trials are judged at a rung, so they must be validated there.
    assert 90 // 3 % asha["min_validation_period"]["batches"] == 0


@pytest.mark.parametrize(("method", "trials", "batches"), [("bayes", 4, 60), ("random", 1, 60), ("random", 4, 3)])
def test_what_is_no_search_is_refused(method: str, trials: int, batches: int) -> None:
    with pytest.raises(UsageError):
        made(method, trials, batches)


def test_the_same_search_is_known_again() -> None:
    config = made("random")
    stored = {**config, "searcher": {**config["searcher"], "source_trial_id": None}}
    assert search._same(stored, config)
    assert not search._same(stored, made("random", trials=8))
    assert not search._same(stored, made("grid"))
    other = {**stored, "data": {**stored["data"], "pachyderm": {**stored["data"]["pachyderm"], "branch": "d" * 32}}}
    assert not search._same(other, config)


def trial(id: int, rate: float, *points: tuple[int, float], state: str = "COMPLETED") -> mlde.Trial:
    return mlde.Trial(id, state, {"learning_rate": rate}, points, points[-1][0] if points else 0)


TRIALS = (
    trial(1, 0.0001, (30, 0.7), (60, 0.6), (90, 0.55)),
    trial(2, 0.004, (30, 0.4), (60, 0.1), (90, 0.2)),
    trial(3, 0.03, (30, 0.9)),
    trial(4, 0.001, (30, 0.5), state="RUNNING"),
    trial(5, 0.002, state="QUEUED"),
)
FOUND = Search(7, "ACTIVE", 0.5, made("adaptive_asha"), TRIALS)


def test_the_best_trial_is_the_one_with_the_best_validation_of_all() -> None:
    assert FOUND.best is TRIALS[1]
    assert [each.id for each in FOUND.ranked] == [2, 4, 1, 3]
    highest = {**FOUND.config, "searcher": {**FOUND.config["searcher"], "smaller_is_better": False}}
    assert Search(7, "ACTIVE", 0.5, highest, TRIALS).ranked[0].id == 3
    assert [each.id for each in TRIALS if FOUND.stopped_early(each)] == [3]
    assert Search(7, "ACTIVE", 0.0, FOUND.config).best is None


def test_the_drawing_says_what_became_of_each_trial() -> None:
    drawn = n07_search.draw(FOUND)
    for words in (
        "trial 2 (best): batches 90, validation loss 0.2",
        "trial 3 (stopped)",
        "trial 4 (running)",
        "0.004 (best): learning_rate 0.004, best validation loss 0.1",
    ):
        assert words in drawn.description, words
    assert "trial 5" not in drawn.description


def session(monkeypatch: pytest.MonkeyPatch, found: Search | None = FOUND) -> Session:
    made: Any = SimpleNamespace(names=Names(), example=find(), determined=None, settings=None, pachyderm=None)
    monkeypatch.setattr(search, "read", lambda session, id: found)
    monkeypatch.setattr(search, "newest", lambda session: found)
    return made  # type: ignore[no-any-return]


def test_the_table_begins_with_the_best_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = n07_search.trials_table(session(monkeypatch), 7).rows
    assert rows[0] == ["2", "0.004", "90", "0.1", "completed, the best"]
    assert rows[3][4] == "stopped early"
    assert rows[4] == ["5", "0.002", "0", "", "queued"]


def test_two_digits_of_the_learning_rate_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    exercise, known = find_exercise("07-best"), session(monkeypatch)
    assert exercise.judge(known, 0.00401).state == "ok"
    assert exercise.judge(known, 0.0042).state == "wrong"
    assert exercise.judge(known, "0.004").state == "wrong"


def test_the_second_service_changes_no_other_name() -> None:
    own = session_of(SimpleNamespace(names=Names(), settings=None))  # type: ignore[arg-type]
    assert own.names.service == "dog-cat-compare"
    assert (own.names.model, own.names.data_repo) == (Names().model, Names().data_repo)


class Checkpoint:
    uuid = "best"
    training = SimpleNamespace(
        trial_id=2,
        hparams={"learning_rate": 0.004, "width": 16, "model": "small"},
        validation_metrics={"avgMetrics": {"loss": 0.1, "accuracy": 0.97}},
    )


def test_the_best_checkpoint_is_registered_with_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    code = {"url": "https://example.com/code.git", "ref": "main", "sha": "5" * 40}
    given: dict[str, Any] = {}
    monkeypatch.setattr(mlde, "find_model", lambda client, name: SimpleNamespace(name=name))
    monkeypatch.setattr(mlde, "best_checkpoint", lambda client, id: Checkpoint())
    trained = SimpleNamespace(metadata={"code": code})
    monkeypatch.setattr(mlde, "version_for_commit", lambda client, model, name: trained if name == COMMIT else None)
    monkeypatch.setattr(mlde, "register", lambda model, checkpoint, **words: given.update(words))
    search.register(session(monkeypatch), FOUND)
    assert given["name"] == "search-7"
    metadata = given["metadata"]
    assert (metadata["commit"], metadata["repo"], metadata["trial"]) == (COMMIT, "data", 2)
    assert metadata["code"] == code
    assert metadata["metric"] == {"name": "loss", "value": 0.1}
    assert metadata["net"] == {"model": "small", "width": 16}
    assert metadata["search"] == {"searcher": "adaptive_asha", "trials": 5, "learning_rate": 0.004}
    monkeypatch.setattr(mlde, "find_model", lambda client, name: None)
    with pytest.raises(TrainingError, match="no model"):
        search.register(session(monkeypatch), FOUND)


def test_training_never_resumes_from_what_a_search_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str, **metadata: Any) -> Any:
        return SimpleNamespace(
            name=name,
            model_version=1,
            checkpoint=SimpleNamespace(uuid=f"of-{name}"),
            metadata={"project": "lab", "repo": "data", "net": {}, "classes": ["dog", "cat"], **metadata},
        )

    newest_first = [version("search-7", commit="a", search={"trials": 5}), version("a" * 32, commit="a" * 32)]
    monkeypatch.setattr(mlde, "versions", lambda model: newest_first)
    words: dict[str, Any] = {"project": "lab", "repo": "data", "commit": "n" * 32, "job": "n" * 32}
    model: Any = None
    warm = resuming.find_warm_start(model, {}, ("dog", "cat"), **words)
    assert warm is not None and warm.checkpoint == f"of-{'a' * 32}"
    del newest_first[1]
    assert resuming.find_warm_start(model, {}, ("dog", "cat"), **words) is None
