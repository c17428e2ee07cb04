"""The trial: network, data, training, and metrics."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

import data
import determined as det
import metrics
import nets
import preprocess
import torch
from determined import pytorch

from pdk_nb.trial_data import remove_secrets
from pdk_nb.trial_log import REFUSAL, TRIAL_LOGGER

log = logging.getLogger(TRIAL_LOGGER)


class Checkpoints(pytorch.PyTorchCallback):
    """Completes every checkpoint: adds what the model reads, and removes secrets."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description

    def on_checkpoint_write_end(self, checkpoint_dir: str) -> None:
        folder = Path(checkpoint_dir)
        (folder / "model.json").write_text(json.dumps(self.description, indent=1))
        remove_secrets(folder)


class ChurnModel(pytorch.PyTorchTrial):
    """Tells apart the classes of rows.

    With the environment variable ``SERVING_MODE=true``, it only builds the network, without data.
    """

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self.context = context
        hparams, config = context.get_hparams(), context.get_experiment_config()
        self.config = dict(config["data"])
        self.classes = [str(each) for each in self.config["classes"]]
        self.columns = self.config["columns"]
        searcher = config.get("searcher") or {}
        resumes = bool(searcher.get("source_checkpoint_uuid"))
        net = nets.ScaledNet(
            preprocess.width(self.columns),
            len(self.classes),
            int(hparams.get("width", 32)),
            float(hparams.get("dropout", 0.0)),
        )
        serving = os.environ.get("SERVING_MODE", "").lower() == "true"
        if not serving:
            self.corpus = self._corpus()
            # When training resumes, the checkpoint's own means and deviations follow: its weights belong to them.
            net.fit(self.corpus.train.inputs)
        self.model = context.wrap_model(net)
        self.learning_rate = float(hparams.get("learning_rate", 0.005))
        if resumes:
            self.learning_rate *= float(hparams.get("warm_start_factor", 0.5))
        self.warmup = max(1, int(hparams.get("warmup_batches", 20)))
        self.optimizer = context.wrap_optimizer(
            torch.optim.AdamW(
                self.model.parameters(), lr=self.learning_rate, weight_decay=float(hparams.get("weight_decay", 0.0))
            )
        )
        if not serving:
            length = searcher.get("max_length")
            length = length.get("batches") if isinstance(length, dict) else length
            self.length = max(1, int(length or hparams.get("batches", 200)))
            self.scores = context.wrap_reducer(metrics.Scores(), name=None, for_training=False)

    def _corpus(self) -> data.Corpus:
        """The rows: fetched once per machine, for all of its slots."""
        try:
            corpus = data.fetch(self.config) if self.context.distributed.local_rank == 0 else None
            corpus = self.context.distributed.broadcast_local(corpus)
            if self.context.distributed.rank == 0:
                data.report(corpus, self.classes)
            data.check(corpus, self.classes)
            return corpus
        except data.UnusableData as error:
            log.error("%s %s", REFUSAL, error)
            raise det.InvalidHP(str(error)) from error

    def build_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
        return {"checkpoints": Checkpoints({"classes": self.classes, "columns": self.columns})}

    def _loader(self, table: data.Table, *, shuffle: bool) -> pytorch.DataLoader:
        rows = torch.utils.data.TensorDataset(table.inputs, table.labels)
        batch = min(self.context.get_per_slot_batch_size(), max(1, len(table)))
        return pytorch.DataLoader(rows, batch_size=batch, shuffle=shuffle)

    def build_training_data_loader(self) -> pytorch.DataLoader:
        return self._loader(self.corpus.train, shuffle=True)

    def build_validation_data_loader(self) -> pytorch.DataLoader:
        return self._loader(self.corpus.held, shuffle=False)

    def _rate(self, batch: int) -> float:
        """Warm up, then follow a cosine down to 1/50. Depends only on the batch number: no state to restore."""
        rise = min(1.0, (batch + 1) / self.warmup)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, batch / self.length)))
        return self.learning_rate * max(0.02, rise * fall)

    def train_batch(self, batch: pytorch.TorchData, epoch_idx: int, batch_idx: int) -> dict[str, torch.Tensor]:
        rows, labels = batch  # type: ignore[misc]
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(batch_idx)
        loss = torch.nn.functional.cross_entropy(self.model(rows), labels)
        self.context.backward(loss)
        self.context.step_optimizer(self.optimizer)
        return {"loss": loss}

    def evaluate_batch(self, batch: pytorch.TorchData) -> dict[str, Any]:
        rows, labels = batch  # type: ignore[misc]
        self.scores.update(labels, self.model(rows))
        return {}
