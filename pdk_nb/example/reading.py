"""Reading an example's contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pdk_nb.example.checking import check
from pdk_shared.checkout import find_checkout
from pdk_shared.errors import SpecError

__all__ = ["CONTRACT", "DEFAULT", "DEFAULT_TASK", "Example", "Gate", "examples_folder", "find", "known"]

CONTRACT = "example.yaml"
#: The setup guide's example, which the lab uses when nobody names another.
DEFAULT = "dog-cat"
# Longest name of a participant, which is before the project's and the pipeline's.
PERSON = 16
# Characters of both in a pod's name, "<project>-<pipeline>-v<n>", which has at most 63.
POD_WORDS = 58
#: Its task, which pipelines have that name none.
DEFAULT_TASK = "image-classification"


@dataclass(frozen=True)
class Gate:
    """What a version needs to be deployed.

    Attributes:
        metric: A validation metric that the trial reports, on the hold-out.
        minimum: Its minimum, 0 to 1; 0 deploys every version.
    """

    metric: str
    minimum: float


@dataclass(frozen=True)
class Example:
    """One example.

    Attributes:
        name: Name of its folder.
        folder: Its folder.
        title: What it is about, for people.
        task: Its kind of data and answer; see ``pdk_nb.tasks``.
        panel: How a person asks the model: ``upload`` or ``form``.
        names: Names of its resources on the cluster, by kind, as in :class:`pdk_nb.names.Names`.
        short: A participant's Pachyderm project has this name, after the person's.
        data_folder: Folder of the sample data.
        source: File or folder that holds the arrivals.
        arrivals: Names of the arrivals, in the order in which they are committed.
        requests: Files with prediction requests, each named after the class of its answer.
        experiment: Folder of the code that trains.
        config: Experiment configuration in that folder.
        profiles: Profiles of the configuration.
        handler: TorchServe handler, from the example's folder; empty for the deploy image's own.
        gate: What a version needs to be deployed.
        cluster: Values of a cluster, for rendered specs.
        resources: Resources of the predictor: variant, then ``requests`` or ``limits``, then kind.
    """

    name: str
    folder: Path
    title: str
    task: str
    panel: str
    names: Mapping[str, str]
    short: str
    data_folder: Path
    source: Path
    arrivals: tuple[str, ...]
    requests: tuple[str, ...]
    experiment: Path
    config: str
    profiles: tuple[str, ...]
    handler: str
    gate: Gate
    cluster: Mapping[str, str]
    resources: Mapping[str, Mapping[str, Mapping[str, str]]]

    @property
    def pipelines(self) -> Path:
        """Folder of the rendered pipeline specs."""
        return self.folder / "pipelines"

    @property
    def sub_dir(self) -> str:
        """Folder of the code that trains, from the root of the repository."""
        return f"examples/{self.name}/{self.experiment.relative_to(self.folder).as_posix()}"


def examples_folder() -> Path:
    """The examples of the checkout that one stands in, or else of the one that the package comes from.

    Raises:
        UsageError: Neither is inside a checkout.
    """
    return find_checkout() / "examples"


def known(root: Path | None = None) -> list[str]:
    """Names of all examples.

    Args:
        root: Folder of the examples; the checkout's when None.
    """
    return sorted(path.parent.name for path in (root or examples_folder()).glob(f"*/{CONTRACT}"))


def find(name: str = "", root: Path | None = None) -> Example:
    """Read an example's contract.

    Args:
        name: Name of its folder; :data:`DEFAULT` when empty.
        root: Folder of the examples; the checkout's when None.

    Raises:
        SpecError: There is no such example, or its contract is wrong.
    """
    name = name or DEFAULT
    root = root or examples_folder()
    path = root / name / CONTRACT
    if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
        raise SpecError(f"There is no example '{name}'.", where=str(path), fix=f"Use one of: {', '.join(known(root))}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"The example's contract can't be read: {error.strerror}", where=str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"The example's contract isn't YAML: {error}", where=str(path)) from error
    check(content, str(path))
    example = _example(name, path.parent, content)
    _check_names(example)
    _check_files(example)
    return example


def _example(name: str, folder: Path, content: Mapping[str, Any]) -> Example:
    names = dict(content["names"])
    short = names.pop("short", name)
    data, experiment, gate = content["data"], content["experiment"], content["gate"]
    data_folder = (folder / data["folder"]).resolve()
    return Example(
        name=name,
        folder=folder,
        title=content["title"],
        task=content["task"],
        panel=content["panel"],
        names=names,
        short=short,
        data_folder=data_folder,
        source=data_folder / data["source"],
        arrivals=tuple(data["arrivals"]),
        requests=tuple(data["requests"]),
        experiment=folder / experiment["folder"],
        config=experiment["config"],
        profiles=tuple(experiment["profiles"]),
        handler=content.get("handler", ""),
        gate=Gate(gate["metric"], float(gate["minimum"])),
        cluster=dict(content["cluster"]),
        resources=content["resources"],
    )


def _check_names(example: Example) -> None:
    """Refuse names of which Pachyderm can't make names of pods."""
    for kind in ("train_pipeline", "deploy_pipeline"):
        pipeline = example.names[kind]
        if max(len(example.names["project"]), 2 * PERSON + 2 + len(example.short)) + len(pipeline) > POD_WORDS:
            raise SpecError(
                f"names.{kind} makes names of pods that are too long: {pipeline}.",
                where=str(example.folder / CONTRACT),
                fix=f"Together, names.short ('{example.short}') and the pipeline have at most "
                f"{POD_WORDS - 2 * PERSON - 2} characters: a participant's name of 16 characters is before each.",
            )


def _check_files(example: Example) -> None:
    """Refuse a contract that names code that isn't there."""
    config = example.experiment / example.config
    profiles = [example.experiment / "profiles" / f"{each}.yaml" for each in example.profiles]
    named = [("experiment.config", config), *(("experiment.profiles", each) for each in profiles)]
    if example.handler:
        named.append(("handler", example.folder / example.handler))
    for field, path in named:
        if not path.is_file():
            raise SpecError(
                f"{field} names a file that doesn't exist: {path.relative_to(example.folder)}.",
                where=str(example.folder / CONTRACT),
            )
