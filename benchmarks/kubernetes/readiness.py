"""How much later than TorchServe itself an InferenceService is ready.

    python -m benchmarks.kubernetes.readiness [--rounds 3] [--json result.json]

Starts TorchServe directly, with the same archive and the configuration that the embedded runtime writes, and waits for
its worker; then creates an InferenceService of the same model and waits for READY. Both in turn, so that whatever else
the machine does meets both. The target: the service is ready at most 1.5 s after TorchServe alone is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.ingress import write_model
from pdk_stack.kubernetes.core.inference.servers.torchserve import TorchServe
from tests.support.processes import ServiceProcess

TARGET_S = 1.5
KIND = ("serving.kserve.io", "v1beta1", "models", "inferenceservices")
TIMEOUT_S = 180.0


def alone(model: Path, folder: Path) -> float:
    """Seconds from the start of TorchServe until its worker is ready."""
    shutil.copytree(model, folder / "mnt" / "models")
    server = TorchServe(folder, folder)
    started = time.monotonic()
    server.start()
    try:
        server.wait_ready(TIMEOUT_S)
        return time.monotonic() - started
    finally:
        server.stop()


def as_service(custom: Any, model: Path, name: str) -> float:
    """Seconds from the creation of an InferenceService until it is READY."""
    manifest = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": name}}
    predictor = {"pytorch": {"storageUri": model.as_uri()}}
    started = time.monotonic()
    custom.create_namespaced_custom_object(*KIND, {**manifest, "spec": {"predictor": predictor}})
    try:
        while time.monotonic() - started < TIMEOUT_S:
            status = custom.get_namespaced_custom_object(*KIND, name).get("status", {})
            if any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", [])):
                return time.monotonic() - started
            time.sleep(0.02)
        raise TimeoutError(f"The service is not ready: {status}")
    finally:
        custom.delete_namespaced_custom_object(*KIND, name)


def main() -> int:
    """Run the benchmark; 1 when the service is ready too late."""
    import kubernetes

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"torchserve": [], "service": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_model(folder / "model")
        service = ServiceProcess("kubernetes", folder / "stack", {"admin_token": "benchmark"}).start()
        try:
            with kubernetes.config.new_client_from_config(config_file=service.ready["kubeconfig"]) as client:
                kubernetes.client.CoreV1Api(client).create_namespace({"metadata": {"name": "models"}})
                custom = kubernetes.client.CustomObjectsApi(client)
                for number in range(options.rounds):
                    seconds["torchserve"].append(alone(folder / "model", folder / f"alone-{number}"))
                    seconds["service"].append(as_service(custom, folder / "model", f"pets-{number}"))
        finally:
            service.stop()
    direct, ready = (statistics.median(values) for values in seconds.values())
    result = {"torchserve_s": direct, "service_s": ready, "later_s": ready - direct, "ratio": ready / direct}
    print(f"TorchServe alone {direct:.2f} s   service READY {ready:.2f} s   later {ready - direct:.2f} s", end="")
    print(f"   ratio {ready / direct:.2f}   (medians of {options.rounds})")
    if options.json:
        options.json.write_text(json.dumps({**result, **seconds}, indent=2) + "\n")
    return int(result["later_s"] > TARGET_S)


if __name__ == "__main__":
    raise SystemExit(main())
