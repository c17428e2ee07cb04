"""The deploy stage: a registered model version becomes a running InferenceService.

What the deploy pipeline's job runs. It reads ``model-info.yaml`` of the train pipeline's commit, judges the registered
version at the gate, downloads its checkpoint, saves it as TorchScript, packs the archive, stores it under its own
version, and creates or updates the service. Without a cloud model host the files go to the job's own output commit,
which KServe reads through Pachyderm's S3 gateway once the job has ended; that is why the job does not wait for the
service then.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from pdk_nb.packaging import archive, torchserve_config
from pdk_nb.platforms import serving, storage
from pdk_nb.stages import checkpoint, gate, packing
from pdk_nb.stages.deploy_options import DeployOptions, parse_arguments
from pdk_nb.stages.model_info import FILE_NAME, ModelInfo
from pdk_nb.stages.process import run_stage
from pdk_nb.stages.worker import Worker

__all__ = ["main", "run"]

log = logging.getLogger("pdk.deploy")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the deploy image; see :func:`pdk_nb.stages.process.run_stage` for the exit code."""
    return run_stage(lambda: run(parse_arguments(argv), Worker.from_environment()))


def run(options: DeployOptions, worker: Worker) -> str:
    """Deploy the model version that the input commit names.

    Args:
        options: The command line.
        worker: The worker's environment.

    Returns:
        The service's URL; empty when it has none yet.

    Raises:
        PdkError: A step failed; the text says which, and what to do.
    """
    info = ModelInfo.load(worker.pfs / "data" / FILE_NAME)
    log.info("model %s, version %s%s", info.name, info.version, f" (number {info.number})" if info.number else "")
    archive.check_model_name(info.name)
    archive.check_model_name(info.version)
    # Importing torch takes longer than downloading a small checkpoint; the two overlap.
    torch_loader = threading.Thread(target=_import_torch, daemon=True)
    torch_loader.start()
    version = checkpoint.find(worker.determined, info)
    gate.check(version, *options.gate)
    if options.google_application_credentials:
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = options.google_application_credentials
    store = _open_store(options, worker)
    if options.cloud_model_host:
        storage.probe(store, info.name)
        log.info("%s can be written", store.uri)
    cluster = serving.connect(kubeconfig=options.k8s_config_file or None, namespace=worker.models_namespace)
    with tempfile.TemporaryDirectory(prefix="pdk-deploy-") as scratch:
        folder = Path(scratch)
        info = checkpoint.fetch(version, info, folder / "checkpoint")
        log.info("downloaded checkpoint %s", info.checkpoint)
        torch_loader.join()
        script, shape = packing.export(folder, info)
        size_mb = script.stat().st_size / 1e6
        sides = " x ".join(map(str, shape))
        log.info("TorchScript agrees with the trained model (%.1f MB, input %s)", size_mb, sides)
        model_folder = packing.pack(folder, script, shape, info, options)
        uri = storage.upload_model(store, info.name, info.version, model_folder)
    log.info("stored at %s", uri)
    return _serve(cluster, options, info, uri)


def _import_torch() -> None:
    import determined.pytorch

    _ = determined.pytorch


def _open_store(options: DeployOptions, worker: Worker) -> storage.ModelStore:
    uri = ""
    if not options.cloud_model_host:
        bucket = storage.gateway_bucket(worker.job, "master", worker.pipeline, worker.project)
        uri = f"s3://{bucket}/"
    return storage.open_store(
        options.cloud_model_host,
        options.cloud_model_bucket,
        output=worker.out,
        output_uri=uri,
        endpoint=options.cloud_model_endpoint,
    )


def _serve(cluster: serving.Cluster, options: DeployOptions, info: ModelInfo, uri: str) -> str:
    default_size = torchserve_config.DEFAULT_MAX_BYTES
    applied = serving.apply(
        cluster,
        serving.Deployment(
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
    log.info("InferenceService %s/%s %s", cluster.namespace, options.deployment_name, applied.action)
    if not options.cloud_model_host:
        if options.wait:
            log.info(
                "not waiting for READY: the model is in this job's own output commit, "
                "which KServe can read only when the job has ended"
            )
    elif options.wait:
        serving.wait_ready(
            cluster,
            options.deployment_name,
            options.wait_timeout,
            version=info.version,
            after=applied.previous_revision,
            progress=log.info,
        )
    url = serving.service_status(cluster, options.deployment_name).url
    log.info("%s", f"URL: {url}" if url else "the service gets its URL when its first revision is ready")
    return url


if __name__ == "__main__":
    sys.exit(main())
