"""What a task tells the stages of the pipelines: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pdk_shared.errors import DeploymentError

__all__ = ["COMMON_MODULES", "StageTask"]

# What every trial needs of this package; a task adds its own.
COMMON_MODULES = (
    "pdk_nb/__init__.py",
    "pdk_nb/trial_data.py",
    "pdk_nb/trial_log.py",
    "pdk_shared/__init__.py",
    "pdk_shared/errors.py",
    "pdk_shared/prediction_requests.py",
)


class StageTask(ABC):
    """A kind of data and of answers, as the train and deploy stages see it.

    Attributes:
        name: The task's name in an example's contract.
        modules: Modules that travel with every experiment, as paths: trials need no installed ``pdk_nb``.
        shared_modules: Modules that every archive gets, each with its purpose: the handler prepares data with the code
            that training prepared it with.
        roles: Purpose of other files of an archive, by name.
    """

    name: ClassVar[str]
    modules: ClassVar[tuple[str, ...]]
    shared_modules: ClassVar[Mapping[str, str]]
    roles: ClassVar[Mapping[str, str]]

    @abstractmethod
    def check_commit(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Refuse a commit before an experiment starts, by what the worker sees of it: the files' names.

        Args:
            folder: The pipeline's input; its files are empty.
            config: The experiment's configuration.

        Raises:
            DataError: Training can't use the commit.
        """

    @abstractmethod
    def architecture(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What decides whether another network can take over a checkpoint's weights.

        Args:
            config: An experiment's configuration; each hyperparameter is a plain value.
        """

    def facts(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What the registry and the deploy stage keep of a configuration, beside the classes.

        Args:
            config: The experiment's configuration.
        """
        return {}

    @abstractmethod
    def input_shape(self, facts: Mapping[str, Any], hyperparameters: Mapping[str, Any]) -> tuple[int, ...]:
        """Shape of one input of the network, without the batch.

        Args:
            facts: What the train stage kept, as in ``model-info.yaml``; values may be missing.
            hyperparameters: The checkpoint's hyperparameters.

        Raises:
            DeploymentError: Nothing says it.
        """

    @abstractmethod
    def handler_facts(self, facts: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
        """What the handler reads from the archive about its input, beside the classes.

        Args:
            facts: What the train stage kept.
            shape: Shape of one input.
        """

    def unknown_input(self, what: str, fix: str) -> DeploymentError:
        """The error for a model whose input can't be told."""
        return DeploymentError(f"{what} is unknown.", where="model-info.yaml", fix=fix)

    def default_classes(self) -> Sequence[str]:
        """Class names of a model whose description names none."""
        return ()
