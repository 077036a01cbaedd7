"""Training of block 5 and the head from cached features: data, Lightning module and per-epoch history."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from torchmetrics.classification import BinaryAccuracy
from tqdm import tqdm

from pipeline.console import UserError
from pipeline.params import Finetune
from pipeline.tables import write_table
from pipeline.vgg import VGG16

CURVE_COLUMNS = ("epoch", "train_loss", "validation_loss", "validation_accuracy", "seconds")

log = logging.getLogger(__name__)


class FeatureRows(Dataset[tuple[Tensor, Tensor]]):
    """Rows of a memory-mapped array with their targets: features (512, h, w) as they are cached, and 0.0 or 1.0."""

    def __init__(self, path: Path, targets: Sequence[float]) -> None:
        self._path = path
        self._targets = targets

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        features = np.load(self._path, mmap_mode="r")  # mapped anew, for a map cannot travel to a spawned worker
        return torch.from_numpy(features[row].copy()), torch.tensor(self._targets[row])


class RandomViews(Sampler[int]):
    """One random row of every image in random order; what epoch n draws depends on the seed and n alone.

    Lightning sets the epoch before each but the first, whose rows it asks for too early: give that one as ``epoch``.
    """

    def __init__(self, rows_of_images: Sequence[Sequence[int]], seed: int, epoch: int = 0) -> None:
        self._rows = rows_of_images
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._rows)

    def set_epoch(self, epoch: int) -> None:
        """Choose what the next iteration draws."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng((self._seed, self._epoch))
        for image in random.permutation(len(self._rows)):
            yield int(random.choice(self._rows[image]))


class Finetuner(pl.LightningModule):
    """Trains a :class:`VGG16` that consists of block 5 and the head.

    Binary cross-entropy with logits, paintings weighted by ``positive_weight``; AdamW under a one-cycle schedule.
    """

    def __init__(self, network: VGG16, params: Finetune, positive_weight: float) -> None:
        super().__init__()
        self.network = network
        self._params = params
        self._loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(positive_weight))
        self._accuracy = BinaryAccuracy()

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of one batch of random views."""
        features, targets = batch
        torch.manual_seed(self._params.seed + self.global_step)  # a resumed run drops what an undisturbed one does
        loss: Tensor = self._loss(self.network.classify(features), targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(targets))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Loss and accuracy on the centres of the validation images."""
        features, targets = batch
        logits = self.network.classify(features)
        self._accuracy(logits.sigmoid(), targets.int())
        self.log("validation_loss", self._loss(logits, targets), batch_size=len(targets))
        self.log("validation_accuracy", self._accuracy, batch_size=len(targets))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW; the learning rate rises to ``learning_rate`` and falls to almost 0, changing with every step."""
        rate = self._params.learning_rate
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=self._params.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class History(pl.Callback):
    """The curve of every epoch: kept in the checkpoint, written to ``curve`` and logged; ``bar`` counts steps.

    ``fingerprint`` names what the run was started with; :func:`finished_epochs` compares it.
    """

    def __init__(self, fingerprint: str, curve: Path, bar: "tqdm[Any]") -> None:
        self.rows: list[dict[str, float]] = []
        self._fingerprint = fingerprint
        self._curve = curve
        self._bar = bar
        self._started = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"fingerprint": self._fingerprint, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the curve of the run that wrote the checkpoint."""
        self.rows = state_dict["rows"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End at once what had ended early before it was killed."""
        stopping = trainer.early_stopping_callback
        trainer.should_stop = stopping is not None and stopping.stopped_epoch > 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Move the progress bar."""
        self._bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch to the curve; raises :class:`UserError` for a loss that is not a number."""
        metrics = {name: float(trainer.callback_metrics[name]) for name in CURVE_COLUMNS[1:-1]}
        epoch = trainer.current_epoch + 1
        if not all(map(math.isfinite, metrics.values())):
            raise UserError(f"the loss of epoch {epoch} is not a number; lower finetune.learning_rate")
        seconds = time.monotonic() - self._started
        self.rows.append({"epoch": epoch, **metrics, "seconds": round(seconds, 3)})
        write_table(self._curve, CURVE_COLUMNS, self.rows)
        log.info(
            "epoch %d of at most %s: loss %.4f, validation loss %.4f, validation accuracy %.1f%%, %.1f s",
            *(epoch, trainer.max_epochs, metrics["train_loss"], metrics["validation_loss"]),
            *(100 * metrics["validation_accuracy"], seconds),
        )


def finished_epochs(checkpoint: Path, fingerprint: str) -> int:
    """Epochs behind ``checkpoint``; 0 unless it is there, whole, and of a run with the same ``fingerprint``."""
    if not checkpoint.exists():
        return 0
    try:
        callbacks = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["callbacks"]
        history = callbacks[History.__qualname__]
        return len(history["rows"]) if history["fingerprint"] == fingerprint else 0
    except Exception:  # a file that was cut short, or is no checkpoint at all, fails in many ways
        log.warning("%s cannot be read; training starts anew", checkpoint)
        return 0
