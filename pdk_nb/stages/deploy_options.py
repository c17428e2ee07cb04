"""The deploy stage's command line: the flags of the PDK examples and the lab's own, checked before any slow work."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pdk_nb.arguments import check_limits, key_values
from pdk_nb.packaging import torchserve_config
from pdk_nb.platforms.serving.spec import check_service_name
from pdk_nb.stages import gate
from pdk_shared.checkout import shipped
from pdk_shared.errors import UsageError

__all__ = ["DeployOptions", "parse_arguments"]

HANDLER = "dog_cat_handler.py"
DEFAULT_WAIT_TIMEOUT_S = 600.0
RESOURCES = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True)
class DeployOptions:
    """The stage's command line, checked.

    Attributes:
        deployment_name: Name of the InferenceService.
        gate: Validation metric, and what a version needs of it on the hold-out, 0 to 1; 0 deploys every version.
        wait: Whether to wait until the service is READY.
        wait_timeout: Seconds to wait.
        cloud_model_host: ``gcp`` or ``aws``; None for the job's own output.
        cloud_model_bucket: Bucket of models.
        cloud_model_endpoint: URL of another S3 than Amazon's.
        google_application_credentials: Key file of a Google service account.
        service_account_name: Service account of the predictor.
        k8s_config_file: A kubeconfig; the pod's own account when empty.
        tolerations: Kubernetes tolerations of the predictor.
        resource_requests: Resource requests of the predictor, e.g. ``{"cpu": "2"}``.
        resource_limits: Resource limits of the predictor.
        max_request_size: Largest prediction request in bytes.
        protocol: ``v1`` or ``v2``.
        handler: TorchServe handler file.
        own_handler: Whether the command line names it; a checkpoint's own handler comes before the image's.
    """

    deployment_name: str
    gate: tuple[str, float]
    wait: bool
    wait_timeout: float
    cloud_model_host: str | None
    cloud_model_bucket: str
    cloud_model_endpoint: str
    google_application_credentials: str
    service_account_name: str
    k8s_config_file: str
    tolerations: tuple[dict[str, str], ...]
    resource_requests: dict[str, str]
    resource_limits: dict[str, str]
    max_request_size: int
    protocol: str
    handler: Path
    own_handler: bool


def build_parser() -> argparse.ArgumentParser:
    """The stage's flags: those of the PDK examples, and a few more."""
    parser = argparse.ArgumentParser(prog="deploy.py", description="Deploy a registered model version to KServe.")
    add = parser.add_argument
    add("--deployment-name", required=True, help="name of the InferenceService")
    add(
        "--min-accuracy",
        type=float,
        default=0.0,
        help="accuracy on the hold-out that a version needs to be deployed, 0 to 1 (default: 0)",
    )
    add("--gate", default="", metavar="METRIC=MINIMUM", help="the same for another validation metric, e.g. auc=0.8")
    add(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="wait until the service is READY; not possible without a cloud model host (default: --wait)",
    )
    add("--wait-timeout", type=float, default=DEFAULT_WAIT_TIMEOUT_S, help="seconds to wait (default: %(default).0f)")
    add(
        "--cloud-model-host",
        choices=("gcp", "aws"),
        help="kind of the model bucket (default: none; models stay in the job's output)",
    )
    add("--cloud-model-bucket", default="", help="bucket for models")
    add("--cloud-model-endpoint", default="", help="URL of an S3 service other than Amazon's, e.g. MinIO")
    add("--google-application-credentials", default="", help="key file of a Google service account")
    add("--service-account-name", default="", help="service account of the predictor")
    add("--k8s-config-file", default="", help="kubeconfig (default: the pod's service account)")
    add("--tolerations", default="", help="csv of key=value: NoSchedule taints that the predictor tolerates")
    add("--resource-requests", default="", help="csv, e.g. cpu=2,memory=8Gi")
    add("--resource-limits", default="", help="csv, e.g. cpu=10,memory=8Gi")
    add(
        "--max-request-size",
        type=int,
        default=torchserve_config.DEFAULT_MAX_BYTES,
        help="largest prediction request in bytes (default: %(default)s)",
    )
    add("--protocol", choices=("v1", "v2"), default="v1", help="prediction protocol (default: v1)")
    add(
        "--handler", default="", help=f"TorchServe handler file (default: the one in the checkpoint, or else {HANDLER})"
    )
    return parser


def parse_arguments(argv: Sequence[str] | None = None) -> DeployOptions:
    """Read and check the command line, before any slow work.

    Raises:
        UsageError: The arguments do not fit together.
    """
    given = build_parser().parse_args(argv)
    check_service_name(given.deployment_name)
    if given.cloud_model_host and not given.cloud_model_bucket:
        raise UsageError(
            f"--cloud-model-host {given.cloud_model_host} needs a bucket.",
            fix="--cloud-model-bucket <kserve_model_bucket_name of pdk-config>",
        )
    if given.cloud_model_bucket and not given.cloud_model_host:
        raise UsageError("--cloud-model-bucket needs --cloud-model-host gcp or aws.")
    credentials = given.google_application_credentials
    if credentials and not Path(credentials).is_file():
        raise UsageError("The Google key file doesn't exist.", where=credentials)
    if given.wait_timeout <= 0:
        raise UsageError("--wait-timeout must be more than 0 seconds.")
    if not 1 <= given.max_request_size <= torchserve_config.LARGEST_MAX_BYTES:
        raise UsageError(f"--max-request-size {given.max_request_size} is out of range.")
    resources = {}
    for flag in ("--resource-requests", "--resource-limits"):
        resources[flag] = key_values(getattr(given, flag[2:].replace("-", "_")), flag)
        unknown = [key for key in resources[flag] if key not in RESOURCES and "/" not in key]
        if unknown:
            known = f"{', '.join(RESOURCES)} or vendor/name"
            raise UsageError(f"'{unknown[0]}' isn't a resource.", where=flag, fix=f"Use {known}.")
    check_limits(resources["--resource-requests"], resources["--resource-limits"])
    tolerated = key_values(given.tolerations, "--tolerations")
    return DeployOptions(
        deployment_name=given.deployment_name,
        gate=_gate(given.gate, given.min_accuracy),
        wait=given.wait,
        wait_timeout=given.wait_timeout,
        cloud_model_host=given.cloud_model_host,
        cloud_model_bucket=given.cloud_model_bucket,
        cloud_model_endpoint=given.cloud_model_endpoint,
        google_application_credentials=credentials,
        service_account_name=given.service_account_name,
        k8s_config_file=given.k8s_config_file,
        tolerations=tuple(
            {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
            for key, value in tolerated.items()
        ),
        resource_requests=resources["--resource-requests"],
        resource_limits=resources["--resource-limits"],
        max_request_size=given.max_request_size,
        protocol=given.protocol,
        handler=find_handler(given.handler),
        own_handler=bool(given.handler),
    )


def _gate(text: str, accuracy: float) -> tuple[str, float]:
    """The gate of ``--gate``, or else of ``--min-accuracy``.

    Raises:
        UsageError: Both are given, or the minimum isn't between 0 and 1.
    """
    if text and accuracy:
        raise UsageError("--gate and --min-accuracy are both given.", fix="Give one of them.")
    flag = f"--gate {text}" if text else f"--min-accuracy {accuracy}"
    metric, separator, value = text.partition("=")
    try:
        minimum = float(value) if text else accuracy
    except ValueError:
        minimum = -1.0
    if text and not (metric and separator):
        raise UsageError(f"{flag} isn't METRIC=MINIMUM.", fix="For example: --gate accuracy=0.8")
    if not 0 <= minimum <= 1:
        raise UsageError(f"{flag} isn't between 0 and 1.")
    return metric or gate.ACCURACY, minimum


def find_handler(named: str = "") -> Path:
    """The handler file: the given one, the image's, or the one of the lab's files that belong to this code.

    Raises:
        UsageError: There is none.
    """
    own = shipped() / "examples" / "dog-cat" / "handler"
    candidates = [Path(named)] if named else [Path.cwd() / "handler" / HANDLER, own / HANDLER]
    for path in candidates:
        if path.is_file():
            return path.resolve()
    raise UsageError(
        "The TorchServe handler is missing.",
        where=", ".join(str(path) for path in candidates),
        fix="--handler <file>",
    )
