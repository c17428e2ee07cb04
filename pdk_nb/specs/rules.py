"""Rules for a pair of specs, regardless of who wrote them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

DET_SECRETS = {"DET_MASTER": "det_master", "DET_USER": "det_user", "DET_PASSWORD": "det_password"}
TRAIN_SECRETS = {
    **DET_SECRETS,
    "PAC_TOKEN": "pac_token",
    "PACHD_LB_SERVICE_HOST": "pachd_lb_service_host",
    "PACHD_LB_SERVICE_PORT": "pachd_lb_service_port",
}
DEPLOY_SECRETS = {**DET_SECRETS, "KSERVE_NAMESPACE": "kserve_namespace"}
# A MinIO bucket requires keys; in the clouds, the worker's service account has access.
BUCKET_SECRETS = {"AWS_ACCESS_KEY_ID": "minio_access_key", "AWS_SECRET_ACCESS_KEY": "minio_secret_key"}


def _flags_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """The stage's flags, from ``cmd`` or a shell command."""
    transform = spec["transform"]
    lines = (shlex.split(line) for line in transform.get("stdin", ()))
    arguments = [*transform.get("cmd", ()), *(word for line in lines for word in line)]
    return {word: arguments[place + 1] for place, word in enumerate(arguments[:-1]) if word.startswith("--")}


def _problems_of_one(spec: Mapping[str, Any], needed: Mapping[str, str]) -> list[str]:
    name = spec["pipeline"]["name"]
    problems = []
    given = {each.get("env_var") for each in spec["transform"].get("secrets", ())}
    if set(needed) - given:
        problems.append(f"{name} lacks the secrets for {', '.join(sorted(set(needed) - given))}")
    if spec.get("datum_tries", spec.get("datumTries")) != 1:
        problems.append(f"{name} retries after a failure (datum_tries), and each try starts its work again")
    patch = spec.get("pod_patch", spec.get("podPatch"))
    if patch:
        try:
            operations = json.loads(patch)
            if not all(each["op"] and each["path"].startswith("/") for each in operations):
                raise ValueError("not a list of operations with op and path")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problems.append(f"{name} has a pod_patch that isn't a JSON patch (RFC 6902): {error}")
    return problems


def check(train: Mapping[str, Any], deploy: Mapping[str, Any]) -> list[str]:
    """Contradictions between the two specs; none for the result of :func:`render`.

    People edit specs by hand: they rename a repo in one spec and forget the project in the other.
    """
    problems = []
    pipelines = [each["pipeline"] for each in (train, deploy)]
    projects = [(each.get("project") or {}).get("name", "") for each in pipelines]
    inputs = [each["input"]["pfs"] for each in (train, deploy)]
    if projects[0] != projects[1]:
        problems.append(f"the pipelines are in different projects: {projects[0]} and {projects[1]}")
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
    deploy_flags = _flags_of(deploy)
    if "--deployment-name" not in deploy_flags:
        problems.append("the deploy stage lacks --deployment-name")
    if ("--cloud-model-host" in deploy_flags) != ("--cloud-model-bucket" in deploy_flags):
        problems.append("--cloud-model-host and --cloud-model-bucket go together")
    return [*problems, *_problems_of_one(train, DET_SECRETS), *_problems_of_one(deploy, DEPLOY_SECRETS)]
