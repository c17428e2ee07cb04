"""Documents in their REST form, with secrets masked.

The master shows a message that is not set as null, and leaves out a field that its protocol calls ``optional``. One
object has several forms: the queries behind a single object, a list, and a change return different fields.
"""

from __future__ import annotations

import json
from operator import itemgetter
from typing import Any

from pdk_stack.determined.api.metric_views import checkpoint_workload, metrics_workload
from pdk_stack.determined.core.experiments.catalogue import steps_of
from pdk_stack.determined.core.masking import mask, mask_submitted
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import seconds_between

__all__ = ["Views", "optional", "picked", "user_view"]

#: Fields that a model and its versions share.
REGISTERED = ("id", "name", "metadata", "labels", "notes", "creationTime", "lastUpdatedTime", "userId")


def picked(document: Document, *names: str) -> dict[str, Any]:
    """Return fields that are shown as stored."""
    return {name: document[name] for name in names}


def optional(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value; the others are left out of a reply."""
    return {name: value for name, value in fields.items() if value is not None}


def user_view(user: Document) -> dict[str, Any]:
    """Return a user as ``v1User``, without the password."""
    names = ("id", "username", "admin", "active", "displayName", "modifiedAt", "remote")
    return {
        **picked(user, *names),
        "agentUserGroup": user.get("agentUserGroup"),
        **optional(lastAuthAt=user["lastAuthAt"]),
    }


class Views:
    """Builds the views for one request; data that several views need is read once.

    Args:
        master: The master.
        user: The user who reads.
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
        """Return an experiment's configuration with secrets masked."""
        key = experiment["id"]
        if key not in self._configs:
            self._configs[key] = mask(experiment["config"])
        return self._configs[key]

    # -- workspaces ----------------------------------------------------------------------------------------------

    def workspace(self, workspace: Document, *, whole: bool = False, new: bool = False) -> dict[str, Any]:
        """Return a workspace as ``v1Workspace``.

        Args:
            workspace: The workspace.
            whole: Whether to include the checkpoint storage, which lists leave out.
            new: Whether it was made just now; then the reply doesn't say when it was pinned.
        """
        projects = self._store.list("project", workspace["id"])
        pinned_at = workspace["pinnedBy"].get(str(self._me["id"]))
        storage = workspace["checkpointStorageConfig"] if whole or new else None
        return {
            **picked(
                workspace, "id", "name", "archived", "userId", "immutable", "defaultComputePool", "defaultAuxPool"
            ),
            "username": self._user(workspace["userId"])["username"],
            "numProjects": len(projects),
            "numExperiments": sum(self._store.count("experiment", project["id"]) for project in projects),
            "pinned": pinned_at is not None,
            "state": "WORKSPACE_STATE_UNSPECIFIED",
            "errorMessage": "",
            **optional(
                pinnedAt=None if new else pinned_at,
                agentUserGroup=workspace.get("agentUserGroup"),
                checkpointStorageConfig=storage and mask({"checkpoint_storage": storage})["checkpoint_storage"],
            ),
        }

    def project(self, project: Document, *, named: bool = True) -> dict[str, Any]:
        """Return a project as ``v1Project``.

        Args:
            project: The project.
            named: Whether to include the workspace's name, which lists and new projects leave out.
        """
        experiments = self._store.list("experiment", project["id"])
        workspace = self._master.workspaces.get(project["workspaceId"])
        stored = ("id", "name", "key", "workspaceId", "description", "notes", "userId", "immutable")
        return {
            **picked(project, *stored),
            "archived": bool(project["archived"] or workspace["archived"]),
            "workspaceName": workspace["name"] if named else "",
            "lastExperimentStartedAt": max((each["startTime"] for each in experiments), default=None),
            "numExperiments": len(experiments),
            "numRuns": sum(self._store.count("trial", each["id"]) for each in experiments),
            "numActiveExperiments": sum(each["state"] == "ACTIVE" for each in experiments),
            "username": self._user(project["userId"])["username"],
            "state": "WORKSPACE_STATE_UNSPECIFIED",
            "errorMessage": "",
        }

    # -- experiments ---------------------------------------------------------------------------------------------

    def experiment(self, experiment: Document, *, full: bool = True, best: bool = False) -> dict[str, Any]:
        """Return an experiment as ``v1Experiment``.

        Args:
            experiment: The experiment.
            full: Whether it is shown alone; lists have other fields.
            best: Whether a list has the best trial's searcher metric.
        """
        user = self._user(experiment["userId"])
        project = self._store.get("project", experiment["projectId"]) or {}
        workspace = self._store.get("workspace", project.get("workspaceId", 0)) or {}
        config = self.config(experiment)
        trials = self._master.experiments.trials(experiment["id"])
        checkpoints = [each for trial in trials for each in self._master.experiments.checkpoints(trial["id"])]
        shown = {
            **picked(experiment, "id", "name", "description", "labels", "startTime", "endTime", "archived"),
            "state": self.experiment_state(experiment, trials),
            "parentArchived": bool(project.get("archived") or workspace.get("archived")),
            "numTrials": len(trials),
            "userId": experiment["userId"],
            "username": user["username"],
            "resourcePool": config["resources"]["resource_pool"],
            "jobId": experiment["jobId"],
            "forkedFrom": experiment["parentId"],
            "progress": experiment["progress"],
            "projectId": experiment["projectId"],
            "projectName": project.get("name", ""),
            "projectOwnerId": project.get("userId", 0),
            "workspaceId": workspace.get("id", 0),
            "workspaceName": workspace.get("name", ""),
            "config": config,
            "checkpointCount": sum(each["state"] == "STATE_COMPLETED" for each in checkpoints),
            "checkpointSize": str(sum(_size(each) for each in checkpoints)),
            "unmanaged": bool(experiment.get("unmanaged")),
            **optional(pachydermIntegration=(config.get("integrations") or {}).get("pachyderm")),
        }
        if full:
            return {**shown, **self._alone(experiment, trials)}
        return {**shown, **self._in_a_list(experiment, trials if best else [])}

    def _alone(self, experiment: Document, trials: list[Document]) -> dict[str, Any]:
        """Return what only an experiment that is shown alone has."""
        return {
            "notes": experiment["notes"],
            "displayName": "",
            # The master's query takes the name as JSON, with its quotation marks.
            "searcherType": json.dumps(experiment["config"]["searcher"]["name"]),
            "searcherMetric": "",
            "hyperparameters": None,
            "trialIds": [trial["id"] for trial in trials],
            "originalConfig": mask_submitted(experiment["originalConfig"], experiment["config"]),
            "modelDefinitionSize": experiment.get("modelDefinitionSize", 0),
        }

    def _in_a_list(self, experiment: Document, trials: list[Document]) -> dict[str, Any]:
        """Return what only an experiment in a list has."""
        user, config, best = (
            self._user(experiment["userId"]),
            self.config(experiment),
            self.best_trial(experiment, trials),
        )
        return {
            "notes": "omitted" if experiment["notes"] else "",
            "displayName": user["displayName"] or user["username"],
            "searcherType": config["searcher"]["name"],
            "searcherMetric": config["searcher"]["metric"],
            "hyperparameters": config["hyperparameters"],
            "trialIds": [],
            "originalConfig": "",
            "duration": seconds_between(experiment["startTime"], experiment["endTime"]),
            **optional(
                externalExperimentId=experiment.get("externalId"),
                bestTrialSearcherMetric=best[1] if best else None,
            ),
        }

    def best_trial(self, experiment: Document, trials: list[Document]) -> tuple[int, float] | None:
        """Return the trial with the best searcher metric, and its value; None when no trial has one."""
        searcher = experiment["config"]["searcher"]
        values = ((trial["id"], self.searcher_value(trial)) for trial in trials)
        rated = [(key, value) for key, value in values if value is not None]
        pick = min if searcher["smaller_is_better"] else max
        return pick(rated, key=lambda each: each[1], default=None)

    def searcher_value(self, trial: Document) -> float | None:
        """Return a trial's best value of the searcher metric; None when it has none."""
        value: float | None = self._summary(trial).best_value
        return value

    def experiment_state(self, experiment: Document, trials: list[Document]) -> str:
        """Return the displayed state, which refines ACTIVE by what the trials do."""
        if experiment["state"] != "ACTIVE" or experiment.get("unmanaged"):
            return f"STATE_{experiment['state']}"
        shown = {self.trial_state(trial, experiment) for trial in trials if trial["state"] == "ACTIVE"}
        return next((each for each in ("STATE_RUNNING", "STATE_STARTING") if each in shown), "STATE_QUEUED")

    def trial_state(self, trial: Document, experiment: Document) -> str:
        """Return the displayed state."""
        if trial["state"] != "ACTIVE" or experiment.get("unmanaged"):
            return f"STATE_{trial['state']}"
        run = self._master.experiments.runs.of_trial(trial["id"])
        if run is None:
            return "STATE_PAUSED" if experiment["state"] == "PAUSED" else "STATE_QUEUED"
        return "STATE_RUNNING" if run.ready else "STATE_STARTING"

    def _summary(self, trial: Document) -> Any:
        searcher = self._experiment(trial["experimentId"])["config"]["searcher"]
        return self._master.metrics.summary(trial["id"], searcher["metric"], searcher["smaller_is_better"])

    def trial(self, trial: Document, *, searched: bool = False) -> dict[str, Any]:
        """Return a trial as ``trialv1Trial``.

        Args:
            trial: The trial.
            searched: Whether it is shown with a search's experiments; only then its searcher metric is.
        """
        experiment = self._experiment(trial["experimentId"])
        summary = self._summary(trial)
        checkpoints = self._master.experiments.checkpoints(trial["id"])
        tasks = trial.get("taskIds") or [trial["taskId"]]
        return {
            **picked(trial, "id", "experimentId", "startTime", "endTime", "hparams"),
            "state": self.trial_state(trial, experiment),
            "runnerState": trial["runnerState"] if self._master.experiments.runs.of_trial(trial["id"]) else "",
            "restarts": min(trial["restarts"], int(experiment["config"]["max_restarts"])),
            "totalBatchesProcessed": summary.total_batches,
            "bestValidation": summary.best and metrics_workload(summary.best),
            "latestValidation": summary.latest and metrics_workload(summary.latest),
            "bestCheckpoint": None if searched else self._best_checkpoint(checkpoints, experiment),
            "wallClockTime": seconds_between(trial["startTime"], trial["endTime"]),
            "warmStartCheckpointUuid": trial.get("warmStart") or "",
            # The first of them, also when the trial was continued in another.
            "taskId": tasks[0],
            "taskIds": tasks,
            "totalCheckpointSize": str(sum(_size(each) for each in checkpoints)),
            "checkpointCount": sum(each["state"] == "STATE_COMPLETED" for each in checkpoints),
            "summaryMetrics": summary.groups,
            "searcherMetricValue": (summary.best_value or 0) if searched else 0,
            **optional(metadata=trial.get("metadata"), logPolicyMatched=trial.get("logPolicyMatched")),
        }

    def metric_groups(self, trial: Document) -> dict[str, dict[str, dict[str, Any]]]:
        """Return a trial's summary metrics, by group and name."""
        groups: dict[str, dict[str, dict[str, Any]]] = self._summary(trial).groups
        return groups

    def checkpoint_sums(self, trial: Document) -> tuple[int, int]:
        """Return how many checkpoints a trial holds, and their size in bytes."""
        checkpoints = self._master.experiments.checkpoints(trial["id"])
        count = sum(each["state"] == "STATE_COMPLETED" for each in checkpoints)
        return count, sum(_size(each) for each in checkpoints)

    def run(self, trial: Document, local_id: str, archived: bool) -> dict[str, Any]:
        """Return a trial as ``v1FlatRun``.

        Args:
            trial: The trial.
            local_id: Its name in its project.
            archived: Whether it or its experiment is archived.
        """
        experiment = self._experiment(trial["experimentId"])
        shown, summary = self.experiment(experiment, full=False), self._summary(trial)
        count, size = self.checkpoint_sums(trial)
        return {
            **picked(trial, "id", "startTime", "endTime"),
            "state": f"STATE_{trial['state']}",
            "checkpointCount": count,
            "checkpointSize": str(size),
            "archived": archived,
            "localId": local_id,
            "duration": seconds_between(trial["startTime"], trial["endTime"]),
            "hyperparameters": trial["hparams"],
            **picked(shown, "labels", "userId", "projectId", "projectName", "workspaceId", "workspaceName"),
            "parentArchived": shown["parentArchived"],
            "experiment": {
                **picked(shown, "id", "name", "description", "searcherType", "searcherMetric", "resourcePool"),
                "progress": shown["progress"] or 0,
                "unmanaged": shown["unmanaged"],
                "isMultitrial": shown["searcherType"] != "single",
                **optional(
                    forkedFrom=shown["forkedFrom"],
                    externalExperimentId=experiment.get("externalId"),
                    pachydermIntegration=shown.get("pachydermIntegration"),
                ),
            },
            **optional(
                summaryMetrics=summary.groups or None,
                searcherMetricValue=summary.best_value,
                externalRunId=trial.get("externalId"),
                metadata=trial.get("metadata"),
            ),
        }

    def _best_checkpoint(self, checkpoints: list[Document], experiment: Document) -> dict[str, Any] | None:
        searcher, metric = experiment["config"]["searcher"], self._master.removal.metric
        complete = (each for each in checkpoints if each["state"] == "STATE_COMPLETED")
        values = ((metric(each, searcher["metric"]), each) for each in complete)
        pick = min if searcher["smaller_is_better"] else max
        best = pick(((value, each) for value, each in values if value is not None), key=itemgetter(0), default=None)
        return {**checkpoint_workload(best[1]), "metadata": None} if best else None

    # -- checkpoints and models ----------------------------------------------------------------------------------

    def checkpoint(self, checkpoint: Document) -> dict[str, Any]:
        """Return a checkpoint as ``v1Checkpoint``."""
        experiment = self._store.get("experiment", checkpoint["experimentId"])
        trial = self._store.get("trial", checkpoint["trialId"])
        training: dict[str, Any] = {
            "experimentConfig": None,
            "hparams": None,
            "trainingMetrics": None,
            "validationMetrics": None,
        }
        if experiment is not None and trial is not None:
            self._experiments[experiment["id"]] = experiment
            steps = steps_of(checkpoint)
            validation = self._master.metrics.at(trial["id"], "validation", steps)
            trained = self._master.metrics.at(trial["id"], "training", steps)
            metric = experiment["config"]["searcher"]["metric"]
            training = {
                "trialId": trial["id"],
                "experimentId": experiment["id"],
                "experimentConfig": self.config(experiment),
                "hparams": trial["hparams"],
                "trainingMetrics": {"avgMetrics": trained.averages if trained else None, "batchMetrics": []},
                "validationMetrics": {"avgMetrics": validation.averages if validation else None, "batchMetrics": []},
                **optional(searcherMetric=validation.averages.get(metric) if validation else None),
            }
        return {
            **picked(checkpoint, "uuid", "taskId", "reportTime", "resources", "metadata", "state"),
            **optional(allocationId=checkpoint["allocationId"], storageId=checkpoint["storageId"]),
            "training": training,
        }

    def model(self, model: Document) -> dict[str, Any]:
        """Return a model as ``v1Model``."""
        return {
            **picked(model, *REGISTERED, "description", "workspaceId", "archived"),
            "numVersions": self._store.count("model_version", model["id"]),
            "username": self._user(model["userId"])["username"],
        }

    def model_version(self, version: Document, model: Document) -> dict[str, Any]:
        """Return a model version as ``v1ModelVersion``."""
        checkpoint = self._store.get("checkpoint", version["checkpointUuid"])
        assert checkpoint is not None, "a registered checkpoint is never removed"
        return {
            **picked(version, *REGISTERED, "version", "comment"),
            "model": self.model(model),
            "checkpoint": self.checkpoint(checkpoint),
            "username": self._user(version["userId"])["username"],
        }


def _size(checkpoint: Document) -> int:
    """Return how many bytes a checkpoint holds; a deleted one still shows the files that it held."""
    if checkpoint["state"] == "STATE_DELETED":
        return 0
    return sum(int(size) for size in checkpoint["resources"].values())
