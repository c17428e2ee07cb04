"""What Pachyderm's jobs print."""

from __future__ import annotations

import python_pachyderm

from pdk_nb.platforms.mldm._errors import api_errors
from pdk_shared.errors import PdkError


def log_lines(client: python_pachyderm.Client, project: str, pipeline: str, id: str) -> list[str]:
    """What a job's own code has printed, oldest first.

    Raises:
        PdkError: The log cannot be read.
    """
    with api_errors(f"{project}/{pipeline}@{id}", "The log cannot be read", PdkError):
        messages = list(client.get_job_logs(pipeline, id, project_name=project))
    return [message.message.rstrip("\n") for message in messages if message.user]
