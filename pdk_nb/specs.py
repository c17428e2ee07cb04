"""Pipeline specs: one template gives the train and the deploy pipeline of an example, for clouds and on-prem.

The variants differ in what the setup guide names: in a cloud, models go to a bucket; on-prem they stay in the deploy
pipeline's output repo, the pods mount Determined's shared checkpoint folder as root (``pod_patch``), and the predictor
has a service account that reads through Pachyderm's S3 gateway.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from pdk_nb import __version__
from pdk_nb.errors import SpecError
from pdk_nb.settings import Settings

__all__ = [
    "FILES",
    "PipelineParams",
    "Variant",
    "camel_case",
    "check",
    "cloud_host",
    "examples_folder",
    "params_for",
    "render",
    "variant_for",
    "write",
]

Variant = Literal["cloud", "onprem"]
# (train, deploy) by variant, named as in the setup guide.
FILES: dict[str, tuple[str, str]] = {
    "cloud": ("training-pipeline.json", "deployment-pipeline.json"),
    "onprem": ("_onprem_training-pipeline.json", "_onprem_deployment-pipeline.json"),
}
DET_SECRETS = {"DET_MASTER": "det_master", "DET_USER": "det_user", "DET_PASSWORD": "det_password"}
TRAIN_SECRETS = {
    **DET_SECRETS,
    "PAC_TOKEN": "pac_token",
    "PACHD_LB_SERVICE_HOST": "pachd_lb_service_host",
    "PACHD_LB_SERVICE_PORT": "pachd_lb_service_port",
}
DEPLOY_SECRETS = {**DET_SECRETS, "KSERVE_NAMESPACE": "kserve_namespace"}
# Where Determined's client looks for a shared_fs checkpoint inside a container.
CONTAINER_FOLDER = "/determined_shared_fs"
SERVICE_ACCOUNT = "pach-deploy"
# In pipeline specs these maps hold names of people's own; their keys are not fields.
FREE_KEYS = {"env", "annotations", "labels", "nodeSelector"}


@dataclass(frozen=True)
class PipelineParams:
    """Everything that a rendered pair of specs depends on.

    Attributes:
        project: Pachyderm project.
        data_repo: Repo of the pictures.
        train_pipeline: Name of the train pipeline and of its output repo.
        deploy_pipeline: Name of the deploy pipeline.
        model: Registry model.
        service: InferenceService.
        train_image: Image of the train stage.
        deploy_image: Image of the deploy stage.
        git_url: Where the experiment's code is fetched from.
        git_ref: Branch, tag or commit; the default branch when empty.
        sub_dir: Folder of the experiment in the code.
        config: Experiment configuration in that folder.
        branch: Branch of the repos.
        secret: Secret with the pipelines' credentials.
        cloud_host: ``gcp`` or ``aws``; only for the cloud variant.
        bucket: Bucket of models.
        endpoint: URL of another S3 than Amazon's.
        resource_requests: Of the predictor.
        resource_limits: Of the predictor.
        shared_folder: On-prem: Determined's checkpoint folder on the nodes; no mount when empty.
        service_account: Service account of the predictor.
        resource_pool: Determined's pool for the experiments; the train stage chooses when empty.
        incremental: Whether training goes on from the last version; the stage's default when None.
        train_args: Further flags of the train stage.
        deploy_args: Further flags of the deploy stage.
    """

    project: str
    data_repo: str
    train_pipeline: str
    deploy_pipeline: str
    model: str
    service: str
    train_image: str
    deploy_image: str
    git_url: str
    git_ref: str
    sub_dir: str
    config: str
    branch: str = "master"
    secret: str = "pipeline-secret"  # noqa: S105  a name, not a secret
    cloud_host: str = ""
    bucket: str = ""
    endpoint: str = ""
    resource_requests: Mapping[str, str] = field(default_factory=dict)
    resource_limits: Mapping[str, str] = field(default_factory=dict)
    shared_folder: str = ""
    service_account: str = ""
    resource_pool: str = ""
    incremental: bool | None = None
    train_args: tuple[str, ...] = ()
    deploy_args: tuple[str, ...] = ()


def examples_folder() -> Path:
    """The checkout's examples."""
    return Path(__file__).resolve().parents[1] / "examples"


def _example(example: str) -> dict[str, Any]:
    path = examples_folder() / example / "pipelines" / "example.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"There is no example '{example}'.", where=str(path)) from error
    except yaml.YAMLError as error:
        raise SpecError(f"The example's description is not YAML: {error}", where=str(path)) from error
    return dict(content)


def variant_for(settings: Settings) -> Variant:
    """``cloud`` when the cluster has a bucket for models, else ``onprem``."""
    return "cloud" if settings.kserve_model_bucket_name else "onprem"


def cloud_host(settings: Settings) -> str:
    """``gcp`` or ``aws``: said by pdk-config, or seen from what else it says; empty without a bucket.

    MinIO counts as ``aws``: it speaks the same protocol at another address.
    """
    if settings.cloud_model_host or not settings.kserve_model_bucket_name:
        return settings.cloud_model_host
    if settings.minio_url:
        return "aws"
    # Google's regions are "us-central1", Amazon's "us-east-2".
    is_google = "pkg.dev" in settings.registry_uri or "gcr.io" in settings.registry_uri
    return "gcp" if is_google or re.fullmatch(r"[a-z]+-[a-z]+\d", settings.region) else "aws"


def params_for(
    settings: Settings | None = None, example: str = "dog-cat", variant: Variant | None = None, **overrides: Any
) -> PipelineParams:
    """Parameters of an example: its own, then the cluster's, then what the caller says.

    Args:
        settings: The cluster's settings; the example's placeholders are kept without them.
        example: Folder name under ``examples``.
        variant: For the predictor's resources; follows from the settings when None.
        overrides: Fields of :class:`PipelineParams`.

    Raises:
        SpecError: There is no such example or field.
    """
    values = _example(example)
    resources, registry = values.pop("resources", {}), str(values.pop("registry", ""))
    variant = variant or (variant_for(settings) if settings else "cloud")
    for kind in ("requests", "limits"):
        values[f"resource_{kind}"] = {key: str(each) for key, each in resources.get(variant, {}).get(kind, {}).items()}
    if settings is not None:
        registry = settings.registry_uri or registry
        values["git_url"] = settings.git_url or values["git_url"]
        # A cluster that names a repository but no ref means that repository's own default branch.
        values["git_ref"] = settings.git_ref or ("" if settings.git_url else values["git_ref"])
        values["bucket"] = settings.kserve_model_bucket_name
        values["cloud_host"] = cloud_host(settings)
        values["endpoint"] = settings.minio_url
        values["resource_pool"] = settings.resource_pool
        values["secret"] = settings.mldm_pipeline_secret
        # A path-valued bucket is Determined's folder on the nodes.
        folder = settings.mlde_bucket_name
        values["shared_folder"] = folder if folder.startswith("/") else ""
    prefix = f"{registry.rstrip('/')}/" if registry else ""
    values |= {stage: f"{prefix}pdk-lab-{stage[:-6]}:{__version__}" for stage in ("train_image", "deploy_image")}
    known = {each.name for each in fields(PipelineParams)}
    unknown = sorted((set(values) | set(overrides)) - known)
    if unknown:
        raise SpecError(f"'{unknown[0]}' is no parameter of a pipeline.", fix=f"Known are {', '.join(sorted(known))}.")
    return replace(PipelineParams(**values), **overrides)


def render(
    example: str = "dog-cat", variant: Variant = "cloud", params: PipelineParams | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The train and the deploy pipeline's spec.

    Args:
        example: Folder name under ``examples``.
        variant: ``cloud`` or ``onprem``.
        params: Parameters; the example's own when None.

    Raises:
        SpecError: The parameters do not fit together, or the specs contradict each other.
    """
    params = params or params_for(example=example, variant=variant)
    if variant not in FILES:
        raise SpecError(f"'{variant}' is no variant; known are {', '.join(FILES)}.")
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
        # The trial fetches the pictures itself; the worker needs their names only.
        empty_files=True,
    )
    deploy = _pipeline(
        params,
        variant,
        name=params.deploy_pipeline,
        description=f"Deploys each version of {params.model} as InferenceService {params.service}.",
        repo=params.train_pipeline,
        image=params.deploy_image,
        secrets=DEPLOY_SECRETS,
        command=["python", "deploy.py", *_deploy_flags(params, variant)],
        empty_files=False,
    )
    problems = check(train, deploy)
    if problems:
        raise SpecError("The pipelines contradict each other: " + "; ".join(problems))
    return train, deploy


def _train_flags(params: PipelineParams) -> list[str]:
    flags = {
        "--git-url": params.git_url,
        "--git-ref": params.git_ref,
        "--sub-dir": params.sub_dir,
        "--config": params.config,
        "--repo": params.data_repo,
        "--model": params.model,
        "--project": params.project,
        "--resource-pool": params.resource_pool,
    }
    words = [word for flag, value in flags.items() if value for word in (flag, value)]
    if params.incremental is not None:
        words.append("--incremental" if params.incremental else "--no-incremental")
    return [*words, *params.train_args]


def _deploy_flags(params: PipelineParams, variant: Variant) -> list[str]:
    account = params.service_account or (SERVICE_ACCOUNT if variant == "onprem" or params.endpoint else "")
    flags = {"--deployment-name": params.service}
    if variant == "cloud":
        flags |= {"--cloud-model-host": params.cloud_host, "--cloud-model-bucket": params.bucket}
        flags["--cloud-model-endpoint"] = params.endpoint
    flags |= {
        "--service-account-name": account,
        "--resource-requests": ",".join(f"{key}={value}" for key, value in params.resource_requests.items()),
        "--resource-limits": ",".join(f"{key}={value}" for key, value in params.resource_limits.items()),
    }
    return [*(word for flag, value in flags.items() if value for word in (flag, value)), *params.deploy_args]


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
) -> dict[str, Any]:
    pfs: dict[str, Any] = {
        "name": "data",
        "repo": repo,
        "project": params.project,
        "branch": params.branch,
        # One datum: a commit is trained or deployed as a whole.
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
            # exec: a cancelled job's signal reaches Python itself.
            "stdin": ["set -e", f"exec {shlex.join(command)}"],
            "image": image,
            "secrets": [{"name": params.secret, "env_var": variable, "key": key} for variable, key in secrets.items()],
        },
        "autoscaling": True,
        # A failed try would start a second experiment or deployment; the stages retry what can be retried.
        "datum_tries": 1,
    }
    if variant == "onprem":
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


def _flags_of(spec: Mapping[str, Any]) -> dict[str, str]:
    words = shlex.split(spec["transform"]["stdin"][-1])
    return {word: words[place + 1] for place, word in enumerate(words[:-1]) if word.startswith("--")}


def check(train: Mapping[str, Any], deploy: Mapping[str, Any]) -> list[str]:
    """Contradictions between the two specs; none for what :func:`render` gives.

    Specs that people edited are the usual case: a renamed repo here, a forgotten project there.
    """
    problems = []
    pipelines = [each["pipeline"] for each in (train, deploy)]
    projects = [(each.get("project") or {}).get("name", "") for each in pipelines]
    inputs = [each["input"]["pfs"] for each in (train, deploy)]
    if projects[0] != projects[1]:
        problems.append(f"the pipelines are in two projects: {projects[0]} and {projects[1]}")
    if inputs[1]["repo"] != pipelines[0]["name"]:
        problems.append(
            f"the deploy pipeline reads {inputs[1]['repo']}, the train pipeline writes {pipelines[0]['name']}"
        )
    if any(each.get("name") != "data" for each in inputs):
        problems.append("both stages read an input called 'data'")
    flags = _flags_of(train)
    for flag, expected in (("--repo", inputs[0]["repo"]), ("--project", projects[0])):
        if flags.get(flag) != expected:
            problems.append(f"{flag} is {flags.get(flag)}, the pipeline has {expected}")
    for flag in ("--git-url", "--sub-dir", "--config", "--model"):
        if not flags.get(flag):
            problems.append(f"the train stage lacks {flag}")
    if "--deployment-name" not in _flags_of(deploy):
        problems.append("the deploy stage lacks --deployment-name")
    for spec, needed in ((train, set(DET_SECRETS)), (deploy, set(DEPLOY_SECRETS))):
        given = {each.get("env_var") for each in spec["transform"].get("secrets", ())}
        if needed - given:
            problems.append(f"{spec['pipeline']['name']} lacks the secrets for {', '.join(sorted(needed - given))}")
    return problems


def camel_case(value: Any, key: str = "") -> Any:
    """A spec with camelCase keys, as Pachyderm's JSON schema names them; values stay."""
    if isinstance(value, Mapping):
        if key in FREE_KEYS:
            return dict(value)
        return {
            re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name): camel_case(each, name)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [camel_case(each) for each in value]
    return value


def text(spec: Mapping[str, Any]) -> str:
    """A spec as its file holds it."""
    return json.dumps(spec, indent=2) + "\n"


def write(example: str = "dog-cat", folder: Path | None = None) -> list[Path]:
    """Write the rendered specs of both variants beside the example's description.

    Args:
        example: Folder name under ``examples``.
        folder: Where to write; the example's own pipelines folder when None.
    """
    folder = folder or examples_folder() / example / "pipelines"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for variant in ("cloud", "onprem"):
        for name, spec in zip(FILES[variant], render(example, variant), strict=True):
            (folder / name).write_text(text(spec))
            written.append(folder / name)
    return written


if __name__ == "__main__":
    for path in write():
        print(path)
