"""The dog-cat experiment, run by Determined's own trainer without a cluster."""

import io
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
import yaml
from PIL import Image

from pdk_nb import photos
from pdk_nb.labels import LabelRule, split
from pdk_nb.stages import experiment
from pdk_nb.tasks import for_stages
from pdk_shared import pictures

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = ROOT / "examples" / "dog-cat" / "experiment"
sys.path.insert(0, str(EXPERIMENT))

import preprocess  # noqa: E402

# Runs one local training in a process of its own: the trainer copies its working directory and sets global state.
TRAIN = """
import json, logging, sys, time
logging.basicConfig(level=logging.INFO)
import torch
from determined import pytorch
import model_def
torch.set_num_threads(2)
spec = json.load(open(sys.argv[1]))
torch.manual_seed(1)
with pytorch.init(hparams=spec["hparams"], exp_conf=spec["config"]) as context:
    started = time.perf_counter()
    trial = model_def.DogCatModel(context)
    trainer = pytorch.Trainer(trial, context)
    trainer.fit(
        max_length=pytorch.Batch(spec["batches"]),
        validation_period=pytorch.Batch(spec["batches"]),
        checkpoint_period=pytorch.Batch(spec["batches"]),
        checkpoint_policy="all",
    )
    print("SECONDS", time.perf_counter() - started)
    print("COUNTS", json.dumps([len(trial.corpus.train), len(trial.corpus.held), len(trial.corpus.skipped)]))
"""


def profile(name):
    return experiment.merge(
        experiment.read_yaml(EXPERIMENT / "const.yaml"), experiment.read_yaml(EXPERIMENT / "profiles" / f"{name}.yaml")
    )


def train(tmp_path, pictures, batches, **hparams):
    config = profile("cpu")
    config["data"] |= {"local_dir": str(pictures), "secrets": {"pachyderm_token": "s3cret-token"}}
    config["data"]["pachyderm"]["token"] = "s3cret-token"
    context = experiment.build_context(EXPERIMENT, tmp_path / "context", for_stages().modules)
    (context / "run.py").write_text(TRAIN)
    spec = {"hparams": config["hyperparameters"] | hparams, "config": config, "batches": batches}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    # Without an installed pdk_nb in reach: the context brings what the trial needs.
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SERVING_MODE")}
    env |= {"XDG_DATA_HOME": str(tmp_path / "share"), "HOME": str(tmp_path), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    done = subprocess.run(
        [sys.executable, "run.py", str(tmp_path / "spec.json")],
        cwd=context,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done, sorted(tmp_path.glob("**/state_dict.pth"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    with zipfile.ZipFile(ROOT / "sample-data" / "dataset-dog-cat.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, drawn):
    """One training as the CPU profile says, on the first arrival with some files that no trial may stumble over."""
    tmp_path = tmp_path_factory.mktemp("trained")
    pictures = tmp_path / "pictures"
    (pictures / "dogs-from-cats").mkdir(parents=True)
    for path in (drawn / "data1").iterdir():
        (pictures / "dogs-from-cats" / path.name).write_bytes(path.read_bytes())
    for name, data in {
        ".DS_Store": b"x",
        "cat.broken.jpg": b"\xff\xd8\xff",
        "dog.text.jpg": b"text",
        "who.jpg": b"",
    }.items():
        (pictures / "dogs-from-cats" / name).write_bytes(data)
    Image.new("CMYK", (90, 60)).save(pictures / "dogs-from-cats" / "cat.9001.jpg")
    done, checkpoints = train(tmp_path, pictures, profile("cpu")["searcher"]["max_length"]["batches"])
    assert done.returncode == 0, done.stderr[-4000:]
    return done, checkpoints[-1].parent


def test_the_cpu_profile_learns_the_drawn_pets(trained):
    done, checkpoint = trained
    output = done.stdout + done.stderr
    counts = json.loads(output.partition("COUNTS ")[2].splitlines()[0])
    assert sum(counts[:2]) == 401 and counts[2] == 4
    accuracy = float(output.partition("'accuracy': ")[2].split(",")[0])
    assert accuracy >= 0.95


def test_checkpoints_say_what_the_model_means_and_hold_no_secret(trained):
    checkpoint = trained[1]
    assert json.loads((checkpoint / "model.json").read_text()) == {
        "classes": ["dog", "cat"],
        "image_size": 64,
        "model": "small",
        "mean": 0.5,
        "std": 0.5,
    }
    for path in checkpoint.rglob("*"):
        if path.is_file():
            assert b"s3cret-token" not in path.read_bytes(), path
    assert (checkpoint / "code" / "preprocess.py").read_bytes() == (EXPERIMENT / "preprocess.py").read_bytes()


def test_a_checkpoint_becomes_a_script_module_that_predicts(trained, tmp_path):
    script = """
import sys, torch
from determined.pytorch import load_trial_from_checkpoint_path
trial = load_trial_from_checkpoint_path(sys.argv[1], torch_load_kwargs={"map_location": "cpu", "weights_only": False})
trial.model.eval()
torch.jit.script(trial.model).save(sys.argv[2])
"""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"SERVING_MODE": "true"}
    target = tmp_path / "model.pt"
    done = subprocess.run(
        [sys.executable, "-c", script, str(trained[1]), str(target)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    model, transform = torch.jit.load(str(target)), preprocess.eval_transform(64)
    right = 0
    for path in (ROOT / "sample-data" / "pred").iterdir():
        with torch.no_grad():
            guess = int(model(transform(Image.open(path)).unsqueeze(0)).argmax())
        right += guess == LabelRule().label(path.name)
    assert right >= 5


@pytest.mark.parametrize(("files", "message"), [({}, "no usable picture"), ({"cat": 3}, "class dog")])
def test_useless_data_is_refused_with_a_reason(tmp_path, files, message):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for kind, count in files.items():
        for number in range(count):
            Image.new("RGB", (80, 80), (number, 0, 0)).save(pictures / f"{kind}.{number}.jpg")
    done, checkpoints = train(tmp_path, pictures, 2)
    # Determined ends such a trial quietly; what is missing is the checkpoint.
    assert (done.returncode, checkpoints) == (0, [])
    assert "cannot train: No data" in done.stderr and message in done.stderr
    assert "InvalidHP" in done.stderr


def test_two_pictures_of_each_class_are_enough(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for kind in ("cat", "dog"):
        for number in range(2):
            Image.new("RGB", (80, 50), (number, 99, 0)).save(pictures / f"{kind}.{number}.jpg")
    done, checkpoints = train(tmp_path, pictures, 3)
    assert done.returncode == 0, done.stderr[-3000:]
    assert checkpoints


def picture(mode):
    image = Image.effect_noise((90, 60), 80).convert("RGB").convert(mode if mode != "rotated" else "RGB")
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    if mode in ("RGBA", "LA", "P"):
        image.save(buffer, format="PNG")
    else:
        image.save(buffer, format="JPEG", exif=exif if mode == "rotated" else Image.Exif())
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA", "LA", "P", "rotated"])
@pytest.mark.parametrize("size", [64, 224])
def test_the_eval_transform_is_the_same_for_every_reader_and_has_no_randomness(mode, size):
    data = picture(mode)
    transform = preprocess.eval_transform(size)
    once = transform(Image.open(io.BytesIO(data)))
    assert once.shape == (3, size, size) and once.dtype == torch.float32
    assert -1.0 <= float(once.min()) <= float(once.max()) <= 1.0
    # The trial reads through photos.load_image, the handler through pictures.decode.
    assert torch.equal(once, transform(photos.load_image(data)))
    assert torch.equal(once, transform(pictures.decode(data)))
    assert torch.equal(once, preprocess.eval_transform(size)(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("shape", [(64, 64), (20, 500), (500, 20), (1, 1), (3000, 2000)])
def test_any_shape_fits(shape):
    assert preprocess.eval_transform(64)(Image.new("RGB", shape)).shape == (3, 64, 64)
    assert preprocess.train_transform(64)(Image.new("RGB", shape)).shape == (3, 64, 64)


def test_augmentation_is_for_training_only():
    random.seed(1)
    image = photos.load_image(picture("RGB"))
    augmented = preprocess.train_transform(64)
    assert not torch.equal(augmented(image), augmented(image))
    source = (EXPERIMENT / "model_def.py").read_text()
    validation = source.partition("def build_validation_data_loader")[2].partition("def ")[0]
    assert "train_transform" not in validation and "eval_transform" in validation


def test_preprocessing_stands_alone():
    code = """
import sys, preprocess
assert not {m for m in sys.modules if m.startswith(("pdk_nb", "torchvision", "determined"))}
"""
    subprocess.run([sys.executable, "-c", code], cwd=EXPERIMENT, check=True)


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_profiles_complete_the_configuration(name):
    config = profile(name)
    assert config["searcher"]["metric"] == "accuracy" and config["searcher"]["smaller_is_better"] is False
    assert config["searcher"]["max_length"]["batches"] > 0
    assert set(config["data"]["pachyderm"]) == {"host", "port", "repo", "branch", "project", "token", "previous_commit"}
    assert config["data"]["secrets"] == {"pachyderm_token": ""}
    code = "".join(path.read_text() for path in EXPERIMENT.glob("*.py"))
    for key in config["hyperparameters"]:
        assert key == "global_batch_size" or f'"{key}"' in code, f"{key} is never read"
    text = yaml.safe_dump(config)
    assert "gpu-pool" not in text


def test_both_nets_build_and_unknown_ones_are_refused():
    import nets

    for name, size in (("small", 64), ("resnet50", 64)):
        model = nets.build(name, 3).eval()
        with torch.no_grad():
            assert model(torch.zeros(2, 3, size, size)).shape == (2, 3)
        torch.jit.script(model)
    with pytest.raises(ValueError, match="no model"):
        nets.build("vgg", 2)


def test_metrics_are_counted_not_averaged():
    import model_def

    scores = model_def.Scores(["dog", "cat"])
    scores.update(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]), 2.0)
    scores.update(torch.tensor([1]), torch.tensor([0]), 1.0)
    metrics = scores.cross_slot_reduce([scores.per_slot_reduce(), ([[1, 0], [0, 0]], 0.0)])
    assert metrics["accuracy"] == pytest.approx(4 / 6)
    assert metrics["loss"] == pytest.approx(0.5)
    assert (metrics["recall_dog"], metrics["recall_cat"]) == (0.75, 0.5)
    assert [metrics[f"confusion_{a}_as_{b}"] for a in ("dog", "cat") for b in ("dog", "cat")] == [3, 1, 1, 1]
    assert metrics["pictures"] == 6


def test_the_trial_holds_out_what_the_rest_of_the_lab_holds_out(drawn):
    import data

    rule = LabelRule()
    corpus = data.collect(drawn, rule)
    train_paths, held_paths = split((p.name, p.label) for p in photos.scan(drawn).photos)
    assert [item.path for item in corpus.held] == held_paths
    assert [item.path for item in corpus.train] == train_paths
    first = data.collect(drawn / "data1", rule)
    assert numpy.isclose(len(first.held) / 400, 0.2, atol=0.07)
