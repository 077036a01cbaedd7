"""Train what the classifier is compared with, and every method once for each source, that source left out.

Reads ``data/prepare/accepted.csv``, ``data/features/``, the images (for the recipe of 2016, which sees them at another
size) and ``data/weights/vgg16.safetensors``. Writes ``data/predictions/compare.csv``: what each method says of the test
split and, trained without a source altogether, of all images of that source. Every training that is finished is kept
in ``data/work/compare``, so a run that was killed repeats only the one that it was at.

    python -m pipeline.stages.compare
"""

import argparse
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.baselines import SIDE_PX, train_original
from pipeline.caching import Cache, cache_features, open_features, verify_features
from pipeline.console import run
from pipeline.device import network_dtype, pick_device
from pipeline.finetuning import PREDICTION_COLUMNS, Rows, describe_predictions
from pipeline.params import Params, load_params
from pipeline.probe import fit_probe
from pipeline.tables import read_table, write_table
from pipeline.training import Task, calibrate, finetune, fingerprint, pool_features, predict_logits
from pipeline.trunk import Row
from pipeline.vgg import load_network, load_top

FOLDER = Path("data/features")
WEIGHTS = Path("data/weights/vgg16.safetensors")
WORK = Path("data/work/compare")
ORIGINALS = WORK / "originals"
PREDICTIONS = Path("data/predictions/compare.csv")
COLUMNS = ("method", "left_out", *PREDICTION_COLUMNS)
CODE = [Path(__file__), Path(__file__).parents[1] / "baselines.py"]

Answer = Mapping[str, object]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """One way to divide the images: by the random split, or with the source ``left_out`` kept for judging."""

    left_out: str

    def train(self, rows: Rows) -> NDArray[np.bool_]:
        """Mask of the rows that are trained on: not with a style of the source that is left out either."""
        unseen = (rows.sources != self.left_out) & ((rows.lenders != self.left_out) | (rows.lenders == ""))
        return np.asarray((rows.splits == "train") & unseen)

    def validation(self, rows: Rows) -> NDArray[np.bool_]:
        """Mask of the rows that choose the epoch."""
        return np.asarray((rows.splits == "validation") & rows.plain & (rows.sources != self.left_out))

    def judged(self, rows: Rows) -> NDArray[np.intp]:
        """The rows whose predictions count."""
        chosen = rows.sources == self.left_out if self.left_out else rows.splits == "test"
        return np.flatnonzero(chosen & rows.plain)


def main(argv: Sequence[str]) -> None:
    """Train all of them, or those that are still missing."""
    argparse.ArgumentParser(prog="compare", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    pl.seed_everything(params.finetune.seed, workers=True, verbose=False)
    verify_features(FOLDER)
    cache = open_features(FOLDER)
    rows = Rows.of(cache)
    for split in ("train", "validation", "test"):
        rows.require_both_classes(rows.splits == split, f"in the {split} split")
    work = start_work(fingerprint(cache, load_top(WEIGHTS), params.finetune, params.compare, code=CODE))
    originals = cache_originals(cache, params)
    pooled = pool_features(load_top(WEIGHTS), cache.features, np.arange(len(rows.targets)))
    parts: list[Path] = []
    for fold in find_folds(rows):
        name = fold.left_out or "random-split"
        trainings: dict[str, Callable[[], Iterator[Answer]]] = {
            "linear-probe": partial(train_probe, rows, pooled, fold, params),
            "original": partial(train_originals, originals, fold, params),
        }
        if fold.left_out:  # else it is what the stage finetune trains
            trainings["ours"] = partial(train_ours, cache, rows, pooled, fold, work / "training", params)
        for method, training in trainings.items():
            parts.append(work / f"{method}-{name}.csv")
            if not parts[-1].exists():
                log.info("%s, %s", method, f"{fold.left_out} left out" if fold.left_out else "random split")
                write_table(parts[-1], COLUMNS, training())
    write_table(PREDICTIONS, COLUMNS, (row for part in parts for row in read_table(part)))
    shutil.rmtree(WORK)


def start_work(fingerprint: str) -> Path:
    """The folder of the trainings that are finished; those of other parameters, code or features are deleted."""
    work = WORK / fingerprint[:16]
    work.mkdir(parents=True, exist_ok=True)
    for folder in WORK.iterdir():
        if folder not in (work, ORIGINALS):
            shutil.rmtree(folder)
    return work


def find_folds(rows: Rows) -> list[Fold]:
    """The random split, and every source without which both classes are left to train on and to validate on."""
    folds = [Fold("")]
    for source in sorted(set(rows.sources.tolist())):
        fold = Fold(source)
        masks = (fold.train(rows) & ~rows.imitations, fold.validation(rows))
        if all(len(set(rows.targets[mask].tolist())) == 2 for mask in masks):
            folds.append(fold)
        else:
            log.info("%s is not left out: without it a class has no images", source)
    return folds


def train_probe(rows: Rows, pooled: Tensor, fold: Fold, params: Params) -> Iterator[Answer]:
    """Logistic regression on the features of plain VGG16, of the images as they are."""
    chosen = torch.from_numpy(fold.train(rows) & rows.plain)
    targets = torch.from_numpy(rows.targets)
    weight, bias = fit_probe(pooled[chosen], targets[chosen], torch.ones(int(chosen.sum())), params.compare.probe_l2)
    judged = fold.judged(rows)
    yield from answers("linear-probe", fold, rows, judged, (pooled[judged] @ weight + bias).sigmoid())


def train_originals(originals: Cache, fold: Fold, params: Params) -> Iterator[Answer]:
    """Both steps of the recipe of 2016."""
    rows = Rows.of(originals)
    chosen, judged = np.flatnonzero(fold.train(rows)), fold.judged(rows)
    found = train_original(load_top(WEIGHTS), originals.features, rows, chosen, judged, params.compare)
    for method, probabilities in found.items():
        yield from answers(method, fold, rows, judged, probabilities)


def train_ours(cache: Cache, rows: Rows, pooled: Tensor, fold: Fold, folder: Path, params: Params) -> Iterator[Answer]:
    """What the stage ``finetune`` does, without a source."""
    network = load_top(WEIGHTS, dropout=params.finetune.dropout)
    task = Task(
        features=cache.features,
        rows=rows,
        train=fold.train(rows),
        validation=fold.validation(rows),
        folder=folder,
        fingerprint=fingerprint(cache, network, params.finetune, fold.left_out),
        description=f"without {fold.left_out}",
    )
    finetune(network, task, pooled, params.finetune)
    calibrate(network, task)
    judged = fold.judged(rows)
    yield from answers("ours", fold, rows, judged, predict_logits(network, cache.features, judged).sigmoid())


def answers(method: str, fold: Fold, rows: Rows, judged: NDArray[np.intp], probabilities: Tensor) -> Iterator[Answer]:
    """Rows of the table."""
    for answer in describe_predictions(rows, judged, probabilities):
        yield {"method": method, "left_out": fold.left_out, **answer}


def cache_originals(cache: Cache, params: Params) -> Cache:
    """The trunk's features of every image as it is, at the size of the recipe of 2016."""
    images = [
        Row(entry["path"], entry["source"], entry["label"], entry["split"], 0, "image")
        for entry in cache.index
        if (entry["view"], entry["kind"]) == ("0", "image")
    ]
    device = pick_device()
    network = load_network(WEIGHTS).to(device).cast_trunk(network_dtype(device))
    settings, workers = params.features, params.machine.workers
    cache_features(
        network, images, ORIGINALS, crop_px=SIDE_PX, dtype=settings.dtype, seed=settings.seed, workers=workers
    )
    return open_features(ORIGINALS)


if __name__ == "__main__":
    run(main)
