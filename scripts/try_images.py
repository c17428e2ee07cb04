"""Test the images in containers: build, push, and pull them, and run both stages against the embedded stack.

    make images-test          (as root on Debian or Ubuntu; 15 to 30 minutes, about 20 GB of disk)

1. Both images are built with Buildah, on a base image from Debian's packages, for a registry on loopback.
2. They are pushed there with ``pdk-nb images push``, which writes their digests into the pipeline specs of a clone.
3. Another image store, in place of a cluster's node, pulls them by digest.
4. The embedded Pachyderm runs both pipelines in containers of these images, with notebooks 01 to 05.
5. The served model must classify a cat and a dog correctly.

All files are in one folder, which keeps the layers for the next run.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kubernetes
import requests
from image_trial import machine

ROOT = Path(__file__).resolve().parents[1]
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# The trial's registry speaks HTTP, on loopback.
PLAIN = "--tls-verify=false"
NOTEBOOKS = ("01", "02", "03", "04", "05")
RIGHT = {"cat.1003.jpg": "cat", "dog.1003.jpg": "dog"}


class Trial:
    """The steps, timed.

    Args:
        work: Folder of the trial.
        storage: Where images are kept.
        engine: ``buildah`` or ``podman``; containers always run with podman.
    """

    def __init__(self, work: Path, storage: Path, engine: str) -> None:
        self.work = work
        self.engine = engine
        self.clone = work / "checkout"
        self.state = work / "state"
        self.runs = work / "containers.jsonl"
        self.seconds: dict[str, float] = {}
        self.port = machine.free_port()
        self.environment = {**os.environ, **machine.configure(work, storage)}
        self.environment["PYTHONPATH"] = str(self.clone)
        # The container brings its own /pfs; the folder's name is enough.
        self.environment["PDK_NO_MOUNT_NAMESPACE"] = "1"
        for name in ("KUBECONFIG", "PDK_PARTICIPANT"):
            self.environment.pop(name, None)
        os.environ.update(self.environment)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say and time one step."""
        print(f"== {name}", flush=True)
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)
        print(f"   {self.seconds[name]:.0f} s", flush=True)

    def pdk_nb(self, *words: str) -> str:
        """Run the clone's command line; returns what it prints."""
        command = [sys.executable, "-m", "pdk_nb.cli", *words]
        done = subprocess.run(command, cwd=self.clone, env=self.environment, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"pdk-nb {' '.join(words)} failed with exit code {done.returncode}")
        return done.stdout

    def checkout(self) -> Path:
        """Clone the checkout, and its code once more for the containers' user; returns that one."""
        code = self.work / "code.git"
        for folder in (self.clone, code):
            shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.clone)], check=True)
        subprocess.run(["git", "clone", "--quiet", "--bare", str(self.clone), str(code)], check=True)
        # git refuses a repository that belongs to another user.
        subprocess.run(["chown", "-R", "1000:1000", str(code)], check=True)
        return code

    def build(self, base_image: str, torch_index: str) -> list[dict[str, object]]:
        """Build both images with the command that people use."""
        flags = [f"--volume={machine.CA_BUNDLE}:{machine.CA_BUNDLE}:ro"] if machine.CA_BUNDLE.exists() else []
        words = ["images", "build", "--engine", self.engine, "--registry", f"127.0.0.1:{self.port}/pdk", "--json"]
        words += ["--base-image", base_image, "--build-arg", f"TORCH_INDEX={torch_index}"]
        said = self.pdk_nb(*words, *(f"--engine-flag={flag}" for flag in ["--network=host", *flags]))
        return [json.loads(line) for line in said.splitlines()]

    def push(self, registry: machine.Registry) -> dict[str, str]:
        """Log in and push; the images by stage, by digest."""
        login = [self.engine, "login", PLAIN, "--username", registry.user, "--password-stdin", registry.address]
        subprocess.run(login, input=registry.password, text=True, check=True, stdout=subprocess.DEVNULL)
        said = self.pdk_nb("images", "push", "--engine", self.engine, f"--engine-flag={PLAIN}", "--json")
        pushed = {each["stage"]: each["image"] for each in map(json.loads, said.splitlines())}
        for stage, name in (("train", "training-pipeline.json"), ("deploy", "deployment-pipeline.json")):
            for prefix in ("", "_onprem_"):
                path = self.clone / "examples" / "dog-cat" / "pipelines" / f"{prefix}{name}"
                assert json.loads(path.read_text())["transform"]["image"] == pushed[stage], path
        return pushed

    def pull(self, pushed: dict[str, str]) -> None:
        """Become a node of a cluster, which has none of the builder's layers, and pull by digest."""
        storage = self.work / "node-storage"
        self.environment["CONTAINERS_STORAGE_CONF"] = str(machine.storage_file(self.work, "node", storage))
        os.environ.update(self.environment)
        subprocess.run(["podman", "rmi", "--all", "--force"], check=True, stdout=subprocess.DEVNULL)
        for image in pushed.values():
            subprocess.run(["podman", "pull", PLAIN, "--quiet", image], check=True, stdout=subprocess.DEVNULL)

    def prepare_stack(self, pushed: dict[str, str], code: Path) -> None:
        """Configure the program that the embedded Pachyderm runs as each stage's ``python``."""
        shutil.rmtree(self.state, ignore_errors=True)
        self.runs.unlink(missing_ok=True)
        known = {}
        for stage, image in pushed.items():
            folder = self.work / "bin" / stage
            folder.mkdir(parents=True, exist_ok=True)
            order = {"image": image, "stage": stage, "log": str(self.runs), "mounts": {str(code): str(code)}}
            program = folder / "python"
            program.write_text(
                f"#!/bin/sh\nPYTHONPATH={ROOT / 'scripts'} exec {sys.executable} -m image_trial.worker "
                f"'{json.dumps(order)}' \"$@\"\n"
            )
            program.chmod(0o755)
            known[f"pdk-lab-{stage}"] = {"workdir": "", "path": [str(folder)]}
        self.state.mkdir(mode=0o700)
        (self.state / "images.json").write_text(json.dumps(known))

    def walk(self, code: Path) -> None:
        """The notebooks up to the prediction, with the pipelines in their containers."""
        addresses = json.loads(self.pdk_nb("up", "--json", "--state-dir", str(self.state)))
        kubeconfig = addresses["kubeconfig"]
        core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(config_file=kubeconfig))
        # The cluster's own registry: the specs then name what was pushed there.
        change = {"data": {"registry_uri": f"127.0.0.1:{self.port}/pdk"}}
        core.patch_namespaced_config_map("pdk-config", "default", change)
        for notebook in NOTEBOOKS:
            more = ["-p", f"git_url={code.as_uri()}"] if notebook == "01" else []
            out = str(self.work / "runs")
            self.pdk_nb("run", "--only", notebook, "--kubeconfig", kubeconfig, "--out", out, *more)
        photos = [self.clone / "sample-data" / "pred" / name for name in RIGHT]
        said = self.pdk_nb("predict", "--json", "--kubeconfig", kubeconfig, *map(str, photos))
        answers = {Path(each["image"]).name: each["label"] for each in map(json.loads, said.splitlines())}
        assert answers == RIGHT, answers

    def containers(self, pushed: dict[str, str]) -> list[dict[str, object]]:
        """The stages that ran in containers; both must have run there and succeeded."""
        ran = [json.loads(line) for line in self.runs.read_text().splitlines()]
        for stage, image in pushed.items():
            mine = [each for each in ran if each["stage"] == stage]
            assert mine and all((each["image"], each["code"]) == (image, 0) for each in mine), ran
        return ran


def look_inside(image: str) -> dict[str, str]:
    """What an image says of itself: its user, its labels, and that it has no compiler."""
    words = ["podman", "image", "inspect", image]
    config = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)[0]
    labels = config["Labels"] or {}
    assert config["User"] == "1000:1000", config["User"]
    assert (config["Os"], config["Architecture"]) == ("linux", "amd64")
    for name in ("title", "description", "licenses", "version", "revision", "source"):
        assert labels.get(f"org.opencontainers.image.{name}"), f"{image} lacks the label {name}"
    probe = "command -v cc gcc g++ make; id -u; touch /app/x 2>/dev/null && echo writable; exit 0"
    command = ["podman", "run", "--rm", "--network=none", image, "sh", "-c", probe]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said == ["1000"], said
    return {"version": labels["org.opencontainers.image.version"], "user": config["User"]}


def reachable(url: str) -> bool:
    """Whether a package index answers."""
    try:
        return requests.head(f"{url}/torch/", timeout=5).ok
    except requests.RequestException:
        return False


def main() -> None:
    """The whole trial; ends with a table of sizes and times, or with an error."""
    options = argparse.ArgumentParser(description="Build, push, pull and run the images of both stages.")
    options.add_argument("--work", type=Path, default=ROOT / "build" / "images-test", help="folder of the trial")
    options.add_argument("--storage", type=Path, help="where images are kept (default: in that folder)")
    options.add_argument("--engine", choices=("buildah", "podman"), default="buildah")
    options.add_argument("--base-image", default="", help="base to use instead of one made of Debian's packages")
    options.add_argument("--torch-index", help=f"where torch's wheels are (default: {TORCH_INDEX}, else PyPI)")
    given = options.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("This script builds a base image and runs containers: run it as root.")
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    index = given.torch_index if given.torch_index is not None else TORCH_INDEX if reachable(TORCH_INDEX) else ""
    if not index:
        print("torch comes from PyPI, with CUDA: the deploy image is several times larger than with the CPU wheel.")
    trial = Trial(work, (given.storage or work / "storage").resolve(), given.engine)
    with trial.step("install the container tools"):
        machine.install()
    with trial.step("clone the checkout"):
        code = trial.checkout()
    if not given.base_image:
        with trial.step("make the base image"):
            machine.ensure_base(work)
    with machine.registry(work, trial.port, secrets.token_urlsafe(24)) as registry:
        with trial.step("build both images"):
            built = trial.build(given.base_image or machine.BASE_IMAGE, index)
        with trial.step("push both images"):
            pushed = trial.push(registry)
        with trial.step("pull both images into an empty storage"):
            trial.pull(pushed)
        facts = {stage: look_inside(image) for stage, image in pushed.items()}
        sizes = {stage: registry.compressed_size(image) for stage, image in pushed.items()}
        trial.prepare_stack(pushed, code)
        try:
            with trial.step("walk through the notebooks, stages in containers"):
                trial.walk(code)
        finally:
            trial.pdk_nb("down", "--state-dir", str(trial.state))
    ran = trial.containers(pushed)
    report = {"torch_index": index or "PyPI", "seconds": trial.seconds, "containers": ran, "images": {}}
    print(f"\n{'IMAGE':<8} {'UNPACKED':>10} {'TO PULL':>10}  DIGEST")
    for each in built:
        stage = str(each["stage"])
        report["images"][stage] = {**each, **facts[stage], "compressed": sizes[stage], "pushed": pushed[stage]}
        unpacked, packed = int(str(each["size"])) / 1e6, sizes[stage] / 1e6
        print(f"{stage:<8} {unpacked:>7.0f} MB {packed:>7.0f} MB  {pushed[stage].partition('@')[2][:23]}...")
    for each in ran:
        print(f"{each['stage']} stage in its container: {each['seconds']} s, exit code {each['code']}")
    (work / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"The served model classifies {' and '.join(RIGHT.values())} correctly. Report: {work / 'report.json'}")


if __name__ == "__main__":
    main()
