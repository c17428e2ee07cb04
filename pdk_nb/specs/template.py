"""The template of the train and deploy pipelines' specs, for a cloud or on-prem."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from pdk_nb.example import DEFAULT_TASK
from pdk_nb.names import Names
from pdk_nb.platforms.serving.account import PREDICTOR_ACCOUNT
from pdk_nb.settings import Settings
from pdk_nb.specs.parameters import PipelineParams, Variant, params_for, variant_for
from pdk_nb.specs.rules import BUCKET_SECRETS, DEPLOY_SECRETS, TRAIN_SECRETS, check
from pdk_shared.errors import SpecError

# (train, deploy) by variant, named as in the setup guide.
FILES: dict[str, tuple[str, str]] = {
    "cloud": ("training-pipeline.json", "deployment-pipeline.json"),
    "onprem": ("_onprem_training-pipeline.json", "_onprem_deployment-pipeline.json"),
}
# Where Determined's client looks for a shared_fs checkpoint inside a container.
CONTAINER_FOLDER = "/determined_shared_fs"
SERVICE_ACCOUNT = PREDICTOR_ACCOUNT
# What the stages need: the train stage waits for its experiment, the deploy stage exports the model with PyTorch.
# Without requests, Pachyderm asks for one CPU for the stage and another one for its sidecar, and on a small cluster the
# workers stay pending.
TRAIN_REQUESTS: dict[str, Any] = {"cpu": 0.1, "memory": "256Mi"}
DEPLOY_REQUESTS: dict[str, Any] = {"cpu": 0.25, "memory": "512Mi"}
SIDECAR_REQUESTS: dict[str, Any] = {"cpu": 0.1, "memory": "128Mi"}


def render(
    example: str = "", variant: Variant = "cloud", params: PipelineParams | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The specs of the train and deploy pipelines.

    Args:
        example: Folder name under ``examples``; the default example when empty.
        variant: ``cloud`` or ``onprem``.
        params: Parameters; the example's own when None.

    Raises:
        SpecError: The parameters don't fit together, or the specs contradict each other.
    """
    params = params or params_for(example=example, variant=variant)
    if variant not in FILES:
        raise SpecError(f"'{variant}' isn't a variant; use one of: {', '.join(FILES)}.")
    if variant == "cloud" and not (params.cloud_host and params.bucket):
        raise SpecError(
            "The cloud variant needs a model host and a bucket.",
            where="pdk-config: cloud_model_host, kserve_model_bucket_name",
            fix="Set both, or use the onprem variant.",
        )
    train = _pipeline(
        params,
        variant,
        name=params.train_pipeline,
        description=f"Trains {params.model} with Determined for each commit of {params.data_repo}.",
        repo=params.data_repo,
        image=params.train_image,
        secrets=TRAIN_SECRETS,
        command=["python", "train.py", *_train_flags(params)],
        # The trial fetches the data; the worker needs only the files' names.
        empty_files=True,
        requests=TRAIN_REQUESTS,
    )
    deploy = _pipeline(
        params,
        variant,
        name=params.deploy_pipeline,
        description=f"Deploys each version of {params.model} as InferenceService {params.service}.",
        repo=params.train_pipeline,
        image=params.deploy_image,
        secrets={**DEPLOY_SECRETS, **(BUCKET_SECRETS if variant == "cloud" and params.endpoint else {})},
        command=["python", "deploy.py", *_deploy_flags(params, variant)],
        empty_files=False,
        requests=DEPLOY_REQUESTS,
    )
    problems = check(train, deploy)
    if problems:
        raise SpecError("The pipelines contradict each other: " + "; ".join(problems))
    return train, deploy


def render_for(settings: Settings, names: Names, **choices: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both specs for a cluster and a participant.

    Args:
        settings: The cluster's settings, which determine the variant.
        names: Names of the pipelines, and their example.
        choices: Fields of :class:`PipelineParams`; empty texts keep the cluster's values.

    Raises:
        SpecError: The parameters don't fit together.
    """
    variant = variant_for(settings)
    if names.participant:
        # The experiment's configuration has the workspace for a single user.
        own = ("--workspace", names.workspace, "--experiment-project", names.experiment_project)
        choices["train_args"] = (*choices.get("train_args", ()), *own)
    params = params_for(
        settings,
        names.example,
        variant,
        project=names.project,
        data_repo=names.data_repo,
        train_pipeline=names.train_pipeline,
        deploy_pipeline=names.deploy_pipeline,
        model=names.model,
        service=names.service,
        **{name: value for name, value in choices.items() if value not in ("", None)},
    )
    return render(names.example, variant, params)


def _train_flags(params: PipelineParams) -> list[str]:
    flags = {
        "--git-url": params.git_url,
        "--git-ref": params.git_ref,
        "--sub-dir": params.sub_dir,
        "--config": params.config,
        "--repo": params.data_repo,
        "--model": params.model,
        "--project": params.project,
        # An image that knows no tasks runs the default one.
        "--task": params.task if params.task != DEFAULT_TASK else "",
        "--handler": params.handler,
        "--resource-pool": params.resource_pool,
    }
    flags_given = [word for flag, value in flags.items() if value for word in (flag, value)]
    if params.incremental is not None:
        flags_given.append("--incremental" if params.incremental else "--no-incremental")
    return [*flags_given, *params.train_args]


def _deploy_flags(params: PipelineParams, variant: Variant) -> list[str]:
    account = params.service_account or (SERVICE_ACCOUNT if variant == "onprem" or params.endpoint else "")
    flags = {"--deployment-name": params.service}
    if params.gate_minimum:
        flags |= _gate_flag(params.gate_metric, params.gate_minimum)
    if variant == "cloud":
        flags |= {"--cloud-model-host": params.cloud_host, "--cloud-model-bucket": params.bucket}
        flags["--cloud-model-endpoint"] = params.endpoint
    flags |= {
        "--service-account-name": account,
        "--resource-requests": ",".join(f"{key}={value}" for key, value in params.resource_requests.items()),
        "--resource-limits": ",".join(f"{key}={value}" for key, value in params.resource_limits.items()),
    }
    return [*(word for flag, value in flags.items() if value for word in (flag, value)), *params.deploy_args]


def _gate_flag(metric: str, minimum: float) -> dict[str, str]:
    """The gate as a flag; for the accuracy, the flag that every deploy image knows."""
    return {"--min-accuracy": str(minimum)} if metric == "accuracy" else {"--gate": f"{metric}={minimum}"}


def _pipeline(
    params: PipelineParams,
    variant: Variant,
    *,
    name: str,
    description: str,
    repo: str,
    image: str,
    secrets: Mapping[str, str],
    command: list[str],
    empty_files: bool,
    requests: Mapping[str, Any],
) -> dict[str, Any]:
    pfs: dict[str, Any] = {
        "name": "data",
        "repo": repo,
        "project": params.project,
        "branch": params.branch,
        # One datum: the stages process a commit as a whole.
        "glob": "/",
    }
    if empty_files:
        pfs["empty_files"] = True
    spec: dict[str, Any] = {
        "pipeline": {"name": name, "project": {"name": params.project}},
        "description": description,
        "input": {"pfs": pfs},
        "transform": {
            "cmd": ["/bin/sh"],
            # exec: the signal of a canceled job reaches Python itself.
            "stdin": ["set -e", f"exec {shlex.join(command)}"],
            "image": image,
            "secrets": [{"name": params.secret, "env_var": variable, "key": key} for variable, key in secrets.items()],
        },
        "resource_requests": dict(requests),
        "sidecar_resource_requests": dict(SIDECAR_REQUESTS),
        "autoscaling": True,
        # A retry would start a second experiment or deployment; the stages retry what they can.
        "datum_tries": 1,
    }
    # MinIO is on-prem, too: checkpoints may be in a folder on the nodes.
    if variant == "onprem" or params.endpoint:
        patch = _pod_patch(params.shared_folder)
        if patch:
            spec["pod_patch"] = json.dumps(patch)
    return spec


def _pod_patch(shared_folder: str) -> list[dict[str, Any]]:
    """RFC 6902: mount Determined's checkpoint folder and run as root, who owns it."""
    if not shared_folder:
        return []
    volume = {"name": "det-checkpoints", "hostPath": {"path": shared_folder, "type": "Directory"}}
    mount = {"name": "det-checkpoints", "mountPath": CONTAINER_FOLDER}
    return [
        {"op": "add", "path": "/volumes/-", "value": volume},
        {"op": "add", "path": "/containers/0/volumeMounts/-", "value": mount},
        {"op": "add", "path": "/containers/0/securityContext", "value": {"runAsUser": 0, "runAsGroup": 0}},
    ]
