"""Names of the lab's resources on the cluster. The lab finds every resource by its name, not by a local file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pdk_shared.errors import UsageError

PARTICIPANT_VARIABLE = "PDK_PARTICIPANT"
# In the output commit of each stage: its log, for clusters whose workers are gone when somebody asks.
STAGE_LOG = "stage.log"
# Lowercase DNS label that starts with a letter: the strictest of the platforms' rules (InferenceService, KServe).
PARTICIPANT = re.compile(r"[a-z](-?[a-z0-9])*")
# Pachyderm's pods are named "<project>-<pipeline>-v<n>", with at most 63 characters
# (validation of CreatePipeline in src/server/pps/server); the prefix is in both names.
MAX_PARTICIPANT = 16


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
        search_repo: Repo of the versions that a search found (notebook 07).
        search_pipeline: Pipeline that deploys them to a second service; also a label of the search experiments.
        batch_repo: Repo of the pictures to classify (notebook 08).
        batch_pipeline: Pipeline that classifies them.
        participant: The participant; empty for the setup guide's names.
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

    @classmethod
    def for_participant(cls, participant: str = "") -> Names:
        """Names for a participant; every name begins with the participant's.

        Args:
            participant: A short name, e.g. ``ada``; the setup guide's names when empty.

        Raises:
            UsageError: The platforms would refuse names with this prefix.
        """
        if not participant:
            return cls()
        if not PARTICIPANT.fullmatch(participant) or len(participant) > MAX_PARTICIPANT:
            raise UsageError(
                f"'{participant}' isn't a valid name for a participant.",
                where=f"--participant, {PARTICIPANT_VARIABLE}",
                fix=f"Use up to {MAX_PARTICIPANT} lowercase letters, digits, and single '-', starting with "
                "a letter: ada, team-7.",
            )
        base = cls()
        return cls(
            # Shorter than the guide's: pod names contain the project and the pipeline.
            project=f"{participant}-pdk",
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
        )

    @classmethod
    def chosen(cls, participant: str = "") -> Names:
        """Names for the given participant, or the one in ``PDK_PARTICIPANT``, or else the guide's names.

        Raises:
            UsageError: The name is invalid.
        """
        return cls.for_participant(participant or os.environ.get(PARTICIPANT_VARIABLE, "").strip())


def participant_of(kind: str, name: str) -> str:
    """The participant that a name belongs to.

    Args:
        kind: Attribute of :class:`Names`, e.g. ``project``.
        name: Name of a resource of that kind.

    Returns:
        The participant; empty when the name doesn't come from :meth:`Names.for_participant`.
    """
    tail = str(getattr(Names.for_participant("x"), kind)).removeprefix("x")
    participant = name.removesuffix(tail) if name.endswith(tail) else ""
    return participant if PARTICIPANT.fullmatch(participant) and len(participant) <= MAX_PARTICIPANT else ""
