"""Train block 5 of VGG16 and a small head to tell paintings from photographs.

Reads ``data/features/`` and ``data/weights/vgg16.safetensors`` (where block 5 starts). Writes
``data/models/classifier.safetensors`` (block 5 and head of the epoch with the lowest validation loss),
``data/metrics/finetune.json``, ``data/plots/training.csv`` and, while it runs, ``data/models/checkpoints/``: a run that
was killed continues after its last whole epoch, provided that parameters and features are still the same.

    python -m pipeline.stages.finetune
"""

import argparse
import hashlib
import logging
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader, Subset

from pipeline.classification import POSITIVE
from pipeline.console import UserError, progress, run
from pipeline.device import loader_workers, network_dtype, pick_device
from pipeline.files import write_json
from pipeline.finetuning import FeatureRows, Finetuner, History, RandomViews, finished_epochs
from pipeline.params import Params, load_params
from pipeline.tables import read_table
from pipeline.vgg import VGG16, load_network, save_tensors

FEATURES = Path("data/features/features.npy")
INDEX = Path("data/features/index.csv")
WEIGHTS = Path("data/weights/vgg16.safetensors")
CHECKPOINTS = Path("data/models/checkpoints")
BEST, LAST = CHECKPOINTS / "best.ckpt", CHECKPOINTS / "last.ckpt"
MODEL = Path("data/models/classifier.safetensors")
CURVE = Path("data/plots/training.csv")
METRICS = Path("data/metrics/finetune.json")
CODE = [Path(__file__).parents[1] / name for name in ("finetuning.py", "stages/finetune.py", "vgg.py")]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """Which rows of the features are trained on, image by image, and which are validated on."""

    targets: list[float]
    train: list[list[int]]
    validation: list[int]

    @property
    def positive_weight(self) -> float:
        """Photographs per painting: what makes both classes count the same."""
        paintings = sum(self.targets[views[0]] for views in self.train)
        return (len(self.train) - paintings) / paintings


def main(argv: Sequence[str]) -> None:
    """Train, or go on with a training that was stopped."""
    argparse.ArgumentParser(prog="finetune", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    pl.seed_everything(params.finetune.seed, workers=True, verbose=False)
    rows = read_rows()
    network = VGG16(params.finetune.dropout, first_block=5)
    network.load_state_dict(load_network(WEIGHTS).trainable())
    module = Finetuner(network.to(memory_format=torch.channels_last), params.finetune, rows.positive_weight)

    finished = finished_epochs(LAST, fingerprint(params))
    if not finished:
        shutil.rmtree(CHECKPOINTS, ignore_errors=True)
    log.info("%d images to train on, %d to validate on", len(rows.train), len(rows.validation))
    if finished:
        log.info("continuing after epoch %d", finished)
    curve = fit(module, rows, params, finished)

    best = min(curve, key=lambda row: row["validation_loss"])
    module.load_state_dict(torch.load(BEST, map_location="cpu", weights_only=True)["state_dict"])
    metadata = {"crop_px": str(params.features.crop_px), "positive": POSITIVE, "epoch": f"{best['epoch']:.0f}"}
    save_tensors(MODEL, network.trainable(), metadata)
    write_metrics(best, curve)
    LAST.unlink()
    log.info("%s is epoch %d of %d", MODEL, best["epoch"], len(curve))


def read_rows() -> Rows:
    """The index of the features; raises :class:`UserError` if it lacks a class or does not fit the array."""
    index = read_table(INDEX)
    try:
        count = len(np.load(FEATURES, mmap_mode="r"))
    except (OSError, ValueError, EOFError):
        count = 0
    if count != len(index):
        raise UserError(f"{FEATURES} does not hold the {len(index)} rows of {INDEX}; run `dvc repro features`")
    for split in ("train", "validation"):
        labels = {entry["label"] for entry in index if entry["split"] == split}
        if len(labels) != 2:
            found = f"only images of class {labels.pop()}" if labels else "no images"
            raise UserError(f"{INDEX} has {found} in its {split} split; raise crawl.per_class and run `dvc repro`")
    views: dict[str, list[int]] = {}
    for row, entry in enumerate(index):
        if entry["split"] == "train":
            views.setdefault(entry["path"], []).append(row)
    return Rows(
        targets=[float(entry["label"] == POSITIVE) for entry in index],
        train=list(views.values()),
        validation=[row for row, entry in enumerate(index) if entry["split"] == "validation"],
    )


def fingerprint(params: Params) -> str:
    """Hash of all that decides what training does: parameters, code and, by their checksums in the index, features."""
    digest = hashlib.sha256(f"{params.finetune} {params.features}".encode())
    for path in (INDEX, *CODE):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def fit(module: Finetuner, rows: Rows, params: Params, finished: int) -> list[dict[str, float]]:
    """Train on after ``finished`` epochs until the validation loss no longer falls; returns the rows of the curve.

    Writes ``BEST`` and ``LAST`` after every epoch.
    """
    settings = params.finetune
    dataset = FeatureRows(FEATURES, rows.targets)
    workers = loader_workers()
    train = DataLoader(
        dataset,
        settings.batch_size,
        sampler=RandomViews(rows.train, settings.seed, finished),
        num_workers=workers,
        persistent_workers=True,
    )
    validation = DataLoader(
        Subset(dataset, rows.validation), settings.batch_size, num_workers=workers, persistent_workers=True
    )
    # Two of them, for one that keeps the best writes its "last" only when that is the best.
    checkpoint = partial(ModelCheckpoint, CHECKPOINTS, enable_version_counter=False, save_on_train_epoch_end=True)
    best = checkpoint(BEST.stem, monitor="validation_loss", save_weights_only=True)
    last = checkpoint(LAST.stem)
    stopping = EarlyStopping("validation_loss", patience=settings.patience_epochs)
    steps = len(train)
    bar = progress(total=settings.max_epochs * steps, initial=finished * steps, unit="step", description="fine-tuning")
    history = History(fingerprint(params), CURVE, bar)
    device = pick_device()
    trainer = pl.Trainer(
        accelerator=device.type,
        devices=1,
        precision="bf16-mixed" if network_dtype(device) == torch.bfloat16 else "32-true",
        max_epochs=settings.max_epochs,
        callbacks=[history, stopping, best, last],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        deterministic="warn",
    )
    try:
        with bar, warnings.catch_warnings():
            # A run is resumed from the folder that Lightning would rather see empty; the other is Lightning's own.
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")
            trainer.fit(module, train, validation, ckpt_path=LAST if finished else None, weights_only=True)
    except SIGTERMException:
        sys.exit(143)  # it would exit with 0, as if the training were complete
    return history.rows


def write_metrics(best: dict[str, float], curve: list[dict[str, float]]) -> None:
    """Write ``METRICS``."""
    metrics = {
        "best_epoch": best["epoch"],
        "validation_loss": best["validation_loss"],
        "validation_accuracy": best["validation_accuracy"],
        "epochs": len(curve),
        "seconds": round(sum(row["seconds"] for row in curve), 1),
    }
    write_json(METRICS, metrics)


if __name__ == "__main__":
    run(main)
