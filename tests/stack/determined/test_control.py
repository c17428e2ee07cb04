"""What users do with experiments: activate, pause, end, archive, change, move, continue; one by one and many at once.

The experiments want more slots than there are, so they never start a trial.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack.determined.wire import Wire, wired

ABSENT = 999_999
PRECONDITION, NOT_FOUND = "FailedPrecondition", "NotFound"


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with wired(Path(tmp_path_factory.mktemp("control"))) as found:
        yield found


def create(wire: Wire, *, activate: bool = False, **changes: Any) -> int:
    config = {
        "name": "c",
        "entrypoint": "true",
        "searcher": {"name": "single", "metric": "loss"},
        "resources": {"slots_per_trial": 99},
        "hyperparameters": {"lr": 0.1},
        **changes,
    }
    reply = wire.post("/api/v1/experiments", {"config": json.dumps(config), "activate": activate})
    assert reply.status_code == 200, reply.text
    return int(reply.json()["experiment"]["id"])


def call(wire: Wire, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    reply = wire.http.request(method, wire.address + path, data=json.dumps(body or {}), timeout=30)
    return reply.status_code, reply.json()


def act(wire: Wire, key: int, *actions: str) -> Any:
    """Do one action after the other; return the last answer: nothing, or its code and words."""
    for action in actions:
        status, answer = call(wire, "POST", f"/api/v1/experiments/{key}/{action}")
    return answer if status == 200 else (answer["error"]["reason"], answer["error"]["error"])


def state(wire: Wire, key: int) -> str:
    return str(call(wire, "GET", f"/api/v1/experiments/{key}")[1]["experiment"]["state"])


@pytest.mark.parametrize(
    ("actions", "answer", "end"),
    [
        (["pause"], {}, "STATE_PAUSED"),
        (["activate"], {}, "STATE_QUEUED"),
        (["activate", "activate"], {}, "STATE_QUEUED"),
        (["activate", "pause"], {}, "STATE_PAUSED"),
        (["archive"], (PRECONDITION, "Experiment is not in terminal state."), "STATE_PAUSED"),
        (["unarchive"], (PRECONDITION, "Experiment is not archived."), "STATE_PAUSED"),
        (["kill"], {}, "STATE_CANCELED"),
        (["cancel"], {}, "STATE_CANCELED"),
        (["kill", "kill"], {}, "STATE_CANCELED"),
        (["kill", "cancel"], {}, "STATE_CANCELED"),
        (["kill", "pause"], (PRECONDITION, "experiment in terminal state"), "STATE_CANCELED"),
        (["kill", "activate"], (NOT_FOUND, "experiment '{key}' not found"), "STATE_CANCELED"),
        (["kill", "archive"], {}, "STATE_CANCELED"),
        (["kill", "archive", "archive"], (PRECONDITION, "Experiment is already archived."), "STATE_CANCELED"),
        (["kill", "archive", "unarchive"], {}, "STATE_CANCELED"),
        # What is archived can't be paused, canceled, or killed.
        (["kill", "archive", "kill"], (NOT_FOUND, "experiment '{key}' not found"), "STATE_CANCELED"),
        (["kill", "archive", "pause"], (NOT_FOUND, "experiment '{key}' not found"), "STATE_CANCELED"),
    ],
)
def test_one_experiment(wire: Wire, actions: list[str], answer: Any, end: str) -> None:
    key = create(wire)
    wanted = (answer[0], answer[1].format(key=key)) if answer else {}
    assert act(wire, key, *actions) == wanted
    assert state(wire, key) == end


@pytest.mark.parametrize("action", ["activate", "pause", "cancel", "kill", "archive", "unarchive"])
def test_no_experiment(wire: Wire, action: str) -> None:
    assert act(wire, ABSENT, action) == (NOT_FOUND, f"experiment '{ABSENT}' not found")


def test_deletion(wire: Wire) -> None:
    key = create(wire)
    status, answer = call(wire, "DELETE", f"/api/v1/experiments/{key}")
    assert (status, answer["error"]["error"]) == (400, "cannot delete experiment in STATE_PAUSED state")
    act(wire, key, "kill")
    assert call(wire, "DELETE", f"/api/v1/experiments/{key}") == (200, {})


# -- many at once ------------------------------------------------------------------------------------------------------


def bulk(wire: Wire, action: str, project: int = 1, **body: Any) -> dict[int, str]:
    method = "DELETE" if action == "delete" else "POST"
    status, answer = call(wire, method, f"/api/v1/projects/{project}/experiments/{action}", body)
    assert status == 200, answer
    return {each["id"]: each["error"] for each in answer["results"]}


def missing(key: int) -> str:
    return f"rpc error: code = NotFound desc = experiment '{key}' not found"


@pytest.mark.parametrize("action", ["activate", "pause", "cancel", "kill", "archive", "unarchive", "delete"])
def test_absent_ones_of_many(wire: Wire, action: str) -> None:
    assert bulk(wire, action, experimentIds=[ABSENT]) == {ABSENT: missing(ABSENT)}
    assert bulk(wire, action, experimentIds=[]) == {}


def project(wire: Wire, name: str) -> int:
    workspace = wire.post("/api/v1/workspaces", {"name": f"w-{name}"}).json()["workspace"]["id"]
    made = wire.post(f"/api/v1/workspaces/{workspace}/projects", {"name": name, "workspaceId": workspace})
    return int(made.json()["project"]["id"])


def test_only_the_projects_own_or_all(wire: Wire) -> None:
    here, there = create(wire), create(wire)
    other = project(wire, "other")
    assert bulk(wire, "move", experimentIds=[there], destinationProjectId=other) == {there: ""}
    assert bulk(wire, "kill", experimentIds=[here, there]) == {here: "", there: missing(there)}
    assert bulk(wire, "kill", -1, experimentIds=[here, there]) == {here: "", there: ""}


def test_filters_mean_states_by_action(wire: Wire) -> None:
    place = project(wire, "filtered")
    paused, active, ended = create(wire), create(wire, activate=True), create(wire)
    act(wire, ended, "kill")
    bulk(wire, "move", experimentIds=[paused, active, ended], destinationProjectId=place)
    mine = {"filters": {"projectId": place}}
    assert bulk(wire, "pause", -1, **mine) == {active: ""}
    assert bulk(wire, "activate", -1, **mine) == {paused: "", active: ""}
    excluded = {"filters": {"projectId": place, "excludedExperimentIds": [paused]}}
    assert bulk(wire, "kill", -1, **excluded) == {active: ""}
    assert bulk(wire, "archive", place, **mine) == {active: "", ended: ""}
    assert bulk(wire, "kill", place, filters={"states": ["STATE_ACTIVE"], "projectId": place}) == {paused: ""}
    # Filters take the place of ids.
    assert bulk(wire, "delete", place, experimentIds=[ABSENT], **mine) == {paused: "", active: "", ended: ""}


def test_many_are_not_unarchived_by_filter(wire: Wire) -> None:
    path = "/api/v1/projects/1/experiments/unarchive"
    status, answer = call(wire, "POST", path, {"filters": {"name": "c"}})
    assert status == 400 and "ambiguous" in answer["error"]["error"]


# -- changes -----------------------------------------------------------------------------------------------------------


def test_attributes_change_and_the_reply_shows_the_configuration_from_before(wire: Wire) -> None:
    key = create(wire, labels=["gold", "b"])
    body = {"name": "new", "description": "d", "notes": "n", "labels": ["z", "a", "z", 1]}
    status, answer = call(wire, "PATCH", f"/api/v1/experiments/{key}", body)
    shown = answer["experiment"]
    assert status == 200
    assert (shown["name"], shown["description"], shown["notes"], shown["labels"]) == ("new", "d", "n", ["z", "a"])
    assert (shown["config"]["name"], shown["config"]["labels"]) == ("c", ["b", "gold"])
    config = call(wire, "GET", f"/api/v1/experiments/{key}")[1]["config"]
    assert (config["name"], config["description"], config["labels"]) == ("new", "d", ["z", "a"])
    assert call(wire, "PUT", f"/api/v1/experiments/{key}/labels/x") == (200, {"labels": ["z", "a", "x"]})
    assert call(wire, "DELETE", f"/api/v1/experiments/{key}/labels/x")[0] == 400


def test_resources_change_while_the_experiment_runs(wire: Wire) -> None:
    key = create(wire)
    path = f"/api/v1/experiments/{key}"
    assert call(wire, "PATCH", path, {"resources": {"priority": 40, "maxSlots": 1}})[0] == 200
    resources = call(wire, "GET", path)[1]["config"]["resources"]
    assert (resources["priority"], resources["max_slots"], resources["weight"]) == (40, 1, 1)
    assert call(wire, "PATCH", path, {"checkpointStorage": {"saveTrialBest": 2}})[0] == 200
    storage = call(wire, "GET", path)[1]["config"]["checkpoint_storage"]
    assert (storage["save_trial_best"], storage["save_trial_latest"]) == (2, 0)
    act(wire, key, "kill", "archive")
    assert call(wire, "PATCH", path, {"name": "also archived"})[0] == 200
    assert call(wire, "PATCH", path, {"resources": {"priority": 41}})[0] == 404


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"priority": 0}, "priority must be between 1 and 99"),
        ({"priority": 100}, "priority must be between 1 and 99"),
        ({"resourcePool": "gold"}, "invalid resource pool name gold"),
        ({}, "unexpected action: <nil>"),
        ({"jobId": "gold", "priority": 5}, "job gold not found"),
        ({"priority": 5}, ""),
        ({"weight": 2.5}, ""),
    ],
)
def test_jobs_change(wire: Wire, change: dict[str, Any], words: str) -> None:
    key = create(wire)
    job = call(wire, "GET", f"/api/v1/experiments/{key}")[1]["experiment"]["jobId"]
    status, answer = call(wire, "POST", "/api/v1/job-queues", {"updates": [{"jobId": job, **change}]})
    assert (status, words) == (400, answer["error"]["error"]) if words else (status, answer) == (200, {})
    resources = call(wire, "GET", f"/api/v1/experiments/{key}")[1]["config"]["resources"]
    assert words or change.items() <= resources.items()


def test_jobs_of_another_pool_are_refused(wire: Wire) -> None:
    status, answer = call(wire, "GET", "/api/v1/job-queues?resourcePool=gold")
    assert (status, answer["error"]["error"]) == (400, "cannot find resource pool gold")


def test_moving(wire: Wire) -> None:
    key, place = create(wire), project(wire, "moved")
    path = f"/api/v1/experiments/{key}/move"
    assert call(wire, "POST", path, {"destinationProjectId": ABSENT})[0] == 404
    assert call(wire, "POST", path, {"destinationProjectId": place}) == (200, {})
    assert call(wire, "GET", f"/api/v1/experiments/{key}")[1]["experiment"]["projectId"] == place
    act(wire, key, "kill", "archive")
    status, answer = call(wire, "POST", path, {"destinationProjectId": 1})
    assert (status, answer["error"]["error"]) == (400, f"experiment ({key}) is archived and cannot be moved")


def test_an_archived_project_takes_no_experiment_that_names_it(wire: Wire) -> None:
    place = project(wire, "closed")
    key = create(wire, project="closed", workspace="w-closed")
    assert call(wire, "POST", f"/api/v1/projects/{place}/archive")[0] == 200
    config = {"name": "c", "entrypoint": "true", "searcher": {"name": "single", "metric": "m"}}
    named = {"config": json.dumps({**config, "project": "closed", "workspace": "w-closed"})}
    status, answer = call(wire, "POST", "/api/v1/experiments", named)
    assert (status, answer["error"]["error"]) == (400, "project is archived and cannot add new experiments")
    fork = {"config": json.dumps(config), "parentId": key}
    status, answer = call(wire, "POST", "/api/v1/experiments", fork)
    assert (status, answer["error"]["error"]) == (400, "forking an experiment in an archived workspace/project")
    # By its id, the release takes it.
    by_id = {"config": json.dumps(config), "projectId": place, "validateOnly": True}
    assert call(wire, "POST", "/api/v1/experiments", by_id)[0] == 200


def test_a_workspace_decides_where_checkpoints_go(wire: Wire) -> None:
    place = project(wire, "stored")
    workspace = call(wire, "GET", f"/api/v1/projects/{place}")[1]["project"]["workspaceId"]
    storage = {"type": "directory", "container_path": "/somewhere"}
    assert call(wire, "PATCH", f"/api/v1/workspaces/{workspace}", {"checkpointStorageConfig": storage})[0] == 200
    where = {"project": "stored", "workspace": "w-stored"}

    def stored(**changes: Any) -> dict[str, Any]:
        found = call(wire, "GET", f"/api/v1/experiments/{create(wire, **where, **changes)}")[1]["config"]
        return {name: found["checkpoint_storage"].get(name) for name in ("type", "container_path", "save_trial_best")}

    assert stored() == {**storage, "save_trial_best": 1}
    assert stored(checkpoint_storage={"save_trial_best": 3}) == {**storage, "save_trial_best": 3}
    assert stored(checkpoint_storage={"type": "shared_fs", "host_path": "/x"})["type"] == "shared_fs"


# -- continuing --------------------------------------------------------------------------------------------------------


def resume(wire: Wire, key: int, override: str = "{}") -> Any:
    status, answer = call(wire, "POST", "/api/v1/experiments/continue", {"id": key, "overrideConfig": override})
    return answer["experiment"]["state"] if status == 200 else answer["error"]["error"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "{a: [",
            "parsing override config: unable to convert yaml to json: not valid yaml: error converting YAML to JSON",
        ),
        (
            "gold: 1",
            "parsing override config: version 0 experiment config is invalid: config is invalid: <config>: addit",
        ),
        (
            "{searcher: {name: random, max_trials: 2}}",
            "override config must have single searcher type got 'random' instead",
        ),
        ("project: p", "'project' in override config cannot be specified, use `det experiment move` first"),
        ("workspace: w", "'workspace' in override config cannot be specified, use `det experiment move` first"),
    ],
)
def test_overrides_that_are_refused(wire: Wire, override: str, words: str) -> None:
    key = create(wire)
    act(wire, key, "kill")
    assert resume(wire, key, override).startswith(words)


def trials(wire: Wire, key: int) -> list[dict[str, Any]]:
    return list(call(wire, "GET", f"/api/v1/experiments/{key}/trials")[1]["trials"])


def test_a_continued_trial_gets_a_new_task_and_the_new_hyperparameters(wire: Wire) -> None:
    key = create(wire)
    (before,) = trials(wire, key)
    words = "experiment in non terminal state 'PAUSED', try again later"
    assert resume(wire, key).endswith(words)
    act(wire, key, "kill", "archive")
    # Also an archived experiment continues.
    assert resume(wire, key, "hyperparameters: {lr: 0.2, new: 1}\nmax_restarts: 3") == "STATE_QUEUED"
    (after,) = trials(wire, key)
    first = before["taskIds"][0]
    assert (after["id"], after["taskIds"]) == (before["id"], [first, f"{first}-1"])
    assert after["taskId"] == first
    assert after["hparams"] == {"lr": 0.2, "new": 1}
    config = call(wire, "GET", f"/api/v1/experiments/{key}")[1]["config"]
    assert config["max_restarts"] == 3 and config["entrypoint"] == "true"
    assert act(wire, key, "kill") == (NOT_FOUND, f"experiment '{key}' not found")


def test_a_search_is_continued_without_changes_only(wire: Wire) -> None:
    space = {"x": {"type": "int", "minval": 1, "maxval": 2, "count": 2}}
    key = create(wire, searcher={"name": "grid", "metric": "m"}, hyperparameters=space)
    before = {each["id"]: each["hparams"] for each in trials(wire, key)}
    wire.master.store.update("trial", min(before), state="COMPLETED")
    act(wire, key, "kill")
    assert resume(wire, key, "max_restarts: 3") == (
        "override config is provided and experiment is not single searcher, got 'grid' instead"
    )
    assert resume(wire, key) == "STATE_QUEUED"
    after = {each["id"]: each["hparams"] for each in trials(wire, key)}
    assert after == before
    tasks = {each["id"]: len(each["taskIds"]) for each in trials(wire, key)}
    # The completed one is done; only the other one trains again.
    assert tasks == {min(before): 1, max(before): 2}


def test_no_other_search_is_continued(wire: Wire) -> None:
    searcher = {"name": "adaptive_asha", "metric": "m", "max_trials": 2, "time_metric": "t", "max_time": 4}
    key = create(wire, searcher=searcher)
    act(wire, key, "kill")
    assert resume(wire, key) == "Unsupported searcher type provided: 'adaptive_asha'"
