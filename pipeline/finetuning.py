"""Training of block 5 and the head from cached features: data, Lightning module and per-epoch history."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAccuracy
from tqdm import tqdm

from pipeline.caching import Cache
from pipeline.classification import NEGATIVE, POSITIVE
from pipeline.console import UserError
from pipeline.device import loader_workers, pick_device
from pipeline.parallel import ALONE, Share, SharedBatches
from pipeline.params import Finetune
from pipeline.tables import write_table
from pipeline.vgg import VGG16

CURVE_COLUMNS = ("epoch", "train_loss", "validation_loss", "validation_accuracy", "seconds")
PREDICTION_COLUMNS = ("path", "source", "label", "split", "probability")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """What the index of the cache says of each of its rows, as arrays (rows,)."""

    paths: NDArray[np.str_]
    sources: NDArray[np.str_]
    splits: NDArray[np.str_]
    targets: NDArray[np.float32]
    """1 for a painting, 0 for a photograph."""
    plain: NDArray[np.bool_]
    """Whether the row is an image as it is: neither an augmented view nor an imitation."""
    kinds: NDArray[np.str_]
    """``image``, or of an imitation ``filtered`` or ``styled``."""
    lenders: NDArray[np.str_]
    """The source of the painting whose style an imitation took, else empty."""

    @classmethod
    def of(cls, cache: Cache) -> Self:
        """The rows of a cache."""

        def column(name: str) -> NDArray[np.str_]:
            return np.array([entry[name] for entry in cache.index])

        return cls(
            paths=column("path"),
            sources=column("source"),
            splits=column("split"),
            targets=(column("label") == POSITIVE).astype(np.float32),
            plain=(column("view") == "0") & (column("kind") == "image"),
            kinds=column("kind"),
            lenders=column("lender"),
        )

    @property
    def imitations(self) -> NDArray[np.bool_]:
        """Whether the row is of an imitation."""
        return np.asarray(self.kinds != "image")

    def require_both_classes(self, chosen: NDArray[np.bool_], what: str) -> None:
        """Raise :class:`UserError` unless paintings and photographs are among the images that were ``chosen``."""
        labels = set(self.targets[chosen & ~self.imitations].tolist())
        if len(labels) < 2:
            found = f"only images of class {POSITIVE if 1.0 in labels else NEGATIVE}" if labels else "no images"
            raise UserError(f"there are {found} {what}; raise crawl.per_class, or add a source, and run `dvc repro`")

    def shares(self, chosen: NDArray[np.bool_], imitation_share: float) -> NDArray[np.float64]:
        """How often each row is drawn (rows,), adding up to 1: none but those ``chosen``.

        Both classes count the same. The sources of a class count by the square root of their rows: between all the same
        which makes too much of a small one, and by their rows, which lets a large one outvote the others. Imitations
        are ``imitation_share`` of the paintings, each kind of them as much.
        """
        shares = np.zeros(len(chosen))
        made = np.unique(self.kinds[chosen & self.imitations]).tolist()
        painted = 1 - imitation_share if made else 1.0
        groups = [(0.0, "image", 1 / 2), (1.0, "image", painted / 2)]
        groups += [(1.0, kind, imitation_share / 2 / len(made)) for kind in made]
        for target, kind, share in groups:
            group = chosen & (self.targets == target) & (self.kinds == kind)
            sources, counts = np.unique(self.sources[group], return_counts=True)
            for source, count in zip(sources, counts, strict=True):
                members = group & (self.sources == source)
                shares[members] = share * np.sqrt(count) / np.sqrt(counts).sum() / count
        return shares


def describe_predictions(rows: Rows, judged: NDArray[np.intp], probabilities: Tensor) -> Iterator[dict[str, object]]:
    """What is written of the images ``judged`` (positions), with the probability that each is a painting."""
    for row, probability in zip(judged.tolist(), probabilities.tolist(), strict=True):
        label = POSITIVE if rows.targets[row] else NEGATIVE
        image = {"path": rows.paths[row], "source": rows.sources[row], "label": label, "split": rows.splits[row]}
        yield image | {"probability": f"{probability:.6f}"}


class FeatureRows(Dataset[tuple[Tensor, Tensor]]):
    """The chosen rows of a memory-mapped array with their targets: features (512, h, w), and 0.0 or 1.0."""

    def __init__(self, path: Path, rows: NDArray[np.intp], targets: NDArray[np.float32]) -> None:
        self._path = path
        self._rows = rows
        self._targets = targets

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        features = np.load(self._path, mmap_mode="r")  # mapped anew, for a map cannot travel to a spawned worker
        return [
            (torch.from_numpy(features[self._rows[index]].copy()), torch.tensor(self._targets[index]))
            for index in indices
        ]


class RandomRows(Sampler[int]):
    """``count`` positions an epoch, drawn by their ``shares``; what epoch n draws depends on the seed and n alone.

    Lightning sets the epoch before each but the first, whose rows it asks for too early: give that one as ``epoch``.
    """

    def __init__(self, shares: NDArray[np.float64], count: int, seed: int, epoch: int = 0) -> None:
        self._shares = shares
        self._count = count
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Choose what the next iteration draws."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng((self._seed, self._epoch))
        yield from random.choice(len(self._shares), self._count, p=self._shares).tolist()


def load_rows(
    features: Path,
    rows: NDArray[np.intp],
    targets: NDArray[np.float32],
    batch_size: int,
    sampler: Sampler[int] | None,
    share: Share = ALONE,
) -> "DataLoader[tuple[Tensor, Tensor]]":
    """Batches of :class:`FeatureRows` in the order of ``sampler``, or their own; one batch at a time is in memory.

    Of each, this process has its ``share``. A GPU is fed by other processes. Beside a step on a CPU, reading takes no
    time.
    """
    workers = min(loader_workers(), len(rows) // batch_size) if pick_device().type == "cuda" else 0
    dataset = FeatureRows(features, rows, targets)
    order = SequentialSampler(rows) if sampler is None else sampler
    batches = SharedBatches(order, batch_size, share, trained=sampler is not None)
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers, persistent_workers=workers > 0)


class Finetuner(pl.LightningModule):
    """Trains a :class:`VGG16` that consists of block 5 and the head: binary cross-entropy, AdamW, one cycle.

    An epoch has so many ``rows``, of whose batches this process has its ``share``.
    """

    def __init__(self, network: VGG16, params: Finetune, rows: int, share: Share = ALONE) -> None:
        super().__init__()
        self.network = network
        self._params = params
        self._rows = rows
        self._share = share
        self._accuracy = BinaryAccuracy()
        # Lightning's own mean rounds the number of rows, where processes have unequal shares of them.
        self._loss = MeanMetric(nan_strategy=math.nan)  # it stays what it is

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        """Loss of this process's share of a batch."""
        features, targets = batch
        # A resumed run drops what an undisturbed one does.
        torch.manual_seed(self._params.seed + self.global_step * self._share.processes + self._share.rank)
        loss = binary_cross_entropy_with_logits(self.network.classify(features), targets)
        size = self._params.batch_size
        whole = min(size, self._rows - number * size)  # weighs the same for every process, whatever its share
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=whole)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Loss and accuracy on the validation images as they are."""
        features, targets = batch
        logits = self.network.classify(features)
        self._accuracy(logits.sigmoid(), targets.int())
        self._loss(binary_cross_entropy_with_logits(logits, targets), weight=len(targets))
        self.log("validation_loss", self._loss, batch_size=len(targets))
        self.log("validation_accuracy", self._accuracy, batch_size=len(targets))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW; the learning rate rises to ``learning_rate`` and falls to almost 0, changing with every step."""
        rate = self._params.learning_rate
        weight_decay = self._params.weight_decay
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=weight_decay, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class History(pl.Callback):
    """The curve of every epoch: kept in the checkpoint, written to ``curve`` and logged; ``bar`` counts steps.

    ``fingerprint`` names what the run was started with; :func:`pipeline.checkpoints.finished_epochs` compares it.
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
            raise UserError(
                f"the loss of epoch {epoch} is not a number; lower finetune.learning_rate, or make the features anew "
                "with `dvc repro -sf features`"
            )
        seconds = time.monotonic() - self._started
        self.rows.append({"epoch": epoch, **metrics, "seconds": round(seconds, 3)})
        if trainer.is_global_zero:
            write_table(self._curve, CURVE_COLUMNS, self.rows)
        log.info(
            "epoch %d of at most %s: loss %.4f, validation loss %.4f, validation accuracy %.1f%%, %.1f s",
            *(epoch, trainer.max_epochs, metrics["train_loss"], metrics["validation_loss"]),
            *(100 * metrics["validation_accuracy"], seconds),
        )
