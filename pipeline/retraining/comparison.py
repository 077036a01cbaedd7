"""Judge the frozen test images by a new model and by the one in service.

Reads ``data/frozen.csv``, ``data/prepare/accepted.csv`` and ``data/weights/vgg16.safetensors``. Writes the figures of
both, of all images and source by source, as JSON. A process of its own, so that no memory of a GPU outlives it.

    python -m pipeline.retraining.comparison --output comparison.json --service service/current/classifier.safetensors
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.classification import classify, load_classifier
from pipeline.console import UserError, run
from pipeline.files import write_json
from pipeline.installed import MODEL, WEIGHTS
from pipeline.params import load_params
from pipeline.predictions import Predictions
from pipeline.retraining.frozen import TABLE, check_unseen
from pipeline.scores import figures
from pipeline.tables import read_table

Figures = dict[str, float]


def main(argv: Sequence[str]) -> None:
    """Compare, and write the figures."""
    parser = argparse.ArgumentParser(prog="comparison", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="the figures, as JSON")
    parser.add_argument("--service", type=Path, help="the model in service, if there is one")
    arguments = parser.parse_args(argv)
    params = load_params()
    check_unseen(params.prepare.near_duplicate_bits)
    rows, bins = read_table(TABLE), params.evaluate.calibration_bins
    judged = {"new": judge(MODEL, rows, bins), "service": arguments.service and judge(arguments.service, rows, bins)}
    write_json(arguments.output, judged)


def judge(model: Path, rows: Sequence[Mapping[str, str]], bins: int) -> dict[str, Figures | dict[str, Figures]]:
    """The figures of one model, under ``all`` and ``sources``; raises :class:`UserError` for an unreadable image."""
    network, crop_px = load_classifier(WEIGHTS, model)
    probabilities = []
    for _, probability in classify(network, [Path(row["path"]) for row in rows], crop_px):
        if isinstance(probability, UserError):
            raise probability
        probabilities.append(round(probability, 6))
    paths, sources_of, labels = (np.array([row[name] for row in rows]) for name in ("path", "source", "label"))
    predictions = Predictions(paths, sources_of, labels, np.array(probabilities))
    sources = {source: measure(images, bins) for source, images in predictions.by_source().items()}
    return {"all": measure(predictions, bins), "sources": sources}


def measure(predictions: Predictions, bins: int) -> Figures:
    """The number of images, and the figures of :func:`pipeline.scores.figures`."""
    values = figures(predictions, bins, np.ones((1, len(predictions))))
    return {"images": len(predictions)} | {name: round(float(value[0]), 6) for name, value in values.items()}


if __name__ == "__main__":
    run(main)
