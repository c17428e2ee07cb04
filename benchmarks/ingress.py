"""Latency through the ingress against TorchServe asked directly, in one run, at 1, 8 and 32 clients.

    python -m benchmarks.ingress [--seconds 8] [--clients 1 8 32] [--json result.json]

Starts the embedded Kubernetes, serves a MobileNet (untrained: the arithmetic is the same) with real TorchServe and
asks it for predictions of one photo-sized JPEG. Rounds of the two ways alternate, so that whatever else the machine
does meets both. The target: the p50 through the ingress is at most 1.15 times the direct one, without an error.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tests.support.processes import ServiceProcess

TARGET = 1.15
# Short rounds in turn, so that whatever else the machine does meets both ways alike.
ROUNDS = 12
PATH = "/v1/models/pets:predict"
HOST = "pets.models.example.com"
HANDLER = """
from ts.torch_handler.image_classifier import ImageClassifier


class Handler(ImageClassifier):
    def postprocess(self, data):
        return data.argmax(1).tolist()
"""


def write_model(folder: Path) -> None:
    """A model folder as KServe's TorchServe runtime wants it."""
    import torch
    import torchvision

    for name in ("config", "model-store"):
        (folder / name).mkdir(parents=True)
    network = torchvision.models.mobilenet_v3_small(num_classes=2).eval()
    torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 224, 224)), folder / "model.pt")
    (folder / "handler.py").write_text(HANDLER)
    command = [Path(sys.executable).parent / "torch-model-archiver", "--model-name", "pets", "--version", "1"]
    command += ["--serialized-file", folder / "model.pt", "--handler", folder / "handler.py"]
    subprocess.run([*command, "--export-path", folder / "model-store"], check=True, capture_output=True)
    entry = {"defaultVersion": True, "marName": "pets.mar", "minWorkers": 1, "maxWorkers": 1, "batchSize": 1}
    entry |= {"maxBatchDelay": 50, "responseTimeout": 60}
    snapshot = {"name": "startup.cfg", "modelCount": 1, "models": {"pets": {"1": entry}}}
    text = f"model_store=/mnt/models/model-store\nmodel_snapshot={json.dumps(snapshot)}\n"
    (folder / "config" / "config.properties").write_text(text)


def request_body() -> bytes:
    """A request with one JPEG of 500 x 375 pixels, about the size of a photo in the data set."""
    from PIL import Image

    picture = io.BytesIO()
    noise = random.Random(0).randbytes(100 * 75 * 3)
    Image.frombytes("RGB", (100, 75), noise).resize((500, 375)).save(picture, "JPEG")
    return json.dumps({"instances": [{"data": base64.b64encode(picture.getvalue()).decode()}]}).encode()


class Way(NamedTuple):
    """Where predictions are sent to, and the headers that they need there."""

    port: int
    headers: dict[str, str]


def measure(way: Way, clients: int, seconds: float, body: bytes) -> tuple[list[float], int]:
    """Ask for so many seconds; latencies in milliseconds of the answers with code 200, and the number of others."""
    latencies: list[list[float]] = [[] for _ in range(clients)]
    failures = [0] * clients
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", way.port, timeout=60)
        while time.monotonic() < end:
            started = time.perf_counter()
            connection.request("POST", PATH, body, {"Host": HOST, "Content-Type": "application/json", **way.headers})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                latencies[number].append(1000 * (time.perf_counter() - started))
            else:
                failures[number] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return [value for part in latencies for value in part], sum(failures)


def compare(ingress: Way, direct: Way, clients: int, seconds: float, body: bytes) -> dict[str, Any]:
    """Both ways in alternating rounds."""
    found: dict[str, list[float]] = {"direct": [], "ingress": []}
    errors = {"direct": 0, "ingress": 0}
    for number in range(ROUNDS):
        ways = [("direct", direct), ("ingress", ingress)]
        for way, target in ways if number % 2 == 0 else reversed(ways):
            values, failed = measure(target, clients, seconds / ROUNDS, body)
            found[way] += values
            errors[way] += failed
    result: dict[str, Any] = {"clients": clients}
    for way, values in found.items():
        ordered = sorted(values)
        result[way] = {
            "requests": len(values),
            "errors": errors[way],
            "p50_ms": round(statistics.median(values), 2),
            "p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))], 2),
            "per_second": round(len(values) / seconds, 1),
        }
    result["p50_ratio"] = round(result["ingress"]["p50_ms"] / result["direct"]["p50_ms"], 3)
    return result


def start_service(folder: Path) -> tuple[ServiceProcess, Way]:
    """The embedded Kubernetes with the service ready, and the way to TorchServe itself."""
    import kubernetes

    write_model(folder / "model")
    service = ServiceProcess("kubernetes", folder / "stack", {"admin_token": "benchmark"}).start()
    client = kubernetes.config.new_client_from_config(config_file=service.ready["kubeconfig"])
    kubernetes.client.CoreV1Api(client).create_namespace({"metadata": {"name": "models"}})
    custom = kubernetes.client.CustomObjectsApi(client)
    kind = ("serving.kserve.io", "v1beta1", "models", "inferenceservices")
    manifest = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "pets"}}
    predictor = {"pytorch": {"storageUri": (folder / "model").as_uri()}}
    custom.create_namespaced_custom_object(*kind, {**manifest, "spec": {"predictor": predictor}})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        status = custom.get_namespaced_custom_object(*kind, "pets").get("status", {})
        if any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", [])):
            break
        time.sleep(0.2)
    else:
        raise TimeoutError(f"The service is not ready: {status}")
    effective = next((folder / "stack").rglob("effective.properties")).read_text()
    address = next(line for line in effective.splitlines() if line.startswith("inference_address="))
    # TorchServe writes its keys to its working directory.
    (home,) = {
        Path(each.cwd())
        for each in psutil.Process(service.ready["pid"]).children(recursive=True)
        if "org.pytorch.serve.ModelServer" in each.cmdline()
    }
    key = json.loads((home / "key_file.json").read_text())["inference"]["key"]
    return service, Way(int(address.rsplit(":", 1)[1]), {"Authorization": f"Bearer {key}"})


def main() -> int:
    """Run the benchmark; 1 when a ratio is above the target or a request failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="per way and number of clients")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service, direct = start_service(Path(folder))
        try:
            ingress = Way(int(service.ready["ingress"].rsplit(":", 1)[1]), {})
            body = request_body()
            for way in (direct, ingress):
                measure(way, 2, 1.0, body)
            results = [compare(ingress, direct, clients, options.seconds, body) for clients in options.clients]
        finally:
            service.stop()
    print(f"body of {len(body)} bytes")
    print("clients  direct p50/p99 ms  rps    errors   ingress p50/p99 ms  rps    errors   p50 ratio")
    for row in results:
        cells = []
        for way in (row["direct"], row["ingress"]):
            cells.append(f"{way['p50_ms']:7.1f} /{way['p99_ms']:7.1f}  {way['per_second']:6.1f} {way['errors']:4d}")
        print(f"{row['clients']:7d}  {cells[0]}      {cells[1]}      {row['p50_ratio']:.3f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return int(any(row["p50_ratio"] > TARGET or row["ingress"]["errors"] for row in results))


if __name__ == "__main__":
    raise SystemExit(main())
