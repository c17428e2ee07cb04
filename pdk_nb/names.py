"""What the lab calls its things on the cluster. Every object is found again by these names and by no local file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Names of one walkthrough; the defaults are the setup guide's.

    Attributes:
        project: Pachyderm project.
        data_repo: Repo that pictures are committed to.
        train_pipeline: Pipeline that trains; its output repo has the same name.
        deploy_pipeline: Pipeline that deploys.
        model: Model in Determined's registry, and in the prediction URL.
        service: InferenceService.
        workspace: Determined workspace.
        experiment_project: Determined project in that workspace.
    """

    project: str = "pdk-dogs-and-cats"
    data_repo: str = "dogs-and-cats-data"
    train_pipeline: str = "dogs-and-cats-model"
    deploy_pipeline: str = "dogs-and-cats-deploy"
    model: str = "dogs-and-cats"
    service: str = "dog-cat"
    workspace: str = "PDK Demos"
    experiment_project: str = "pdk-dogs-and-cats"
