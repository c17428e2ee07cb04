"""``kubectl get`` of many objects against ``kubectl get`` of one: what the API and its answer's size cost.

    python -m benchmarks.kubernetes.objects [--objects 1000] [--rounds 7] [--json result.json]

Starts the embedded Kubernetes, creates so many ConfigMaps in one namespace and one
object in another, and lists both in turn with the real kubectl. What kubectl itself takes to read and print so many
is not the API's doing: the same requests are sent again without it, and their time is what the listing costs beyond
kubectl's own. The target: at most 0.3 s.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.processes import ServiceProcess

TARGET_S = 0.3
FEW, MANY = "few", "many"
ACCEPTS = {
    "": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "json": "application/json",
}
# About what the lab's InferenceServices carry.
PAYLOAD = {"pets": "dog,cat " * 50}


def fill(core: Any, objects: int) -> None:
    """One namespace with one object, and one with many."""
    for namespace, count in ((FEW, 1), (MANY, objects)):
        core.create_namespace({"metadata": {"name": namespace}})
        for number in range(count):
            core.create_namespaced_config_map(
                namespace, {"metadata": {"name": f"pets-{number:05d}", "labels": {"kind": "pet"}}, "data": PAYLOAD}
            )


def listing(kubeconfig: str, home: str, namespace: str, output: str) -> tuple[float, int]:
    """Seconds and lines of one ``kubectl get``."""
    command = [shutil.which("kubectl") or "kubectl", "--kubeconfig", kubeconfig, "-n", namespace]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "get", "configmaps", *(["-o", output] if output else [])],
        check=True,
        capture_output=True,
        env={**os.environ, "HOME": home},
    )
    return time.perf_counter() - started, done.stdout.count(b"\n")


def asked(client: Any, accept: str) -> float:
    """Seconds that the requests of kubectl's listing take: pages of 500."""
    started, token = time.perf_counter(), ""
    while True:
        path = f"/api/v1/namespaces/{MANY}/configmaps?limit=500" + (f"&continue={token}" if token else "")
        answer = client.call_api(
            path, "GET", header_params={"Accept": accept}, auth_settings=["BearerToken"], _preload_content=False
        )
        token = json.loads(answer.data)["metadata"].get("continue", "")
        if not token:
            return time.perf_counter() - started


def main() -> int:
    """Run the benchmark; 1 when listing many costs more than the target."""
    import kubernetes

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if shutil.which("kubectl") is None:
        raise SystemExit("kubectl is not installed.")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        service = ServiceProcess("kubernetes", Path(folder) / "stack", {"admin_token": "benchmark"}).start()
        try:
            kubeconfig = str(service.ready["kubeconfig"])
            with kubernetes.config.new_client_from_config(config_file=kubeconfig) as client:
                fill(kubernetes.client.CoreV1Api(client), options.objects)
                for output, accept in ACCEPTS.items():
                    seconds: dict[str, list[float]] = {FEW: [], MANY: [], "requests": []}
                    for _ in range(options.rounds):
                        for namespace in (FEW, MANY):
                            taken, lines = listing(kubeconfig, folder, namespace, output)
                            assert lines > (options.objects if namespace == MANY else 1), "kubectl printed too little"
                            seconds[namespace].append(taken)
                        seconds["requests"].append(asked(client, accept))
                    one, many, requests = (statistics.median(values) for values in seconds.values())
                    results.append({"output": output or "table", "one_s": one, "many_s": many, "requests_s": requests})
        finally:
            service.stop()
    print(f"kubectl get of {options.objects} objects, median of {options.rounds}")
    for row in results:
        ratio = float(row["requests_s"]) / float(row["many_s"])
        print(
            f"{row['output']:6s} kubectl of one {row['one_s']:.3f} s, of many {row['many_s']:.3f} s; "
            f"its requests alone {row['requests_s']:.3f} s, ratio {ratio:.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return int(any(float(row["requests_s"]) > TARGET_S for row in results))


if __name__ == "__main__":
    raise SystemExit(main())
