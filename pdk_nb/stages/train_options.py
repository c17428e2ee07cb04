"""The train stage's command line: the flags of the PDK examples and the lab's own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from pdk_nb.example import DEFAULT_TASK

__all__ = ["TrainOptions", "parse_arguments"]


@dataclass(frozen=True)
class TrainOptions:
    """The stage's command line.

    Attributes:
        git_url: Repository with the experiment.
        git_ref: Branch, tag or commit; the default branch when empty.
        sub_dir: Folder of the experiment in the repository.
        config: Experiment configuration, a file in that folder.
        repo: Pachyderm repo with the data.
        project: Pachyderm project; the pipeline's when empty.
        model: Model in Determined's registry.
        incremental: Whether to resume from the last version.
        classes: Class names, separated by commas; the configuration's when empty.
        task: Kind of data and of answers; see ``pdk_nb.tasks``.
        handler: TorchServe handler in the repository, which travels with the checkpoint; empty for the deploy image's.
        profile: Profile to lay over the configuration; ``auto`` follows the resource pool.
        resource_pool: Determined's resource pool; one with GPUs, if any, when empty.
        workspace: Determined workspace; the configuration's when empty.
        experiment_project: Determined project; the configuration's when empty.
        input_name: Name of the pipeline's input.
        timeout: Minutes after which the stage gives up; 0 for never.
    """

    git_url: str
    git_ref: str
    sub_dir: str
    config: str
    repo: str
    project: str
    model: str
    incremental: bool
    classes: str
    task: str
    handler: str
    profile: str
    resource_pool: str
    workspace: str
    experiment_project: str
    input_name: str
    timeout: float

    @property
    def config_path(self) -> str:
        """The configuration's path in the repository, for messages."""
        return f"{self.sub_dir.strip('/')}/{self.config}".lstrip("/")


def build_parser() -> argparse.ArgumentParser:
    """The stage's command line: the PDK examples' flags, and the lab's own."""
    flags = argparse.ArgumentParser(
        prog="train.py",
        description="Train on the commit of this pipeline's job in Determined, and register the best checkpoint.",
    )
    flags.add_argument("--git-url", required=True, help="repository with the experiment: https://, file:// or a path")
    flags.add_argument("--git-ref", default="", help="branch, tag or commit (default: the default branch)")
    flags.add_argument("--sub-dir", default="", help="folder of the experiment in the repository")
    flags.add_argument("--config", required=True, help="experiment configuration, a file in that folder")
    flags.add_argument("--repo", required=True, help="Pachyderm repo with the data")
    flags.add_argument("--project", default="", help="Pachyderm project (default: the pipeline's)")
    flags.add_argument("--model", required=True, help="model in Determined's registry; created if absent")
    flags.add_argument(
        "--incremental",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="resume from the last version with the new data, or train from scratch (default: %(default)s)",
    )
    flags.add_argument(
        "--classes",
        default="",
        help="class names, separated by commas, in the order of the model's outputs (default: the configuration's)",
    )
    flags.add_argument("--task", default=DEFAULT_TASK, help="kind of data and of answers (default: %(default)s)")
    flags.add_argument(
        "--handler", default="", help="TorchServe handler, a file in the repository (default: the deploy image's own)"
    )
    flags.add_argument("--profile", default="auto", help="profiles/<name>.yaml to use; auto follows the resource pool")
    flags.add_argument(
        "--resource-pool", default="", help="Determined's resource pool (default: one with GPUs, if any)"
    )
    flags.add_argument("--workspace", default="", help="Determined workspace (default: the configuration's)")
    flags.add_argument("--experiment-project", default="", help="Determined project (default: the configuration's)")
    flags.add_argument("--input-name", default="data", help="name of the pipeline's input (default: %(default)s)")
    flags.add_argument("--timeout", type=float, default=0.0, help="give up after this many minutes (default: never)")
    return flags


def parse_arguments(argv: Sequence[str] | None = None) -> TrainOptions:
    """Read the command line."""
    return TrainOptions(**vars(build_parser().parse_args(argv)))
