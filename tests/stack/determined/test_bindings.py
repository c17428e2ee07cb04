"""Every answered reading call, made and parsed by the client's own bindings; and the coverage page."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from determined.common.api import authentication, bindings, errors

from pdk_stack.determined import coverage
from tests.stack.determined.conftest import ADMIN_PASSWORD, EXPERIMENTS, connect, tiny, wait_end
from tests.support.processes import ServiceProcess


@pytest.fixture(scope="module")
def things(master: ServiceProcess) -> dict[str, Any]:
    """An unmanaged experiment with a trial, metrics, a checkpoint, a model, a template: no process needed."""
    client = connect(master)
    session = client._session
    config = "name: elsewhere\nsearcher: {name: random, max_trials: 2, metric: loss}\n"
    request = bindings.v1CreateExperimentRequest(config=config, unmanaged=True)
    experiment = bindings.put_PutExperiment(session, body=request, externalExperimentId="bound").experiment
    create = bindings.v1CreateTrialRequest(experimentId=experiment.id, hparams={"a": 1}, unmanaged=True)
    wanted = bindings.v1PutTrialRequest(createTrialRequest=create, externalTrialId="first")
    trial = bindings.put_PutTrial(session, body=wanted).trial
    started = bindings.post_StartTrial(session, body=bindings.v1StartTrialRequest(trialId=trial.id), trialId=trial.id)
    for group, name in (("training", "loss"), ("validation", "loss"), ("custom", "speed")):
        metrics = bindings.v1TrialMetrics(
            trialId=trial.id,
            trialRunId=started.trialRunId,
            stepsCompleted=5,
            metrics=bindings.v1Metrics(avgMetrics={name: 0.5, "text": "x"}, batchMetrics=[{name: 1.0}]),
        )
        body = bindings.v1ReportTrialMetricsRequest(group=group, metrics=metrics)
        bindings.post_ReportTrialMetrics(session, body=body, metrics_trialId=trial.id)
    uuid = "0f8d7e9a-0000-4000-8000-000000000001"
    reported = {"uuid": uuid, "taskId": trial.taskId, "metadata": {"steps_completed": 5}, "resources": {"f": "3"}}
    session.post("/api/v1/checkpoints", json=reported)
    line = {"task_id": trial.taskId, "log": "hello\n", "level": "LOG_LEVEL_ERROR"}
    session.post("/api/v1/task/logs", json={"logs": [line]})
    model = client.create_model("bound", metadata={"a": 1}, labels=["l"])
    model.register_version(uuid)
    session.put("/api/v1/templates/bound", json={"config": {"max_restarts": 1}})
    admin = authentication.login(master.ready["determined"], "admin", ADMIN_PASSWORD)
    group = bindings.post_CreateGroup(admin, body=bindings.v1CreateGroupRequest(name="bound")).group
    return {
        "experimentId": experiment.id,
        "experiment_id": experiment.id,
        "ids": [experiment.id],
        "trialId": trial.id,
        "taskId": trial.taskId,
        "checkpointUuid": uuid,
        "modelName": "bound",
        "modelVersionNum": 1,
        "templateName": "bound",
        "resourcePoolName": "default",
        "userId": 1,
        "username": "admin",
        "workspaceId": 1,
        "agentId": "embedded-agent",
        "slotId": "0",
        "runId": trial.id,
        "key": session.get("/api/v1/projects/1").json()["project"]["key"],
        "group": "validation",
        "groupId": group.groupId,
        "trialIds": [trial.id],
        "externalExperimentId": "bound",
        "externalTrialId": "first",
    }


def identifier(name: str, things: dict[str, Any]) -> Any:
    """What ``id`` is in a call."""
    for word, key in (("Experiment", "experimentId"), ("Trial", "trialId"), ("Workspace", "workspaceId")):
        if word in name:
            return things[key]
    return 1


FOR_ADMINISTRATORS = {"GetMasterConfig", "GetClusterMessage"}
NEEDS_A_RUN = {"GetAllocation", "AllocationRendezvousInfo", "AllocationPreemptionSignal"}
NOTHING_TO_SEND = {"GetTrialProfilerMetrics", "MasterLogs"}
UNTIL_THE_EXPERIMENT_ENDS = {"ExpMetricNames", "MetricBatches", "TrialsSample", "TrialsSnapshot"}
CALLS = sorted(
    name
    for (method, path), name in coverage.client_calls().items()
    if method == "GET" and coverage.answered(method, path) and name not in NEEDS_A_RUN
)


@pytest.mark.parametrize("name", CALLS)
def test_reply_is_understood(master: ServiceProcess, client: Any, things: dict[str, Any], name: str) -> None:
    function = getattr(bindings, f"get_{name}")
    values = {}
    for parameter in inspect.signature(function).parameters.values():
        wanted = parameter.default is inspect.Parameter.empty and parameter.name != "session"
        if wanted or (parameter.name in ("trialIds", "group") and parameter.name in things):
            values[parameter.name] = things.get(parameter.name) or identifier(name, things)
    session = client._session
    if name in FOR_ADMINISTRATORS:
        session = authentication.login(master.ready["determined"], "admin", ADMIN_PASSWORD)
    reply = function(session, **values)
    if inspect.isgenerator(reply):
        reply = [next(reply)] if name in UNTIL_THE_EXPERIMENT_ENDS else list(reply)
        assert reply or name in NOTHING_TO_SEND
    assert reply is not None


def test_streams_carry_what_was_reported(client: Any, things: dict[str, Any]) -> None:
    trial = client.get_trial(things["trialId"])
    assert [report.metrics for report in trial.iter_metrics("custom")] == [{"speed": 0.5, "text": "x"}]
    assert [line.split("|| ")[1] for line in trial.iter_logs()] == ["ERROR: hello\n"]
    summary = trial._session.get(f"/api/v1/trials/{trial.id}").json()["trial"]["summaryMetrics"]
    assert summary["validation_metrics"]["loss"]["mean"] == 0.5 and summary["custom"]["text"]["type"] == "string"


def test_metrics_of_those_who_use_a_checkpoint(client: Any, things: dict[str, Any]) -> None:
    checkpoint = client.get_checkpoint(things["checkpointUuid"])
    version = client.get_model("bound").get_version(1)
    assert list(checkpoint.get_metrics("validation")) == list(version.get_metrics("validation")) == []
    info = bindings.v1TrialSourceInfo(
        checkpointUuid=checkpoint.uuid,
        trialId=things["trialId"],
        trialSourceInfoType=bindings.v1TrialSourceInfoType.INFERENCE,
        modelId=version.model_id,
        modelVersion=version.model_version,
    )
    request = bindings.v1ReportTrialSourceInfoRequest(trialSourceInfo=info)
    bindings.post_ReportTrialSourceInfo(client._session, body=request)
    for used in (checkpoint, version):
        (report,) = used.get_metrics("validation")
        assert (report.trial_id, report.metrics["loss"]) == (things["trialId"], 0.5)
    with pytest.raises(errors.NotFoundException):
        client._session.get("/api/v1/models/bound/versions/7/metrics")


def test_bulk_actions_tell_each_result(client: Any) -> None:
    experiment = client.create_experiment(tiny(entrypoint="sleep 60"), str(EXPERIMENTS / "tiny"))
    experiment.pause()
    for verb, request in (
        ("Kill", bindings.v1KillExperimentsRequest),
        ("Archive", bindings.v1ArchiveExperimentsRequest),
    ):
        body = request(experimentIds=[experiment.id, 99999], projectId=1)
        if verb == "Archive":
            assert wait_end(experiment, 30) == "CANCELED"
        results = getattr(bindings, f"post_{verb}Experiments")(client._session, body=body, projectId=1).results
        assert {each.id: bool(each.error) for each in results} == {experiment.id: False, 99999: True}


def test_users_are_managed_by_administrators_only(master: ServiceProcess, client: Any) -> None:
    from determined.experimental import Determined

    with pytest.raises(errors.ForbiddenException):
        client.create_user("eve", admin=True, password="Eve-pass-1")
    address = master.ready["determined"]
    admin = Determined(address, "admin", ADMIN_PASSWORD)
    user = admin.create_user("eve", admin=False, password="Eve-pass-1")
    session = authentication.login(address, "eve", "Eve-pass-1")
    user.change_password("Eve-pass-2")
    with pytest.raises(errors.UnauthenticatedException):
        session.get("/api/v1/me")
    with pytest.raises(errors.UnauthenticatedException):
        authentication.login(address, "eve", "Eve-pass-1")
    authentication.login(address, "eve", "Eve-pass-2")
    user.deactivate()
    with pytest.raises(errors.ForbiddenException):
        authentication.login(address, "eve", "Eve-pass-2")


def test_coverage_page_is_current() -> None:
    committed = Path(__file__).resolve().parents[3] / "docs" / "coverage-determined.md"
    assert committed.read_text() == coverage.page(), f"run: python -m pdk_stack.determined.coverage > {committed}"
