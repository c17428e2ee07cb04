"""Documents as the REST surface shows them: every field that the client's classes require, secrets masked."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from pdk_stack.determined.core.catalogue import TERMINAL
from pdk_stack.determined.core.masking import mask, mask_submitted
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.core.workloads import checkpoint_workload, metrics_workload
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.store.metrics import Report
from pdk_stack.determined.timestamps import parse

__all__ = ["Views"]


def user_view(user: Document) -> dict[str, Any]:
    """``v1User``; never the password."""
    return {
        "id": user["id"],
        "username": user["username"],
        "admin": user["admin"],
        "active": user["active"],
        "agentUserGroup": None,
        "displayName": user["displayName"],
        "modifiedAt": user["modifiedAt"],
        "lastAuthAt": user["lastAuthAt"],
        "remote": user["remote"],
    }


class Views:
    """Views of one request; what several of them need is read once.

    Args:
        master: The master.
        user: Who looks.
    """

    def __init__(self, master: Master, user: Document) -> None:
        self._master = master
        self._store = master.store
        self._me = user
        self._users: dict[int, Document] = {}
        self._experiments: dict[int, Document] = {}
        self._configs: dict[int, dict[str, Any]] = {}

    def _user(self, key: int) -> Document:
        if key not in self._users:
            self._users[key] = self._master.user(key)
        return self._users[key]

    def _experiment(self, key: int) -> Document:
        if key not in self._experiments:
            self._experiments[key] = self._master.experiments.experiment(key)
        return self._experiments[key]

    def config(self, experiment: Document) -> dict[str, Any]:
        """An experiment's configuration, secrets masked."""
        key = experiment["id"]
        if key not in self._configs:
            self._configs[key] = mask(experiment["config"])
        return self._configs[key]

    # -- workspaces ----------------------------------------------------------------------------------------------

    def workspace(self, workspace: Document) -> dict[str, Any]:
        """``v1Workspace``."""
        projects = self._store.list("project", workspace["id"])
        pinned_at = workspace["pinnedBy"].get(str(self._me["id"]))
        return {
            "id": workspace["id"],
            "name": workspace["name"],
            "archived": workspace["archived"],
            "username": self._user(workspace["userId"])["username"],
            "userId": workspace["userId"],
            "immutable": workspace["immutable"],
            "numProjects": len(projects),
            "numExperiments": sum(self._store.count("experiment", project["id"]) for project in projects),
            "pinned": pinned_at is not None,
            "pinnedAt": pinned_at,
            "state": "WORKSPACE_STATE_UNSPECIFIED",
            "errorMessage": "",
            "agentUserGroup": None,
            "checkpointStorageConfig": workspace["checkpointStorageConfig"],
            "defaultComputePool": workspace["defaultComputePool"],
            "defaultAuxPool": workspace["defaultAuxPool"],
            "autoCreatedNamespace": None,
        }

    def project(self, project: Document) -> dict[str, Any]:
        """``v1Project``."""
        experiments = self._store.list("experiment", project["id"])
        return {
            "id": project["id"],
            "name": project["name"],
            "workspaceId": project["workspaceId"],
            "workspaceName": self._master.workspaces.get(project["workspaceId"])["name"],
            "description": project["description"],
            "notes": project["notes"],
            "lastExperimentStartedAt": max((each["startTime"] for each in experiments), default=None),
            "numExperiments": len(experiments),
            "numRuns": sum(self._store.count("trial", each["id"]) for each in experiments),
            "numActiveExperiments": sum(each["state"] not in TERMINAL for each in experiments),
            "archived": project["archived"],
            "username": self._user(project["userId"])["username"],
            "userId": project["userId"],
            "immutable": project["immutable"],
            "state": "WORKSPACE_STATE_UNSPECIFIED",
            "errorMessage": "",
            "key": project["key"],
        }

    # -- experiments ---------------------------------------------------------------------------------------------

    def experiment(self, experiment: Document, *, full: bool = True) -> dict[str, Any]:
        """``v1Experiment``.

        Args:
            full: With the list of trial ids.
        """
        user = self._user(experiment["userId"])
        project = self._store.get("project", experiment["projectId"]) or {}
        workspace = self._store.get("workspace", project.get("workspaceId", 0)) or {}
        config = self.config(experiment)
        searcher = config["searcher"]
        trials = self._master.experiments.trials(experiment["id"])
        checkpoints = [each for trial in trials for each in self._store.list("checkpoint", trial["id"])]
        best = self._best_trial(experiment, trials)
        return {
            "id": experiment["id"],
            "name": experiment["name"],
            "description": experiment["description"],
            "labels": experiment["labels"],
            "notes": experiment["notes"],
            "startTime": experiment["startTime"],
            "endTime": experiment["endTime"],
            "state": f"STATE_{self.experiment_state(experiment, trials)}",
            "archived": experiment["archived"],
            "parentArchived": bool(project.get("archived") or workspace.get("archived")),
            "numTrials": len(trials),
            "trialIds": [trial["id"] for trial in trials] if full else [],
            "displayName": user["displayName"],
            "userId": experiment["userId"],
            "username": user["username"],
            "resourcePool": config["resources"]["resource_pool"],
            "searcherType": searcher["name"],
            "searcherMetric": searcher["metric"],
            "hyperparameters": config["hyperparameters"],
            "jobId": experiment["jobId"],
            "forkedFrom": experiment["parentId"],
            "progress": experiment["progress"],
            "projectId": experiment["projectId"],
            "projectName": project.get("name", ""),
            "projectOwnerId": project.get("userId", 0),
            "workspaceId": workspace.get("id", 0),
            "workspaceName": workspace.get("name", ""),
            "config": config,
            "originalConfig": mask_submitted(experiment["originalConfig"], experiment["config"]),
            "checkpointCount": sum(each["state"] == "STATE_COMPLETED" for each in checkpoints),
            "checkpointSize": str(sum(_size(each) for each in checkpoints)),
            "bestTrialId": best[0] if best else None,
            "bestTrialSearcherMetric": best[1] if best else None,
            "duration": _seconds(experiment["startTime"], experiment["endTime"]),
            "unmanaged": bool(experiment.get("unmanaged")),
            "externalExperimentId": experiment.get("externalId"),
            "externalTrialId": None,
            "modelDefinitionSize": experiment.get("modelDefinitionSize", 0),
            "pachydermIntegration": (config.get("integrations") or {}).get("pachyderm"),
        }

    def _best_trial(self, experiment: Document, trials: list[Document]) -> tuple[int, float] | None:
        searcher = experiment["config"]["searcher"]
        rated = []
        for trial in trials:
            value = self._summary(trial).best_value
            if value is not None:
                rated.append((trial["id"], value))
        if not rated:
            return None
        pick = min if searcher["smaller_is_better"] else max
        return pick(rated, key=lambda each: each[1])

    def experiment_state(self, experiment: Document, trials: list[Document]) -> str:
        """The state that people see: ACTIVE is told apart by what its trials do."""
        state = str(experiment["state"])
        if state != "ACTIVE" or experiment.get("unmanaged"):
            return state
        shown = {self.trial_state(trial, experiment) for trial in trials if trial["state"] == "ACTIVE"}
        return next((each for each in ("RUNNING", "STARTING", "PULLING", "QUEUED") if each in shown), "QUEUED")

    def trial_state(self, trial: Document, experiment: Document) -> str:
        """The state that people see."""
        state = str(trial["state"])
        if state != "ACTIVE":
            return state
        if experiment.get("unmanaged"):
            return "ACTIVE"
        run = self._master.experiments.runs.of_trial(trial["id"])
        if run is None:
            return "PAUSED" if experiment["state"] == "PAUSED" else "QUEUED"
        return "RUNNING" if run.ready else "STARTING"

    def _summary(self, trial: Document) -> Any:
        searcher = self._experiment(trial["experimentId"])["config"]["searcher"]
        return self._master.metrics.summary(trial["id"], searcher["metric"], searcher["smaller_is_better"])

    def trial(self, trial: Document) -> dict[str, Any]:
        """``trialv1Trial``."""
        experiment = self._experiment(trial["experimentId"])
        summary = self._summary(trial)
        checkpoints = self._store.list("checkpoint", trial["id"])
        return {
            "id": trial["id"],
            "experimentId": trial["experimentId"],
            "startTime": trial["startTime"],
            "endTime": trial["endTime"],
            "state": f"STATE_{self.trial_state(trial, experiment)}",
            "restarts": min(trial["restarts"], int(experiment["config"]["max_restarts"])),
            "hparams": trial["hparams"],
            "totalBatchesProcessed": summary.total_batches,
            "bestValidation": _metrics_workload(summary.best),
            "latestValidation": _metrics_workload(summary.latest),
            "bestCheckpoint": self._best_checkpoint(checkpoints, experiment),
            "runnerState": trial["runnerState"],
            "wallClockTime": _seconds(trial["startTime"], trial["endTime"]),
            "warmStartCheckpointUuid": trial.get("warmStart") or "",
            "taskId": trial["taskId"],
            "taskIds": [trial["taskId"]],
            "totalCheckpointSize": str(sum(_size(each) for each in checkpoints)),
            "checkpointCount": sum(each["state"] == "STATE_COMPLETED" for each in checkpoints),
            "summaryMetrics": summary.groups,
            "searcherMetricValue": summary.best_value,
            "logRetentionDays": None,
            "metadata": trial.get("metadata"),
            "logPolicyMatched": None,
        }

    def _best_checkpoint(self, checkpoints: list[Document], experiment: Document) -> dict[str, Any] | None:
        searcher = experiment["config"]["searcher"]
        rated = []
        for each in checkpoints:
            value = self._master.removal.metric(each, searcher["metric"])
            if value is not None and each["state"] == "STATE_COMPLETED":
                rated.append((value if searcher["smaller_is_better"] else -value, each))
        if not rated:
            return None
        return checkpoint_workload(min(rated, key=lambda each: each[0])[1])

    # -- checkpoints and models ----------------------------------------------------------------------------------

    def checkpoint(self, checkpoint: Document) -> dict[str, Any]:
        """``v1Checkpoint``."""
        experiment = self._store.get("experiment", checkpoint["experimentId"])
        trial = self._store.get("trial", checkpoint["trialId"])
        training: dict[str, Any] = {}
        if experiment is not None and trial is not None:
            self._experiments[experiment["id"]] = experiment
            steps = int(checkpoint["metadata"].get("steps_completed") or 0)
            validation = self._master.metrics.at(trial["id"], "validation", steps)
            trained = self._master.metrics.at(trial["id"], "training", steps)
            metric = experiment["config"]["searcher"]["metric"]
            training = {
                "trialId": trial["id"],
                "experimentId": experiment["id"],
                "experimentConfig": self.config(experiment),
                "hparams": trial["hparams"],
                "trainingMetrics": {"avgMetrics": trained.averages if trained else {}, "batchMetrics": []},
                "validationMetrics": {"avgMetrics": validation.averages if validation else {}, "batchMetrics": []},
                "searcherMetric": validation.averages.get(metric) if validation else None,
            }
        return {
            "uuid": checkpoint["uuid"],
            "taskId": checkpoint["taskId"],
            "allocationId": checkpoint["allocationId"],
            "reportTime": checkpoint["reportTime"],
            "resources": checkpoint["resources"],
            "metadata": checkpoint["metadata"],
            "state": checkpoint["state"],
            "storageId": checkpoint["storageId"],
            "training": training,
        }

    def model(self, model: Document) -> dict[str, Any]:
        """``v1Model``."""
        return {
            "id": model["id"],
            "name": model["name"],
            "description": model["description"],
            "metadata": model["metadata"],
            "creationTime": model["creationTime"],
            "lastUpdatedTime": model["lastUpdatedTime"],
            "numVersions": self._store.count("model_version", model["id"]),
            "labels": model["labels"],
            "username": self._user(model["userId"])["username"],
            "userId": model["userId"],
            "workspaceId": model["workspaceId"],
            "archived": model["archived"],
            "notes": model["notes"],
        }

    def model_version(self, version: Document, model: Document) -> dict[str, Any]:
        """``v1ModelVersion``."""
        checkpoint = self._store.get("checkpoint", version["checkpointUuid"])
        assert checkpoint is not None, "a registered checkpoint is never removed"
        return {
            "id": version["id"],
            "model": self.model(model),
            "checkpoint": self.checkpoint(checkpoint),
            "version": version["version"],
            "creationTime": version["creationTime"],
            "lastUpdatedTime": version["lastUpdatedTime"],
            "name": version["name"],
            "comment": version["comment"],
            "metadata": version["metadata"],
            "labels": version["labels"],
            "notes": version["notes"],
            "username": self._user(version["userId"])["username"],
            "userId": version["userId"],
        }


def _seconds(start: str, end: str | None) -> int:
    until = parse(end) if end else datetime.now(timezone.utc)
    return max(0, int((until - parse(start)).total_seconds()))


def _size(checkpoint: Document) -> int:
    return sum(int(size) for size in checkpoint["resources"].values())


def _metrics_workload(report: Report | None) -> dict[str, Any] | None:
    return metrics_workload(report, batches=False) if report else None
