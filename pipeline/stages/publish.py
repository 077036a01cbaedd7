"""Train the model that comes with the installation: on every image of a full run, its test images included.

Run by hand after a full `dvc repro`. Reads ``data/features/``, ``data/weights/vgg16.safetensors``, the model card, and
what ``finetune`` and ``compare`` found (``data/metrics/finetune.json``, ``data/predictions/compare.csv``); writes block
5 and the head in half precision to ``pipeline/pretrained/``, with the card.

Its pictures will come from anywhere, so its probabilities are calibrated on sources that were left out of training.

    python -m pipeline.stages.publish --about data/dataset/README.md
"""

import argparse
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytorch_lightning as pl

from pipeline.caching import open_features, verify_features
from pipeline.classification import POSITIVE
from pipeline.console import UserError, run
from pipeline.files import write_text
from pipeline.finetuning import Rows
from pipeline.params import load_params
from pipeline.predictions import Predictions, unseen_temperature
from pipeline.tables import read_table
from pipeline.training import Task, finetune, fingerprint, pool_features, scale_head
from pipeline.vgg import load_top, save_tensors

FOLDER = Path("data/features")
WEIGHTS = Path("data/weights/vgg16.safetensors")
METRICS = Path("data/metrics/finetune.json")
COMPARED = Path("data/predictions/compare.csv")
CARD = Path("data/models/model_card.md")
WORK = Path("data/work/publish")
PRETRAINED = Path(__file__).parents[1] / "pretrained"
DATA = "## Training data"
NOTE = """
> **The file beside this card** was trained in the same way on all images of this run, those of the test split
> included, for as many epochs as were best there ({epochs}). The figures below are of the models of the run, none of
> which had seen the images that it judges. Its logits are divided by {temperature:.2f}, which was fitted on sources
> left out: its probabilities are meant for pictures from anywhere, and are too modest for pictures of these sources.
"""

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Train for as many epochs as were best, and calibrate."""
    parser = argparse.ArgumentParser(prog="publish", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--about", type=Path, required=True, help="Markdown: whose pictures they are, under which terms"
    )
    about, card = (read_text(path) for path in (parser.parse_args(argv).about, CARD))
    params = load_params()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    pl.seed_everything(params.finetune.seed, workers=True, verbose=False)
    verify_features(FOLDER)
    cache = open_features(FOLDER)
    rows = Rows.of(cache)
    found = json.loads(read_text(METRICS))
    temperature = found["temperature"] * unseen_temperature(read_left_out())
    epochs = int(found["best_epoch"])
    everything = np.ones(len(rows.targets), bool)
    network = load_top(WEIGHTS, dropout=params.finetune.dropout)
    task = Task(
        features=cache.features,
        rows=rows,
        train=everything,
        validation=rows.plain,
        folder=WORK,
        fingerprint=fingerprint(cache, network, params.finetune, epochs),
        description="training on everything",
    )
    pooled = pool_features(network, cache.features, np.arange(len(everything)))
    finetune(network, task, pooled, replace(params.finetune, max_epochs=epochs, patience_epochs=epochs))
    scale_head(network, temperature)
    metadata = {"crop_px": str(params.features.crop_px), "positive": POSITIVE, "epoch": str(epochs)}
    tensors = {name: values.half() for name, values in network.state_dict().items()}
    save_tensors(PRETRAINED / "classifier.safetensors", tensors, metadata)
    for heading, text in (("## Model details", NOTE.format(epochs=epochs, temperature=temperature)), (DATA, about)):
        card = card.replace(f"{heading}\n", f"{heading}\n\n{text.strip()}\n", 1)
    write_text(PRETRAINED / "model_card.md", card)
    shutil.rmtree(WORK)
    log.info("%s: %d epochs, logits divided by %.2f", PRETRAINED, epochs, temperature)


def read_text(path: Path) -> str:
    """Raises :class:`UserError` for a file that is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; this takes a full run of `dvc repro`, and the file that --about names"
        ) from None


def read_left_out() -> Predictions:
    """What our models predicted of the sources that were left out of their training."""
    ours = [row for row in read_table(COMPARED) if row["method"] == "ours" and row["left_out"]]
    if not ours:
        raise UserError(
            f"{COMPARED} has no source that was left out; a model for any picture needs at least two sources"
        )
    paths, sources, labels = (np.array([row[name] for row in ours]) for name in ("path", "source", "label"))
    return Predictions(paths, sources, labels, np.array([float(row["probability"]) for row in ours]))


if __name__ == "__main__":
    run(main)
