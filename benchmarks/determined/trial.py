"""What a trial of the dog-cat example costs on the master, against the same training by the Trainer alone.

python -m benchmarks.determined.trial [--batches 200] [--rounds 3]

Both train the same net on the same pictures with as many threads, in turns. Compared is the time from the first to
the last training report, validations and checkpoints between them included; starting up is reported apart.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pdk_nb.stages import experiment
from pdk_nb.tasks import for_stages
from pdk_stack.determined.core.master import available_cores
from tests.stack.determined.conftest import connect, new_master, wait_end
from tests.support.processes import ServiceProcess

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "dog-cat" / "experiment"
PICTURES = REPOSITORY / "sample-data" / "dataset-dog-cat.zip"
TIMED = Path(__file__).with_name("timed.py")
# The Trainer's own example of local mode.
LOCAL = """
import json, sys
from determined import pytorch
import timed

config = json.load(open(sys.argv[1]))
with pytorch.init(hparams=config["hyperparameters"], exp_conf=config) as context:
    trainer = pytorch.Trainer(timed.Timed(context), context)
    trainer.fit(
        max_length=pytorch.Batch(config["searcher"]["max_length"]["batches"]),
        validation_period=pytorch.Batch(config["min_validation_period"]["batches"]),
        reporting_period=pytorch.Batch(config["scheduling_unit"]),
        checkpoint_policy="all",
    )
"""


def configuration(pictures: Path, batches: int) -> dict[str, Any]:
    """The example's own configuration for processors, with pictures from a folder."""
    config = experiment.merge(
        experiment.read_yaml(EXAMPLE / "const.yaml", "const.yaml"),
        experiment.read_yaml(EXAMPLE / "profiles" / "cpu.yaml", "profiles/cpu.yaml"),
    )
    for name in ("workspace", "project"):
        del config[name]
    config["data"]["local_dir"] = str(pictures)
    config["searcher"]["max_length"] = {"batches": batches}
    # Local mode keeps every checkpoint, whatever the policy.
    config["checkpoint_policy"] = "all"
    config["entrypoint"] = config["entrypoint"].replace("model_def:DogCatModel", "timed:Timed")
    return config


def training(times: Path, started: float) -> tuple[float, float]:
    """Seconds before the first training report, and seconds from there to the last; forgets them."""
    reports = [float(line) for line in times.read_text().splitlines()]
    times.unlink()
    return reports[0] - started, reports[-1] - reports[0]


def start_on_master(client: Any, config: dict[str, Any], folder: Path, **variables: str) -> Any:
    """Start a trial on the master; its experiment.

    Args:
        client: A connected client.
        config: The experiment's configuration.
        folder: The bench's folder.
        **variables: Further variables of the trial's environment.
    """
    lines = [f"{name}={value}" for name, value in variables.items()]
    environment = {"environment_variables": [*config["environment"]["environment_variables"], *lines]}
    # The client prints a line for every file that it sends.
    with contextlib.redirect_stdout(io.StringIO()):
        return client.create_experiment({**config, "environment": environment}, str(folder / "context"))


def on_master(client: Any, config: dict[str, Any], folder: Path) -> tuple[float, float]:
    """Start-up and training of a trial on the master, in seconds."""
    times, started = folder / "times", time.time()
    made = start_on_master(client, config, folder, PDK_TRAINING_TIMES=str(times))
    state = wait_end(made, 600)
    assert state == "COMPLETED", "".join(made.list_trials()[0].iter_logs())
    return training(times, started)


def alone(config: dict[str, Any], folder: Path) -> tuple[float, float]:
    """The same of the Trainer in local mode."""
    times = folder / "times"
    environment = {**os.environ, "OMP_NUM_THREADS": str(available_cores()), "OMP_WAIT_POLICY": "PASSIVE"}
    environment |= {"PYTHONPATH": str(folder / "context"), "PDK_TRAINING_TIMES": str(times), "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        settings = Path(scratch) / "config.json"
        settings.write_text(json.dumps(config))
        environment["XDG_DATA_HOME"] = str(Path(scratch) / "data")
        started = time.time()
        command = [sys.executable, "-c", LOCAL, str(settings)]
        done = subprocess.run(
            command, cwd=folder / "context", env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    return training(times, started)


@contextlib.contextmanager
def bench(batches: int) -> Iterator[tuple[ServiceProcess, dict[str, Any], Path]]:
    """A master, the example's configuration, and a folder with the experiment in ``context``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(PICTURES) as packed:
            packed.extractall(folder / "pictures")
        experiment.build_context(EXAMPLE, folder / "context", for_stages().modules)
        shutil.copy(TIMED, folder / "context")
        os.environ.setdefault("DET_DEBUG_CONFIG_PATH", str(folder / "client"))
        master = new_master(folder / "master").start()
        try:
            yield master, configuration(folder / "pictures", batches), folder
        finally:
            master.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rounds = []
    with bench(arguments.batches) as (master, config, folder):
        client = connect(master)
        for number in range(arguments.rounds):
            rounds.append((on_master(client, config, folder), alone(config, folder)))
            print(f"round {number + 1}: master {rounds[-1][0]}, alone {rounds[-1][1]}", file=sys.stderr)
    median = statistics.median
    result = {
        "batches": arguments.batches,
        "trial_training_s": round(median(master_[1] for master_, _ in rounds), 2),
        "trainer_training_s": round(median(alone_[1] for _, alone_ in rounds), 2),
        "ratio": round(median(master_[1] / alone_[1] for master_, alone_ in rounds), 3),
        "trial_start_up_s": round(median(master_[0] for master_, _ in rounds), 2),
        "trainer_start_up_s": round(median(alone_[0] for _, alone_ in rounds), 2),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
