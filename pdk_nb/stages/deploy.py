"""The deploy stage: a registered model version becomes a running InferenceService.

What the deploy pipeline's job runs. It reads ``model-info.yaml`` of the train pipeline's commit, brings the checkpoint
from Determined's registry, saves it as TorchScript, packs the archive, stores it under its own version, and creates or
updates the service. Without a cloud model host the files go to the job's own output commit, which KServe reads through
Pachyderm's S3 gateway once the job has ended; that is why the job does not wait for the service then.

Imports of torch and the platforms' clients are late and partly in the background: most of this stage's time is theirs.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb.packaging import archive, torchserve_config
from pdk_nb.platforms import storage
from pdk_nb.platforms.serving.spec import Deployment
from pdk_nb.stages import pfs_root
from pdk_nb.stages.deploy_options import Options, parse_arguments
from pdk_nb.stages.model_info import FILE_NAME, ModelInfo
from pdk_shared.errors import DeploymentError, PdkError, SettingsError

if TYPE_CHECKING:
    from pdk_nb.platforms.storage import ModelStore

__all__ = ["main", "run"]

PREPROCESS = "preprocess.py"


class Log:
    """Progress lines with the seconds since the start."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[deploy {time.monotonic() - self.started:6.1f} s] {text}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; the exit code is 0 when the service was created or updated."""
    _settle_home()
    try:
        run(parse_arguments(argv))
    except PdkError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def _settle_home() -> None:
    """Give clients a home that can be written: pods without a user have ``/`` or nothing."""
    home = os.environ.get("HOME", "")
    if home in ("", "/") or not os.access(home, os.W_OK):
        os.environ["HOME"] = tempfile.mkdtemp(prefix="pdk-home-")


def run(options: Options) -> str:
    """Deploy the model version that the input commit names.

    Args:
        options: The checked command line.

    Returns:
        The service's URL; empty when it has none yet.

    Raises:
        PdkError: A step failed; the text says which, and what to do.
    """
    log = Log()
    info = ModelInfo.load(pfs_root() / "data" / FILE_NAME)
    log(f"model {info.name}, version {info.version}" + (f" (number {info.number})" if info.number else ""))
    archive.check_model_name(info.name)
    archive.check_model_name(info.version)
    # Importing torch takes longer than bringing a small checkpoint; the two overlap.
    torch_loader = threading.Thread(target=_import_torch, daemon=True)
    torch_loader.start()
    if options.google_application_credentials:
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = options.google_application_credentials
    store = _open_store(options)
    if options.cloud_model_host:
        storage.probe(store, info.name)
        log(f"{store.uri} can be written")
    cluster = _connect(options)
    with tempfile.TemporaryDirectory(prefix="pdk-deploy-") as scratch:
        folder = Path(scratch)
        info = _fetch_checkpoint(info, folder / "checkpoint")
        log(f"checkpoint {info.checkpoint} is here")
        torch_loader.join()
        script, size = _export(folder, info)
        log(f"TorchScript agrees with the trained model ({script.stat().st_size / 1e6:.1f} MB, input {size} px)")
        model_folder = _pack(folder, script, size, info, options)
        uri = storage.upload_model(store, info.name, info.version, model_folder)
    log(f"stored at {uri}")
    return _serve(log, cluster, options, info, uri)


def _import_torch() -> None:
    import determined.pytorch

    _ = determined.pytorch


def _environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise SettingsError(
            f"{name} is not set.",
            where="the pipeline's secrets",
            fix="Map the key of pipeline-secret in the pipeline spec, as in examples/dog-cat/pipelines.",
        )
    return value


def _open_store(options: Options) -> ModelStore:
    output = pfs_root() / "out"
    uri = ""
    if not options.cloud_model_host:
        bucket = storage.gateway_bucket(
            _environment("PACH_JOB_ID"),
            "master",
            _environment("PPS_PIPELINE_NAME"),
            os.environ.get("PPS_PROJECT_NAME", ""),
        )
        uri = f"s3://{bucket}/"
    return storage.open_store(
        options.cloud_model_host,
        options.cloud_model_bucket,
        output=output,
        output_uri=uri,
        endpoint=options.cloud_model_endpoint,
    )


def _connect(options: Options) -> Any:
    from pdk_nb.platforms import serving

    namespace = os.environ.get("KSERVE_NAMESPACE") or "models"
    return serving.connect(kubeconfig=options.k8s_config_file or None, namespace=namespace)


def _fetch_checkpoint(info: ModelInfo, target: Path) -> ModelInfo:
    """Bring the checkpoint of the registered version; the returned info names it."""
    from dataclasses import replace

    from pdk_nb.platforms import mlde

    client = mlde.connect(_environment("DET_MASTER"), _environment("DET_USER"), os.environ.get("DET_PASSWORD", ""))
    model = mlde.find_model(client, info.name)
    if model is None:
        raise DeploymentError(
            f"The registry has no model '{info.name}'.",
            where=_environment("DET_MASTER"),
            fix="The train pipeline's job registers it; look at its log.",
        )
    version = (
        model.get_version(info.number) if info.number else mlde.version_for_commit(client, info.name, info.version)
    )
    if version is None or version.checkpoint is None:
        raise DeploymentError(
            f"The registry has no version {info.number or info.version} of '{info.name}'.",
            where=_environment("DET_MASTER"),
            fix=f"det model list-versions {info.name}",
        )
    if version.name and version.name != info.version:
        raise DeploymentError(
            f"Version {info.number} of '{info.name}' is called '{version.name}', the commit says '{info.version}'.",
            fix=f"det model list-versions {info.name}",
        )
    checkpoint = version.checkpoint
    _download(checkpoint, target)
    return replace(info, checkpoint=checkpoint.uuid, number=info.number or version.model_version or 0)


def _download(checkpoint: Any, target: Path) -> None:
    """Bring a checkpoint's files: from where they are, or through the master, which reads them with its own rights.

    Determined's client asks the master only where the storage says "access denied". A key that the storage does not
    know, or an address that holds for trials and not for this pod, are as good a reason.
    """
    try:
        checkpoint.download(str(target))
        return
    except Exception as error:  # each storage backend raises its own kinds
        direct = error
    with warnings.catch_warnings():
        # The client warns about its own names when it is imported.
        warnings.simplefilter("ignore")
        from determined.experimental.client import DownloadMode
    shutil.rmtree(target, ignore_errors=True)
    try:
        checkpoint.download(str(target), mode=DownloadMode.MASTER)
    except Exception as error:
        raise DeploymentError(
            f"The checkpoint cannot be brought: {type(direct).__name__}: {direct}; nor through the master: {error}",
            where=f"checkpoint {checkpoint.uuid}",
            fix="The job needs the checkpoint storage: rights on its bucket, or (on-prem) its folder by pod_patch.",
        ) from error


@contextmanager
def _serving_mode() -> Any:
    """``SERVING_MODE=true`` tells a trial to need neither data nor pretrained weights."""
    before = os.environ.get("SERVING_MODE")
    os.environ["SERVING_MODE"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["SERVING_MODE"]
        else:
            os.environ["SERVING_MODE"] = before


def _export(folder: Path, info: ModelInfo) -> tuple[Path, int]:
    """The checkpoint's model as TorchScript, and the side of its input in pixels."""
    from pdk_nb.packaging.torchscript import export, load_model

    code = folder / "checkpoint" / "code"
    if not code.is_dir():
        raise DeploymentError("The checkpoint has no code, so its model cannot be built.", where=str(code))
    with _serving_mode():
        model, hparams = load_model(folder / "checkpoint")
    size = info.image_size or int(hparams.get("image_size") or 0)
    if not size:
        raise DeploymentError("Nobody says how large the model's pictures are.", where=FILE_NAME, fix="image_size: 224")
    target = folder / "model.pt"
    classes = len(info.classes) or None
    export(model, (3, size, size), target, outputs=classes)
    return target, size


def _pack(folder: Path, script: Path, size: int, info: ModelInfo, options: Options) -> Path:
    """The folder that the service will see: archive and configuration, checked."""
    target = folder / "served"
    preprocess = folder / "checkpoint" / "code" / PREPROCESS
    if not preprocess.is_file():
        raise DeploymentError(
            f"The checkpoint's code has no {PREPROCESS}, which the handler needs.",
            fix="The experiment's evaluation transform lives there: eval_transform(size).",
        )
    archive.build(
        script,
        name=info.name,
        version=info.version,
        number=info.number or None,
        handler=options.handler,
        classes=info.classes or ("dog", "cat"),
        image_size=size,
        extra_files=[preprocess],
        out_dir=target / "model-store",
    )
    limit = options.max_request_size
    torchserve_config.write(target, info.name, info.version, max_request_size=limit, max_response_size=limit)
    findings = [each for each in torchserve_config.lint_folder(target) if each.error]
    if findings:
        raise DeploymentError("The model folder is not servable: " + "; ".join(map(str, findings)))
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return target


def _serve(log: Log, cluster: Any, options: Options, info: ModelInfo, uri: str) -> str:
    from pdk_nb.platforms import serving

    default_size = torchserve_config.DEFAULT_MAX_BYTES
    applied = serving.apply(
        cluster,
        Deployment(
            name=options.deployment_name,
            storage_uri=uri,
            model=info.name,
            version=info.version,
            number=info.number,
            experiment=info.experiment,
            checkpoint=info.checkpoint,
            project=info.project,
            repo=info.repo,
            protocol=options.protocol,
            service_account=options.service_account_name,
            requests=options.resource_requests,
            limits=options.resource_limits,
            tolerations=options.tolerations,
            max_request_size=options.max_request_size if options.max_request_size != default_size else 0,
        ),
    )
    log(f"InferenceService {cluster.namespace}/{options.deployment_name} {applied.action}")
    if not options.cloud_model_host:
        if options.wait:
            log(
                "not waiting for READY: the model lies in this job's own output commit, "
                "which KServe can read only when the job has ended"
            )
    elif options.wait:
        serving.wait_ready(
            cluster,
            options.deployment_name,
            options.wait_timeout,
            version=info.version,
            after=applied.previous_revision,
            progress=log,
        )
    url = serving.service_status(cluster, options.deployment_name).url
    log(f"URL: {url}" if url else "the service gets its URL when its first revision is ready")
    return url
