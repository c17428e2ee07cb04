"""Names of the lab's resources on the cluster. The lab finds every resource by its name, not by a local file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pdk_nb import example as examples
from pdk_shared.errors import UsageError

PARTICIPANT_VARIABLE = "PDK_PARTICIPANT"
EXAMPLE_VARIABLE = "PDK_EXAMPLE"
# In the output commit of each stage: its log, for clusters whose workers are gone when somebody asks.
STAGE_LOG = "stage.log"
# Lowercase DNS label that starts with a letter: the strictest of the platforms' rules (InferenceService, KServe).
PARTICIPANT = re.compile(r"[a-z](-?[a-z0-9])*")
# Pachyderm's pods are named "<project>-<pipeline>-v<n>", with at most 63 characters
# (validation of CreatePipeline in src/server/pps/server); the prefix is in both names.
MAX_PARTICIPANT = 16
# As in the default example's contract.
SHORT = "pdk"


@dataclass(frozen=True)
class Names:
    """Names of one walkthrough; the defaults are the setup guide's, and those of the default example.

    Attributes:
        project: Pachyderm project.
        data_repo: Repo that data is committed to.
        train_pipeline: Pipeline that trains; its output repo has the same name.
        deploy_pipeline: Pipeline that deploys.
        model: Model in Determined's registry, and in the prediction URL.
        service: InferenceService.
        workspace: Determined workspace.
        experiment_project: Determined project in that workspace.
        search_repo: Repo of the versions that a search found (notebook 07).
        search_pipeline: Pipeline that deploys them to a second service; also a label of the search experiments.
        batch_repo: Repo of the data to ask the model about (notebook 08).
        batch_pipeline: Pipeline that asks.
        participant: The participant; empty for the example's own names.
        example: The example; its folder name under ``examples``.
    """

    project: str = "pdk-dogs-and-cats"
    data_repo: str = "dogs-and-cats-data"
    train_pipeline: str = "dogs-and-cats-model"
    deploy_pipeline: str = "dogs-and-cats-deploy"
    model: str = "dogs-and-cats"
    service: str = "dog-cat"
    workspace: str = "PDK Demos"
    experiment_project: str = "pdk-dogs-and-cats"
    search_repo: str = "dogs-and-cats-found"
    search_pipeline: str = "dogs-and-cats-search"
    batch_repo: str = "dogs-and-cats-inbox"
    batch_pipeline: str = "dogs-and-cats-batch"
    participant: str = ""
    example: str = examples.DEFAULT

    @classmethod
    def of_example(cls, example: str) -> Names:
        """The names that an example's contract gives, and those that follow from them.

        Args:
            example: Folder name under ``examples``.

        Raises:
            SpecError: There is no such example, or its contract is wrong.
        """
        given = examples.find(example).names
        model = given["model"]
        return cls(
            **given,
            search_repo=f"{model}-found",
            search_pipeline=f"{model}-search",
            batch_repo=f"{model}-inbox",
            batch_pipeline=f"{model}-batch",
            example=example,
        )

    @classmethod
    def for_participant(cls, participant: str = "", example: str = "") -> Names:
        """Names for a participant; every name begins with the participant's.

        Args:
            participant: A short name, e.g. ``ada``; the example's own names when empty.
            example: Folder name under ``examples``; the default example when empty.

        Raises:
            UsageError: The platforms would refuse names with this prefix.
            SpecError: There is no such example, or its contract is wrong.
        """
        # The default example's names are known without its files: images and installed packages have no checkout.
        base = cls() if example in ("", examples.DEFAULT) else cls.of_example(example)
        if not participant:
            return base
        if not PARTICIPANT.fullmatch(participant) or len(participant) > MAX_PARTICIPANT:
            raise UsageError(
                f"'{participant}' isn't a valid name for a participant.",
                where=f"--participant, {PARTICIPANT_VARIABLE}",
                fix=f"Use up to {MAX_PARTICIPANT} lowercase letters, digits, and single '-', starting with "
                "a letter: ada, team-7.",
            )
        return cls(
            # Shorter than the example's: pod names contain the project and the pipeline.
            project=f"{participant}-{SHORT if base.example == examples.DEFAULT else examples.find(example).short}",
            data_repo=f"{participant}-{base.data_repo}",
            train_pipeline=f"{participant}-{base.train_pipeline}",
            deploy_pipeline=f"{participant}-{base.deploy_pipeline}",
            model=f"{participant}-{base.model}",
            service=f"{participant}-{base.service}",
            workspace=f"{participant} {base.workspace}",
            experiment_project=f"{participant}-{base.experiment_project}",
            search_repo=f"{participant}-{base.search_repo}",
            search_pipeline=f"{participant}-{base.search_pipeline}",
            batch_repo=f"{participant}-{base.batch_repo}",
            batch_pipeline=f"{participant}-{base.batch_pipeline}",
            participant=participant,
            example=base.example,
        )

    @classmethod
    def chosen(cls, participant: str = "", example: str = "") -> Names:
        """Names for the given participant and example, or those in ``PDK_PARTICIPANT`` and ``PDK_EXAMPLE``.

        Args:
            participant: The participant.
            example: Folder name under ``examples``.

        Raises:
            UsageError: The participant's name is invalid.
            SpecError: There is no such example, or its contract is wrong.
        """
        person = participant or os.environ.get(PARTICIPANT_VARIABLE, "").strip()
        return cls.for_participant(person, example or os.environ.get(EXAMPLE_VARIABLE, "").strip())


def participant_of(kind: str, name: str, example: str = "") -> str:
    """The participant that a name belongs to.

    Args:
        kind: Attribute of :class:`Names`, e.g. ``project``.
        name: Name of a resource of that kind.
        example: The example; the default example when empty.

    Returns:
        The participant; empty when the name doesn't come from :meth:`Names.for_participant`.
    """
    tail = str(getattr(Names.for_participant("x", example), kind)).removeprefix("x")
    participant = name.removesuffix(tail) if name.endswith(tail) else ""
    return participant if PARTICIPANT.fullmatch(participant) and len(participant) <= MAX_PARTICIPANT else ""
