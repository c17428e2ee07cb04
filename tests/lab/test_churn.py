"""The example churn: its data and their truth, its experiment by Determined's own trainer, its archive and handler."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pdk_nb import example as examples
from pdk_nb import tasks
from pdk_nb.packaging import archive
from pdk_nb.stages import deploy_options, experiment, packing
from pdk_nb.stages.model_info import ModelInfo
from tests.lab.test_handler import caller

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = examples.find("churn", ROOT / "examples")
TASK = tasks.for_stages("tabular")
# How far below the truth a model may be.
MARGIN = 0.02
TRAIN = """
import json, logging, sys
import torch
from determined import pytorch
import model_def
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
torch.set_num_threads(1)
spec = json.load(open(sys.argv[1]))
torch.manual_seed(7)
with pytorch.init(hparams=spec["hparams"], exp_conf=spec["config"]) as context:
    trial = getattr(model_def, spec["trial"])(context)
    trainer = pytorch.Trainer(trial, context)
    trainer.fit(
        max_length=pytorch.Batch(spec["batches"]),
        checkpoint_period=pytorch.Batch(spec["batches"]),
        validation_period=pytorch.Batch(spec["batches"]),
    )
print("COUNTS", json.dumps([len(trial.corpus.train), len(trial.corpus.held), len(trial.corpus.skipped)]))
"""


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"churn_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


GENERATE = module(EXAMPLE.data_folder / "generate.py")
PREPROCESS = module(EXAMPLE.experiment / "preprocess.py")
CONFIG = experiment.merge(
    experiment.read_yaml(EXAMPLE.experiment / EXAMPLE.config),
    experiment.read_yaml(EXAMPLE.experiment / "profiles" / "cpu.yaml"),
)
COLUMNS = CONFIG["data"]["columns"]
ROW = {**GENERATE.REQUESTS["leaves.json"], "segment": "private"}


def test_the_sample_data_are_what_the_generator_writes() -> None:
    for arrival in EXAMPLE.arrivals:
        assert (EXAMPLE.source / arrival / "customers.csv").read_text() == GENERATE.text(arrival)
    for name in GENERATE.REQUESTS:
        assert (EXAMPLE.data_folder / name).read_text() == GENERATE.request(name)


def test_the_gate_is_a_little_below_the_truth() -> None:
    first, both = GENERATE.truth_on_the_hold_out("data1"), GENERATE.truth_on_the_hold_out("data1", "data2")
    assert EXAMPLE.gate == examples.Gate("auc", pytest.approx(min(first, both) - MARGIN, abs=0.001))


def test_the_auc_is_right() -> None:
    assert GENERATE.auc([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]) == 1.0
    assert GENERATE.auc([0, 1], [0.5, 0.5]) == 0.5
    assert GENERATE.auc([1, 0, 1, 0], [0.8, 0.3, 0.5, 0.5]) == pytest.approx(3.5 / 4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tenure": "many"}, "tenure is 'many', which isn't a number"),
        ({"tenure": True}, "tenure is True, which isn't a number"),
        ({"tenure": "inf"}, "isn't a finite number"),
        ({"tenure": ""}, "the row has no tenure"),
        ({"contract": "weekly"}, "contract is 'weekly'; the model knows monthly, yearly, two-year"),
    ],
)
def test_a_row_that_the_model_cannot_read_is_explained(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        PREPROCESS.encode({**ROW, **change}, COLUMNS)


def test_a_row_becomes_numbers() -> None:
    values = PREPROCESS.encode({**ROW, "tenure": "2", "other": "ignored"}, COLUMNS)
    assert values == [2.0, 98.0, 7.0, 20.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]
    assert len(values) == PREPROCESS.width(COLUMNS) == TASK.input_shape({"columns": COLUMNS}, {})[0]
    assert PREPROCESS.places(COLUMNS)["contract"] == (4, 7)


def train_example(example: examples.Example, folder: Path, arrivals: Sequence[str], more: str = "") -> tuple[str, Path]:
    """Output and checkpoint of a training as the example's CPU profile says."""
    rows = folder / "rows"
    for arrival in arrivals:
        (rows / arrival).mkdir(parents=True)
        (rows / arrival / "customers.csv").write_text(GENERATE.text(arrival) + more)
    (rows / "notes.txt").write_text("not a table")
    config = experiment.merge(
        experiment.read_yaml(example.experiment / example.config),
        experiment.read_yaml(example.experiment / "profiles" / "cpu.yaml"),
    )
    hparams, batches = config["hyperparameters"], config["searcher"]["max_length"]["batches"]
    config = experiment.merge(config, {"data": {"local_dir": str(rows), "secrets": {"pachyderm_token": "s3cret"}}})
    config["data"]["pachyderm"]["token"] = "s3cret"
    handler = example.folder / example.handler
    context = experiment.build_context(example.experiment, folder / "context", TASK.modules, handler)
    (context / "run.py").write_text(TRAIN)
    trial = config["entrypoint"].rpartition(":")[2]
    (folder / "spec.json").write_text(
        json.dumps({"trial": trial, "hparams": hparams, "config": config, "batches": batches})
    )
    # Without an installed pdk_nb in reach: the context brings what the trial needs.
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SERVING_MODE")}
    env |= {"XDG_DATA_HOME": str(folder / "share"), "HOME": str(folder), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    command = [sys.executable, "run.py", str(folder / "spec.json")]
    done = subprocess.run(command, cwd=context, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr, sorted(folder.glob("**/state_dict.pth"))[-1].parent


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    bad = "broken,12,x,1,2,monthly,card,private,yes\n,1,2,3,4,monthly,card,private,no\n"
    return train_example(EXAMPLE, tmp_path_factory.mktemp("trained"), ["data1"], bad)


def auc_of(output: str) -> float:
    return float(output.partition("'auc': ")[2].split(",")[0])


def test_the_model_comes_close_to_the_truth(trained: tuple[str, Path]) -> None:
    output, _ = trained
    counts = json.loads(output.partition("COUNTS ")[2].splitlines()[0])
    assert sum(counts[:2]) == GENERATE.ROWS and counts[2] == 3
    assert "customers.csv:4002: charge is 'x', which isn't a number" in output
    assert GENERATE.truth_on_the_hold_out("data1") - MARGIN <= auc_of(output)


def test_both_arrivals_together_come_close_to_the_truth(tmp_path: Path) -> None:
    output, _ = train_example(EXAMPLE, tmp_path, ["data1", "data2"])
    assert GENERATE.truth_on_the_hold_out("data1", "data2") - MARGIN <= auc_of(output)


def test_a_checkpoint_keeps_no_secret(trained: tuple[str, Path]) -> None:
    _, checkpoint = trained
    for path in checkpoint.rglob("*"):
        assert path.is_dir() or b"s3cret" not in path.read_bytes(), path
    assert json.loads((checkpoint / "model.json").read_text())["columns"] == COLUMNS


@pytest.fixture(scope="module")
def served(trained: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, unpacked, as the deploy stage's own steps make it from the checkpoint."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(trained[1], folder / "checkpoint")
    facts = TASK.facts(CONFIG)
    info = ModelInfo("churn", "1" * 32, "p", "r", 3, classes=("stays", "leaves"), task="tabular", extra=facts)
    info = ModelInfo.load(info.save(folder))
    script, shape = packing.export(folder, info)
    assert shape == (12,)
    options = deploy_options.parse_arguments(["--deployment-name", "churn", "--gate", "auc=0.8"])
    made = packing.pack(folder, script, shape, info, options) / "model-store" / "churn.mar"
    described = archive.describe(made, TASK.roles)
    assert described.handler == "churn_handler.py" and described.facts == {"columns": COLUMNS}
    assert all(entry.role for entry in described.entries)
    zipfile.ZipFile(made).extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture(scope="module")
def service(served: Path) -> Iterator[Any]:
    with warnings.catch_warnings():
        # TorchServe's package leaves its version file open.
        warnings.simplefilter("ignore", ResourceWarning)
        from ts.model_loader import ModelLoaderFactory

    sys.path.insert(0, str(served))
    for name in ("preprocess", "churn_handler"):
        sys.modules.pop(name, None)
    loader = ModelLoaderFactory.get_model_loader()
    yield lambda envelope: caller(loader.load("churn", str(served), "churn_handler.py", None, 1, envelope, True, None))
    sys.path.remove(str(served))
    for name in ("preprocess", "churn_handler"):
        sys.modules.pop(name, None)


def test_the_service_answers_as_its_trial_learned(service: Any) -> None:
    call = service("kserve")
    rows = [
        json.loads((EXAMPLE.data_folder / name).read_text())["instances"][0] for name in ("stays.json", "leaves.json")
    ]
    assert call({"instances": rows}) == {"predictions": [0, 1]}
    (answer,) = call({"instances": [{**rows[1], "detail": True}]})["predictions"]
    assert (answer["label"], answer["version"], answer["number"]) == ("leaves", "1" * 32, 3)
    assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert set(answer["effects"]) == {column["name"] for column in COLUMNS}
    # The truth: a short tenure, many calls, and a high charge make a private customer leave.
    assert min(answer["effects"][name] for name in ("tenure", "calls", "charge", "contract")) > 0
    assert abs(answer["effects"]["usage"]) < answer["effects"]["calls"]


def test_a_bad_row_does_not_change_the_answers_of_the_others(service: Any) -> None:
    call = service("kserve")
    found = call({"instances": [{"data": {**ROW, "contract": "weekly"}}, {"data": ROW}, {"data": 7}, {}]})[
        "predictions"
    ]
    assert "the model knows monthly" in found[0]["error"]
    assert found[1] == 1
    assert "has no row" in found[2]["error"] and "has no row" in found[3]["error"]


def test_the_second_protocol_takes_rows_as_text(service: Any) -> None:
    call = service("kservev2")
    body = {"name": "row", "shape": [1], "datatype": "BYTES", "data": [json.dumps(ROW)]}
    answer = call({"inputs": [body, {**body, "parameters": {"detail": True}}]})
    first, second = (output["data"][0] for output in answer["outputs"])
    assert first == 1 and json.loads(second)["label"] == "leaves"


def test_requests_of_another_shape_are_refused_as_a_whole(service: Any) -> None:
    from ts.utils.util import PredictionException

    body = {"name": "row", "shape": [1], "datatype": "BYTES", "data": [json.dumps(ROW)]}
    for envelope, request, code in (
        ("kserve", {"instances": [{"data": {**ROW, "charge": float("nan")}}]}, 400),
        ("kserve", {"instances": []}, 400),
        ("kservev2", {"inputs": [{**body, "shape": "one"}]}, 422),
        ("kservev2", {"inputs": [{key: body[key] for key in ("name", "datatype", "data")}]}, 422),
    ):
        with pytest.raises(PredictionException) as caught:
            service(envelope)(request)
        assert caught.value.error_code == code
