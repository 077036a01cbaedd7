"""Measure the classifier on images it was not trained on: on a random split, and on sources it has never seen.

Reads ``data/prepare/accepted.csv``, ``data/predictions/finetune.csv`` (this run's model on the validation and test
splits), ``data/predictions/compare.csv`` (the other methods on the test split, and every method on sources that were
left out of its training) and, for the sheet, images. Writes ``data/metrics/classifier.json``;
``data/evaluate/methods.csv``, ``per_source.csv`` and ``worst.csv``; of the test split ``data/plots/confusion.csv`` and
``roc.csv``, and of left-out sources too ``calibration.csv``; ``data/sheets/worst.jpg``; and
``data/models/model_card.md``.

    python -m pipeline.stages.evaluate
"""

import argparse
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchmetrics.functional.classification import binary_roc

from pipeline.console import UserError, run
from pipeline.files import replacing, write_json, write_text
from pipeline.images import contact_sheet, load_rgb
from pipeline.model_card import render_model_card
from pipeline.params import Evaluate, load_params
from pipeline.predictions import PAINTING, Predictions, calibrate_across, read_compared, read_finetuned
from pipeline.scores import Estimates, calibration_curve, measure, measure_left_out, measure_sources
from pipeline.tables import read_table, write_table
from scrapers.items import LABELS

ACCEPTED = Path("data/prepare/accepted.csv")
FINETUNED = Path("data/predictions/finetune.csv")
COMPARED = Path("data/predictions/compare.csv")
METRICS = Path("data/metrics/classifier.json")
METHODS = Path("data/evaluate/methods.csv")
PER_SOURCE = Path("data/evaluate/per_source.csv")
WORST = Path("data/evaluate/worst.csv")
CONFUSION = Path("data/plots/confusion.csv")
ROC = Path("data/plots/roc.csv")
CALIBRATION = Path("data/plots/calibration.csv")
WORST_SHEET = Path("data/sheets/worst.jpg")
MODEL_CARD = Path("data/models/model_card.md")

OURS = "ours"
TITLES = {
    "linear-probe": "Linear probe",
    "head-only": "Fully connected head only, the original's 84% step",
    "original": "Original recipe: 150 px, SGD 1e-4",
    OURS: "Ours",
}
LEFT_OUT_FIGURES = (
    *("mean_balanced_accuracy", "mean_recall_painting", "mean_recall_photo"),
    *("worst_source", "auroc", "calibration_error", "loss"),
)
COMPARED_BY = {
    "random": ("accuracy", "balanced_accuracy", "auroc", "calibration_error"),
    "left_out": ("mean_balanced_accuracy", "worst_source", "worst_source_name", "auroc", "calibration_error"),
}
"""What stands in the table of methods; the first figure of each protocol with its interval."""
SHEET_COLUMNS, SHEET_TILE_PX = 6, 192

Figures = dict[str, Any]
"""Figures by name and, under ``intervals``, the low and the high end of each."""

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Measure the classifier beside the other methods."""
    argparse.ArgumentParser(prog="evaluate", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    settings = params.evaluate
    accepted = read_accepted()
    splits = read_finetuned(FINETUNED, accepted)
    random, left_out = read_compared(COMPARED, accepted, list(TITLES), OURS)
    random[OURS] = splits["test"]
    if left_out:
        left_out[OURS] = calibrate_across(left_out[OURS])
    protocols = {"random split": random[OURS]} | ({"left out": left_out[OURS]} if left_out else {})

    metrics = measure_methods(random, left_out, settings)
    metrics["random"]["validation"] = random_figures(splits["validation"], settings)
    del metrics["random"]["validation"]["intervals"]  # the model was chosen by this split, which no interval shows
    methods = [{"method": method, "title": TITLES[method], **row} for method, row in metrics["methods"].items()]
    sources = [row for name, predictions in protocols.items() for row in source_rows(name, predictions, settings)]

    write_table(METHODS, methods[0], methods)
    write_table(PER_SOURCE, sources[0], sources)
    write_plots(protocols, settings.calibration_bins)
    write_worst(left_out.get(OURS, random[OURS]), settings.worst_images)
    write_json(METRICS, metrics)
    write_text(MODEL_CARD, render_model_card(params, metrics, methods, sources, accepted))
    log.info("random split: accuracy %.4f", metrics["random"]["test"]["accuracy"])
    if left_out:
        unseen = metrics["left_out"]
        log.info("sources left out: worst %.4f (%s)", unseen["worst_source"], unseen["worst_source_name"])


def read_accepted() -> list[dict[str, str]]:
    """The accepted images; raises :class:`UserError` if a split that is measured lacks a class."""
    accepted = read_table(ACCEPTED)
    for split in ("validation", "test"):
        labels = {image["label"] for image in accepted if image["split"] == split}
        for label in LABELS:
            if label not in labels:
                raise UserError(f"{ACCEPTED} has no {label} in its {split} split; raise crawl.per_class")
    return accepted


def measure_methods(
    random: Mapping[str, Predictions], left_out: Mapping[str, Predictions], settings: Evaluate
) -> dict[str, Any]:
    """The figures of our model, and a row for each method to compare it with."""
    test = {method: random_figures(random[method], settings) for method in TITLES}
    unseen = {method: left_out_figures(predictions, settings) for method, predictions in left_out.items()}
    return {
        "random": {"test": test[OURS]},
        "left_out": unseen.get(OURS),
        "methods": {method: compare({"random": test[method], "left_out": unseen.get(method)}) for method in TITLES},
    }


def random_figures(predictions: Predictions, settings: Evaluate) -> Figures:
    """The figures of a split."""
    estimates = measure(predictions, settings.calibration_bins, settings.bootstrap_samples)
    return {"images": len(predictions), **plain(estimates)}


def left_out_figures(predictions: Predictions, settings: Evaluate) -> Figures:
    """The figures of sources that were left out; None for one that needs a class which none of them has.

    ``worst_source`` is the lowest balanced accuracy of a source, which for one of a single class is its recall.
    """
    estimates = measure_left_out(predictions, settings.calibration_bins, settings.bootstrap_samples)
    by_source = measure_sources(predictions, settings.calibration_bins, settings.bootstrap_samples)
    worst = min(by_source, key=lambda source: by_source[source]["balanced_accuracy"].value)
    estimates["worst_source"] = by_source[worst]["balanced_accuracy"]
    return {
        "images": len(predictions),
        "sources": len(by_source),
        **dict.fromkeys(LEFT_OUT_FIGURES),
        "worst_source_name": worst,
        **plain(estimates),
    }


def plain(estimates: Estimates) -> Figures:
    """Figures as JSON has them, to six digits, which is as exact as the predictions are."""
    return {
        **{name: round(each.value, 6) for name, each in estimates.items()},
        "intervals": {
            name: {"low": round(each.low, 6), "high": round(each.high, 6)} for name, each in estimates.items()
        },
    }


def compare(protocols: Mapping[str, Figures | None]) -> dict[str, object]:
    """One row of the table of methods, from the figures of each protocol; None for one that was not possible."""
    row: dict[str, object] = {}
    for protocol, (first, *others) in COMPARED_BY.items():
        figures = protocols[protocol] or {"intervals": {}}
        interval = figures["intervals"].get(first, {})
        row[f"{protocol}_{first}"] = figures.get(first)
        row |= {f"{protocol}_{first}_{end}": interval.get(end) for end in ("low", "high")}
        row |= {f"{protocol}_{name}": figures.get(name) for name in others}
    return row


def source_rows(protocol: str, predictions: Predictions, settings: Evaluate) -> Iterator[dict[str, object]]:
    """The recall of each source and class; for a source of both classes also their mean, and figures that need both."""
    by_source = measure_sources(predictions, settings.calibration_bins, settings.bootstrap_samples)
    for source, images in predictions.by_source().items():
        figures = plain(by_source[source])
        counts = Counter(images.labels.tolist())
        recalls = {str(label): f"recall_{label}" for label in LABELS if counts[label]}
        if len(recalls) == len(LABELS):
            counts["both"], recalls["both"] = len(images), "balanced_accuracy"
        for label, recall in recalls.items():
            more = {name: figures[name] if label == "both" else None for name in ("auroc", "calibration_error", "loss")}
            row = {"protocol": protocol, "source": source, "label": label, "images": counts[label]}
            yield row | {"recall": figures[recall]} | figures["intervals"][recall] | more


def write_plots(protocols: Mapping[str, Predictions], bins: int) -> None:
    """Write the confusion matrix and the ROC curve of the first protocol, and the calibration of each."""
    test, *_ = protocols.values()
    answers = zip(test.labels, test.judged, strict=True)
    write_table(CONFUSION, ("actual", "predicted"), ({"actual": a, "predicted": p} for a, p in answers))

    names = ("false_positive_rate", "true_positive_rate", "threshold")
    targets = torch.from_numpy(test.labels == PAINTING).long()
    curve = binary_roc(torch.from_numpy(test.probabilities), targets)
    points = zip(*(values.tolist() for values in curve), strict=True)
    write_table(ROC, names, (dict(zip(names, point, strict=True)) for point in points))

    columns = ("protocol", "lower", "upper", "images", "mean_probability", "share_of_paintings")
    curves = {name: calibration_curve(predictions, bins) for name, predictions in protocols.items()}
    write_table(CALIBRATION, columns, ({"protocol": name, **row} for name, rows in curves.items() for row in rows))


def write_worst(predictions: Predictions, count: int) -> None:
    """Write the table and the sheet of so many images of each source, those in whose class the model believed least."""
    rows, sheets = [], []
    for source, images in predictions.by_source().items():
        worst = images.at(np.argsort(images.belief, kind="stable")[:count])
        tiles = []
        for path, label, probability in zip(worst.paths, worst.labels, worst.probabilities, strict=True):
            rows.append({"path": path, "source": source, "label": label, "probability": f"{probability:.6f}"})
            tiles.append((load_rgb(Path(path)), f"{source}, {label}: {probability:.2f}"))
        sheets.append(np.asarray(contact_sheet(tiles, SHEET_COLUMNS, SHEET_TILE_PX)))
    write_table(WORST, rows[0], rows)
    with replacing(WORST_SHEET) as temporary:
        Image.fromarray(np.vstack(sheets)).save(temporary, quality=90)


if __name__ == "__main__":
    run(main)
