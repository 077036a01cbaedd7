"""Train block 5 of VGG16 and a small head to tell paintings from photographs.

Reads ``data/features/`` and ``data/weights/vgg16.safetensors`` (where block 5 starts). Writes
``data/models/classifier.safetensors`` (block 5 and head of the epoch with the lowest validation loss, calibrated),
what it says of the validation and test images in ``data/predictions/finetune.csv``, ``data/metrics/finetune.json``,
``data/plots/training.csv`` and ``data/models/checkpoints/``: a run that was killed continues after its last whole
epoch, provided that parameters and features are still the same.

    python -m pipeline.stages.finetune
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl

from pipeline.caching import open_features, verify_features
from pipeline.classification import POSITIVE
from pipeline.console import run
from pipeline.files import write_json
from pipeline.finetuning import CURVE_COLUMNS, PREDICTION_COLUMNS, Rows, describe_predictions
from pipeline.parallel import Share
from pipeline.params import load_params
from pipeline.tables import write_table
from pipeline.training import Task, calibrate, finetune, fingerprint, pool_features, predict_logits
from pipeline.vgg import load_top, save_tensors

FOLDER = Path("data/features")
WEIGHTS = Path("data/weights/vgg16.safetensors")
CHECKPOINTS = Path("data/models/checkpoints")
MODEL = Path("data/models/classifier.safetensors")
PREDICTIONS = Path("data/predictions/finetune.csv")
CURVE = Path("data/plots/training.csv")
METRICS = Path("data/metrics/finetune.json")

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Train, or go on with a training that was stopped."""
    argparse.ArgumentParser(prog="finetune", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    share = Share.of(params.machine)
    share.check(params.finetune.batch_size, "finetune.batch_size")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    pl.seed_everything(params.finetune.seed, workers=True, verbose=False)
    if share.leads:
        verify_features(FOLDER)
    cache = open_features(FOLDER)
    rows = Rows.of(cache)
    network = load_top(WEIGHTS, dropout=params.finetune.dropout)
    task = Task(
        features=cache.features,
        rows=rows,
        train=rows.splits == "train",
        validation=(rows.splits == "validation") & rows.plain,
        folder=CHECKPOINTS,
        fingerprint=fingerprint(cache, network, params.finetune),
        description="fine-tuning",
    )
    images = (int((mask & rows.plain).sum()) for mask in (task.train, task.validation))
    log.info("%d images to train on, %d to validate on", *images)
    pooled = pool_features(network, cache.features, np.arange(len(rows.targets))) if share.leads else None
    curve = finetune(network, task, pooled, params.finetune, share)
    temperature = calibrate(network, task)

    best = min(curve, key=lambda row: row["validation_loss"])
    judged = np.flatnonzero(rows.plain & (rows.splits != "train"))
    probabilities = predict_logits(network, cache.features, judged).sigmoid()
    write_table(PREDICTIONS, PREDICTION_COLUMNS, describe_predictions(rows, judged, probabilities))
    metadata = {"crop_px": str(params.features.crop_px), "positive": POSITIVE, "epoch": f"{best['epoch']:.0f}"}
    save_tensors(MODEL, network.state_dict(), metadata)
    write_table(CURVE, CURVE_COLUMNS, curve)
    write_json(
        METRICS,
        {
            "best_epoch": best["epoch"],
            "validation_loss": best["validation_loss"],
            "validation_accuracy": best["validation_accuracy"],
            "temperature": round(temperature, 4),
            "epochs": len(curve),
            "seconds": round(sum(row["seconds"] for row in curve), 1),
        },
    )
    task.last.unlink()
    log.info("%s is epoch %d of %d", MODEL, best["epoch"], len(curve))


if __name__ == "__main__":
    run(main)
