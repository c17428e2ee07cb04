"""Parameters of an example's specs: its description, the cluster's settings, and the pushed images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from pdk_nb import RELEASE
from pdk_nb import example as examples
from pdk_nb.arguments import check_limits, key_values
from pdk_nb.example import Example
from pdk_nb.settings import Settings
from pdk_shared.errors import SpecError, UsageError

Variant = Literal["cloud", "onprem"]
STAGES = ("train", "deploy")
# Written by `pdk-nb images push`: the images to use, by digest.
IMAGES_FILE = "images.json"


@dataclass(frozen=True)
class PipelineParams:
    """The parameters of a rendered pair of specs.

    Attributes:
        project: Pachyderm project.
        data_repo: Repo of the data.
        train_pipeline: Name of the train pipeline and of its output repo.
        deploy_pipeline: Name of the deploy pipeline.
        model: Registry model.
        service: InferenceService.
        train_image: Image of the train stage.
        deploy_image: Image of the deploy stage.
        git_url: Repository of the experiment's code.
        git_ref: Branch, tag or commit; the default branch when empty.
        sub_dir: Folder of the experiment in the code.
        config: Experiment configuration in that folder.
        task: Kind of data and of answers; see ``pdk_nb.tasks``.
        handler: TorchServe handler in the code; the deploy image's own when empty.
        branch: Branch of the repos.
        secret: Secret with the pipelines' credentials.
        cloud_host: ``gcp`` or ``aws``; only for the cloud variant.
        bucket: Model bucket.
        endpoint: URL of an S3 service other than Amazon's.
        resource_requests: Resource requests of the predictor.
        resource_limits: Resource limits of the predictor.
        gate_metric: Validation metric that the gate judges.
        gate_minimum: What a version needs of it on the hold-out to be deployed, 0 to 1; 0 deploys every version.
        shared_folder: On-prem: Determined's checkpoint folder on the nodes; no mount when empty.
        service_account: Service account of the predictor.
        resource_pool: Determined's pool for the experiments; the train stage chooses when empty.
        incremental: Whether training resumes from the last version; the stage's default when None.
        train_args: Additional flags of the train stage.
        deploy_args: Additional flags of the deploy stage.
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
    task: str = examples.DEFAULT_TASK
    handler: str = ""
    branch: str = "master"
    secret: str = "pipeline-secret"  # noqa: S105  a name, not a secret
    cloud_host: str = ""
    bucket: str = ""
    endpoint: str = ""
    resource_requests: Mapping[str, str] = field(default_factory=dict)
    resource_limits: Mapping[str, str] = field(default_factory=dict)
    gate_metric: str = "accuracy"
    gate_minimum: float = 0.0
    shared_folder: str = ""
    service_account: str = ""
    resource_pool: str = ""
    incremental: bool | None = None
    train_args: tuple[str, ...] = ()
    deploy_args: tuple[str, ...] = ()


def pipelines_folder(name: str = "") -> Path:
    """Folder of an example's rendered specs.

    Args:
        name: Folder name under ``examples``; the default example when empty.

    Raises:
        SpecError: There is no such example, or its contract is wrong.
    """
    return examples.find(name).pipelines


def _of_example(example: Example) -> dict[str, Any]:
    """What the contract alone says of the parameters."""
    own = {kind: example.names[kind] for kind in ("project", "data_repo", "train_pipeline", "deploy_pipeline")}
    own |= {kind: example.names[kind] for kind in ("model", "service")}
    cluster = {key: value for key, value in example.cluster.items() if key != "registry"}
    handler = f"examples/{example.name}/{example.handler}" if example.handler else ""
    code = {"sub_dir": example.sub_dir, "config": example.config, "task": example.task, "handler": handler}
    return {**own, **cluster, **code, "gate_metric": example.gate.metric, "gate_minimum": example.gate.minimum}


def _pushed_images(example: str) -> dict[str, str]:
    """The images that were pushed, by stage; empty before the first push. An example without its own uses the lab's."""
    own = pipelines_folder(example) / IMAGES_FILE
    path = own if own.is_file() else pipelines_folder() / IMAGES_FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {stage: str(content[stage]["image"]) for stage in STAGES if stage in content}
    except (ValueError, KeyError, TypeError) as error:
        raise SpecError(
            f"Can't read the list of pushed images: {error}",
            where=str(path),
            fix="pdk-nb images push  writes it again; without the file, the specs name tags instead of digests.",
        ) from error


def _images(example: str, registry: str, *, anywhere: bool) -> dict[str, str]:
    """Image by parameter: the pushed one, if it's in this registry, or else the one tagged with the lab's release.

    Args:
        example: Folder name under ``examples``.
        registry: Registry with its folder; may be empty.
        anywhere: Use a pushed image from any registry, because none is configured.
    """
    prefix = f"{registry.rstrip('/')}/" if registry else ""
    images = {f"{stage}_image": f"{prefix}pdk-lab-{stage}:{RELEASE}" for stage in STAGES}
    for stage, image in _pushed_images(example).items():
        if anywhere or image.startswith(prefix):
            images[f"{stage}_image"] = image
    return images


def variant_for(settings: Settings) -> Variant:
    """``cloud`` when the cluster has a bucket for models, else ``onprem``."""
    return "cloud" if settings.kserve_model_bucket_name else "onprem"


def params_for(
    settings: Settings | None = None, example: str = "", variant: Variant | None = None, **overrides: Any
) -> PipelineParams:
    """Parameters of an example: its own, then the cluster's, then the caller's.

    Args:
        settings: The cluster's settings; without them, the example's placeholders stay.
        example: Folder name under ``examples``; the default example when empty.
        variant: For the predictor's resources; follows from the settings when None.
        overrides: Fields of :class:`PipelineParams`.

    Raises:
        SpecError: The example or field doesn't exist, or the predictor requests more than its limit.
    """
    contract = examples.find(example)
    values = _of_example(contract)
    resources, registry = contract.resources, contract.cluster.get("registry", "")
    variant = variant or (variant_for(settings) if settings else "cloud")
    for kind in ("requests", "limits"):
        values[f"resource_{kind}"] = dict(resources.get(variant, {}).get(kind, {}))
    if settings is not None:
        registry = settings.registry_uri or registry
        values["git_url"] = settings.git_url or values["git_url"]
        # If a cluster names a repository but no ref, it means the repository's default branch.
        values["git_ref"] = settings.git_ref or ("" if settings.git_url else values["git_ref"])
        values["bucket"] = settings.kserve_model_bucket_name
        values["cloud_host"] = settings.models_host
        values["endpoint"] = settings.minio_url
        values["resource_pool"] = settings.resource_pool
        for kind, text in (("requests", settings.predictor_requests), ("limits", settings.predictor_limits)):
            # By key: where the lab names no limit, the limit of KServe's runtime holds (1 CPU, 2 GiB).
            values[f"resource_{kind}"] |= key_values(text, f"predictor_{kind}")
        values["secret"] = settings.mldm_pipeline_secret
        # A path-valued bucket is Determined's folder on the nodes.
        folder = settings.mlde_bucket_name
        values["shared_folder"] = folder if folder.startswith("/") else ""
    values |= _images(contract.name, registry, anywhere=settings is None or not settings.registry_uri)
    known = {each.name for each in fields(PipelineParams)}
    unknown = sorted((set(values) | set(overrides)) - known)
    if unknown:
        raise SpecError(
            f"'{unknown[0]}' isn't a parameter of a pipeline.", fix=f"Use one of: {', '.join(sorted(known))}."
        )
    params = replace(PipelineParams(**values), **overrides)
    try:
        check_limits(params.resource_requests, params.resource_limits)
    except UsageError as error:
        raise SpecError(error.what, where="predictor_requests, predictor_limits", fix=error.fix) from error
    return params
