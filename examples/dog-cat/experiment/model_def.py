"""The trial: network, data, training, and metrics."""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import data
import determined as det
import nets
import preprocess
import torch
from determined import pytorch

from pdk_nb.labels import LabelRule
from pdk_nb.trial_data import remove_secrets, token_of
from pdk_nb.trial_log import REFUSAL, TRIAL_LOGGER

log = logging.getLogger(TRIAL_LOGGER)


class Scores(pytorch.MetricReducer):
    """Counts of (true class, predicted class), and the summed loss: exact over all pictures and all slots."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self.reset()

    def reset(self) -> None:
        self.counts = [[0] * len(self.classes) for _ in self.classes]
        self.loss = 0.0

    def update(self, labels: torch.Tensor, predicted: torch.Tensor, loss: float) -> None:
        for true, guess in zip(labels.tolist(), predicted.tolist(), strict=True):
            self.counts[true][guess] += 1
        self.loss += loss

    def per_slot_reduce(self) -> Any:
        return self.counts, self.loss

    def cross_slot_reduce(self, per_slot_metrics: list[Any]) -> dict[str, float]:
        size = range(len(self.classes))
        counts = [[sum(slot[0][i][j] for slot in per_slot_metrics) for j in size] for i in size]
        return summary(self.classes, counts, sum(slot[1] for slot in per_slot_metrics))


def summary(classes: Sequence[str], counts: Sequence[Sequence[int]], loss: float) -> dict[str, float]:
    """Metrics from counts.

    Args:
        classes: Class names.
        counts: counts[true][predicted].
        loss: Sum of the loss over all pictures.

    Returns:
        ``accuracy``, ``loss``, ``recall_<class>``, and ``confusion_<true>_as_<predicted>``.
    """
    total = sum(map(sum, counts))
    metrics: dict[str, float] = {
        "accuracy": sum(counts[i][i] for i in range(len(classes))) / max(1, total),
        "loss": loss / max(1, total),
        "pictures": total,
    }
    for i, name in enumerate(classes):
        metrics[f"recall_{name}"] = counts[i][i] / max(1, sum(counts[i]))
        for j, other in enumerate(classes):
            metrics[f"confusion_{name}_as_{other}"] = counts[i][j]
    return metrics


class Checkpoints(pytorch.PyTorchCallback):
    """Completes every checkpoint: adds the model's metadata and removes secrets."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description

    def on_checkpoint_write_end(self, checkpoint_dir: str) -> None:
        folder = Path(checkpoint_dir)
        (folder / "model.json").write_text(json.dumps(self.description, indent=1))
        remove_secrets(folder)


class DogCatModel(pytorch.PyTorchTrial):
    """Classifies pictures into ``data.classes``.

    With the environment variable ``SERVING_MODE=true``, it only builds the network: no data, no pretrained weights.
    """

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self.context = context
        hparams = context.get_hparams()
        config = dict((context.get_experiment_config().get("data") or {}) if _has_config(context) else {})
        serving = os.environ.get("SERVING_MODE", "").lower() == "true"
        self.rule = LabelRule(tuple(config.get("classes") or ("dog", "cat")))
        self.size = int(hparams.get("image_size", 224))
        self.name = str(hparams.get("model", "resnet50"))
        model = nets.build(
            self.name,
            len(self.rule.classes),
            pretrained=bool(hparams.get("pretrained", False)) and not serving,
            width=int(hparams.get("width", 16)),
            dropout=float(hparams.get("dropout", 0.2)),
        )
        self.model = context.wrap_model(model)
        self.learning_rate = float(hparams.get("learning_rate", 0.004))
        if _searcher(context).get("source_checkpoint_uuid"):
            # When training resumes, use smaller steps, so that the model doesn't forget.
            self.learning_rate *= float(hparams.get("warm_start_factor", 0.3))
        self.warmup = max(1, int(hparams.get("warmup_batches", 20)))
        self.smoothing = float(hparams.get("label_smoothing", 0.05))
        self.optimizer = context.wrap_optimizer(
            torch.optim.AdamW(
                self.model.parameters(), lr=self.learning_rate, weight_decay=float(hparams.get("weight_decay", 0.05))
            )
        )
        if serving:
            return
        self.length = _length(context)
        self.scores = context.wrap_reducer(Scores(self.rule.classes), name=None, for_training=False)
        self.corpus = self._corpus(config)
        counts = [max(1, sum(item.label == i for item in self.corpus.train)) for i in range(len(self.rule.classes))]
        # A class with few pictures has more weight, up to four times.
        weights = torch.tensor([min(4.0, max(counts) / count) for count in counts])
        self.weights = context.to_device(weights / weights.mean())

    def _corpus(self, config: dict[str, Any]) -> data.Corpus:
        """The pictures: downloaded once per machine, for all of its slots."""
        try:
            if config.get("local_dir"):
                corpus = data.collect(Path(config["local_dir"]), self.rule)
            else:
                settings = dict(config.get("pachyderm") or {})
                corpus = None
                if self.context.distributed.local_rank == 0:
                    root = tempfile.mkdtemp(prefix="pictures-")
                    atexit.register(shutil.rmtree, root, ignore_errors=True)
                    replay = float(config.get("replay", 1.0)), int(config.get("replay_at_least", 0))
                    corpus = data.fetch(settings, token_of(config), Path(root), self.rule, *replay)
                corpus = self.context.distributed.broadcast_local(corpus)
            if self.context.distributed.rank == 0:
                data.report(corpus, self.rule)
            data.check(corpus, self.rule)
            return corpus
        except data.UnusableData as error:
            log.error("%s %s", REFUSAL, error)
            raise det.InvalidHP(str(error)) from error

    def build_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
        description = {
            "classes": list(self.rule.classes),
            "image_size": self.size,
            "model": self.name,
            "mean": preprocess.MEAN,
            "std": preprocess.STD,
        }
        return {"checkpoints": Checkpoints(description)}

    def build_training_data_loader(self) -> pytorch.DataLoader:
        # Small pictures stay decoded in memory; large ones are decoded by worker processes.
        keep = round(self.size * 1.4) if self.size <= 128 else 0
        pictures = data.Pictures(self.corpus.train, preprocess.train_transform(self.size), keep=keep)
        batch = min(self.context.get_per_slot_batch_size(), max(2, len(pictures)))
        return pytorch.DataLoader(
            pictures,
            batch_size=batch,
            shuffle=True,
            # Batch normalization can't learn from a batch of one picture.
            drop_last=len(pictures) % batch == 1 and len(pictures) > batch,
            num_workers=0 if keep else _workers(),
        )

    def build_validation_data_loader(self) -> pytorch.DataLoader:
        keep = self.size if self.size <= 128 else 0
        pictures = data.Pictures(self.corpus.held, preprocess.eval_transform(self.size), keep=keep, fixed=True)
        return pytorch.DataLoader(
            pictures,
            batch_size=self.context.get_per_slot_batch_size(),
            num_workers=0 if keep else _workers(),
        )

    def _rate(self, batch: int) -> float:
        """Warm up, then follow a cosine down to 1/50. Depends only on the batch number: no state to restore."""
        rise = min(1.0, (batch + 1) / self.warmup)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, batch / max(1, self.length))))
        return self.learning_rate * max(0.02, rise * fall)

    def train_batch(self, batch: pytorch.TorchData, epoch_idx: int, batch_idx: int) -> dict[str, torch.Tensor]:
        pictures, labels = batch  # type: ignore[misc]
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(batch_idx)
        loss = torch.nn.functional.cross_entropy(
            self.model(pictures), labels, weight=self.weights, label_smoothing=self.smoothing
        )
        self.context.backward(loss)
        self.context.step_optimizer(self.optimizer)
        return {"loss": loss}

    def evaluate_batch(self, batch: pytorch.TorchData) -> dict[str, Any]:
        pictures, labels = batch  # type: ignore[misc]
        outputs = self.model(pictures)
        loss = torch.nn.functional.cross_entropy(outputs, labels, reduction="sum")
        self.scores.update(labels, outputs.argmax(dim=1), float(loss))
        return {}


def _has_config(context: pytorch.PyTorchTrialContext) -> bool:
    try:
        return bool(context.get_experiment_config())
    except ValueError:
        # Loaded from a checkpoint without an experiment: the hyperparameters are all there is.
        return False


def _searcher(context: pytorch.PyTorchTrialContext) -> dict[str, Any]:
    return (context.get_experiment_config().get("searcher") or {}) if _has_config(context) else {}


def _length(context: pytorch.PyTorchTrialContext) -> int:
    """Total number of batches, for the learning rate schedule."""
    wanted = _searcher(context).get("max_length")
    if isinstance(wanted, dict):
        wanted = wanted.get("batches")
    return int(wanted) if isinstance(wanted, (int, float)) else int(context.get_hparams().get("batches", 200))


def _workers() -> int:
    return min(4, max(0, (os.cpu_count() or 1) - 1))
