"""The pipelines of the elective notebooks: one tries a version in a second service, one asks the
service about each file of a batch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pdk_nb.names import Names
from pdk_nb.platforms.serving.predictions import Endpoint
from pdk_nb.settings import Settings
from pdk_nb.specs.parameters import params_for
from pdk_nb.specs.template import DEPLOY_REQUESTS, SIDECAR_REQUESTS, render_for

__all__ = ["BATCH_GLOB", "batch_spec", "candidate_spec"]

# A folder for each batch, and in it a datum of each file.
BATCH_GLOB = "/*/*"
# The second try helps when the service was busy; a broken file stays broken.
BATCH_TRIES = 2


def candidate_spec(settings: Settings, names: Names, service: str) -> dict[str, Any]:
    """A copy of the deploy pipeline for another input repo, another service, and without a gate.

    Args:
        settings: The cluster's settings.
        names: Names of the pipelines.
        service: The InferenceService that it creates or updates.

    Raises:
        SpecError: The parameters don't fit together.
    """
    own = replace(names, train_pipeline=names.search_repo, deploy_pipeline=names.search_pipeline, service=service)
    _, spec = render_for(settings, own, gate_minimum=0.0)
    return {**spec, "description": f"Deploys versions of {names.model} that a search found as {service}."}


def batch_spec(settings: Settings, names: Names, targets: Sequence[Endpoint], workers: int) -> dict[str, Any]:
    """A pipeline that asks the service about each file of a repo, several at the same time.

    Args:
        settings: The cluster's settings.
        names: Names of the pipelines.
        targets: Where the model answers; workers try them in this order.
        workers: How many workers share the datums.
    """
    first = targets[0]
    command = ["python", "classify.py", "--model", first.model, "--protocol", first.protocol]
    for target in targets:
        command += ["--target", f"{target.address},{target.host}"]
    return {
        "pipeline": {"name": names.batch_pipeline, "project": {"name": names.project}},
        "description": f"Asks the InferenceService {first.service} about each picture of {names.batch_repo}.",
        "input": {
            "pfs": {
                "name": "data",
                "repo": names.batch_repo,
                "project": names.project,
                "branch": "master",
                "glob": BATCH_GLOB,
            }
        },
        "transform": {
            "image": params_for(settings, names.example, project=names.project).deploy_image,
            "cmd": ["/bin/sh"],
            # exec: the signal of a canceled job reaches Python itself.
            "stdin": [f"exec {shlex.join(command)}"],
            "err_cmd": ["/bin/sh"],
            "err_stdin": ["exec python classify.py --set-aside"],
        },
        "parallelism_spec": {"constant": workers},
        "datum_tries": BATCH_TRIES,
        "resource_requests": dict(DEPLOY_REQUESTS),
        "sidecar_resource_requests": dict(SIDECAR_REQUESTS),
        "autoscaling": True,
    }
