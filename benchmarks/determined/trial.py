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
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pdk_nb.local.determined.clock import parse
from pdk_nb.local.determined.master import available_cores
from pdk_nb.stages import experiment
from tests.local.determined.conftest import connect, new_master, wait_end
from tests.processes import ServiceProcess

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "dog-cat" / "experiment"
PICTURES = REPOSITORY / "sample-data" / "dataset-dog-cat.zip"
# The Trainer's own example of local mode, with the times of its training reports.
LOCAL = """
import json, sys, time
import determined as det
from determined import pytorch
import model_def

config = json.load(open(sys.argv[1]))
times = []
class Times(pytorch.PyTorchCallback):
    def on_training_workload_end(self, avg_metrics, batch_metrics):
        times.append(time.time())
class Trial(model_def.DogCatModel):
    def build_callbacks(self):
        return {**super().build_callbacks(), "times": Times()}
with pytorch.init(hparams=config["hyperparameters"], exp_conf=config) as context:
    trainer = pytorch.Trainer(Trial(context), context)
    trainer.fit(
        max_length=pytorch.Batch(config["searcher"]["max_length"]["batches"]),
        validation_period=pytorch.Batch(config["min_validation_period"]["batches"]),
        reporting_period=pytorch.Batch(config["scheduling_unit"]),
        checkpoint_policy="all",
    )
json.dump(times, open(sys.argv[2], "w"))
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
    return config


def on_master(client: Any, config: dict[str, Any], context: Path) -> tuple[float, float]:
    """Seconds before the first training report, and seconds from there to the last."""
    started = time.time()
    # The client prints a line for every file that it sends.
    with contextlib.redirect_stdout(io.StringIO()):
        made = client.create_experiment(config, str(context))
    state = wait_end(made, 600)
    (trial,) = made.list_trials()
    assert state == "COMPLETED", "".join(trial.iter_logs())
    times = [parse(str(report.end_time)).timestamp() for report in trial.iter_metrics("training")]
    return times[0] - started, times[-1] - times[0]


def alone(config: dict[str, Any], context: Path, scratch: Path) -> tuple[float, float]:
    """The same of the Trainer in local mode."""
    (scratch / "config.json").write_text(json.dumps(config))
    environment = {**os.environ, "OMP_NUM_THREADS": str(available_cores()), "OMP_WAIT_POLICY": "PASSIVE"}
    environment |= {"PYTHONPATH": str(context), "XDG_DATA_HOME": str(scratch / "data"), "PYTHONWARNINGS": "ignore"}
    started = time.time()
    command = [sys.executable, "-c", LOCAL, str(scratch / "config.json"), str(scratch / "times.json")]
    done = subprocess.run(command, cwd=context, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    times = json.loads((scratch / "times.json").read_text())
    return times[0] - started, times[-1] - times[0]


@contextlib.contextmanager
def bench(batches: int) -> Iterator[tuple[ServiceProcess, dict[str, Any], Path]]:
    """A master, the example's configuration, and a folder with the experiment in ``context``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(PICTURES) as packed:
            packed.extractall(folder / "pictures")
        experiment.build_context(EXAMPLE, folder / "context")
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
        client, context = connect(master), folder / "context"
        for number in range(arguments.rounds):
            scratch = folder / f"alone-{number}"
            scratch.mkdir()
            rounds.append((on_master(client, config, context), alone(config, context, scratch)))
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
