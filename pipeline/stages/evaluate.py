"""Measure the fine-tuned classifier on images it was not trained on, from their files.

Reads ``data/prepare/accepted.csv``, the images of its test and validation splits, ``data/weights/vgg16.safetensors``
and ``data/models/classifier.safetensors``. Writes ``data/metrics/classifier.json``; for the validation and test splits
``data/evaluate/predictions.csv``; for the test split alone ``data/evaluate/per_source.csv``, ``data/plots/roc.csv``,
``confusion.csv`` and ``calibration.csv``, ``data/sheets/worst.jpg``; and ``data/models/model_card.md``.

    python -m pipeline.stages.evaluate
"""

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error, binary_roc

from pipeline.classification import NEGATIVE, POSITIVE, classify, load_classifier
from pipeline.console import UserError, progress, run
from pipeline.files import replacing, write_json, write_text
from pipeline.images import contact_sheet, load_rgb
from pipeline.model_card import render_model_card
from pipeline.params import load_params
from pipeline.tables import read_table, write_table

ACCEPTED = Path("data/prepare/accepted.csv")
WEIGHTS = Path("data/weights/vgg16.safetensors")
MODEL = Path("data/models/classifier.safetensors")
METRICS = Path("data/metrics/classifier.json")
PREDICTIONS = Path("data/evaluate/predictions.csv")
PER_SOURCE = Path("data/evaluate/per_source.csv")
CONFUSION = Path("data/plots/confusion.csv")
ROC = Path("data/plots/roc.csv")
CALIBRATION = Path("data/plots/calibration.csv")
WORST = Path("data/sheets/worst.jpg")
MODEL_CARD = Path("data/models/model_card.md")

SHEET_COLUMNS, SHEET_TILE_PX = 6, 192

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """An image and the probability that the network gives to its being a painting."""

    path: str
    source: str
    label: str
    split: str
    probability: float

    @property
    def predicted(self) -> str:
        """The label that is more probable."""
        return POSITIVE if self.probability >= 0.5 else NEGATIVE

    @property
    def confidence(self) -> float:
        """The probability of the true label."""
        return self.probability if self.label == POSITIVE else 1 - self.probability


def main(argv: Sequence[str]) -> None:
    """Measure the classifier on the validation and test splits."""
    argparse.ArgumentParser(prog="evaluate", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    accepted = read_table(ACCEPTED)
    predictions = list(predict([image for image in accepted if image["split"] in ("validation", "test")]))
    metrics = {
        split: measure([each for each in predictions if each.split == split], params.evaluate.calibration_bins)
        for split in ("test", "validation")
    }
    test = [each for each in predictions if each.split == "test"]
    per_source = by_source(test)

    write_table(PREDICTIONS, [field.name for field in fields(Prediction)], map(asdict, predictions))
    write_table(PER_SOURCE, per_source[0], per_source)
    write_table(CONFUSION, ("actual", "predicted"), ({"actual": p.label, "predicted": p.predicted} for p in test))
    write_curves(test, params.evaluate.calibration_bins)
    write_worst(test, params.evaluate.worst_images)
    write_json(METRICS, metrics)
    write_text(MODEL_CARD, render_model_card(params, metrics, per_source, accepted))
    log.info("test: %s", ", ".join(f"{name} {value:.4g}" for name, value in metrics["test"].items()))


def predict(images: Sequence[Mapping[str, str]]) -> Iterator[Prediction]:
    """The network's answer for every row of ``accepted.csv``."""
    network, crop_px = load_classifier(WEIGHTS, MODEL)
    answers = classify(network, [Path(image["path"]) for image in images], crop_px)
    with progress(total=len(images), unit="img", description="classifying") as bar:
        for image, (path, probability) in zip(images, answers, strict=True):
            if isinstance(probability, UserError):
                raise probability
            yield Prediction(str(path), image["source"], image["label"], image["split"], probability)
            bar.update()


def measure(predictions: Sequence[Prediction], bins: int) -> dict[str, float]:
    """Metrics of one split. Raises :class:`UserError` if it lacks a class.

    The calibration error is the expected one (Guo et al. 2017, equation 3) of the probability of a painting, over bins
    of equal width; the balanced accuracy is the mean of the two recalls.
    """
    probabilities, targets = _tensors(predictions)
    if len(set(targets.tolist())) < 2:
        raise UserError(f"{ACCEPTED} has a split without paintings or without photographs; raise crawl.per_class")
    right = (probabilities >= 0.5) == targets.bool()
    recall = {label: float(right[targets == value].double().mean()) for label, value in ((POSITIVE, 1), (NEGATIVE, 0))}
    return {
        "images": len(predictions),
        "accuracy": float(right.double().mean()),
        "balanced_accuracy": sum(recall.values()) / 2,
        # torchmetrics works in float32, whose last digits can lead out of [0, 1].
        "auroc": round(float(binary_auroc(probabilities, targets)), 6),
        "calibration_error": round(float(binary_calibration_error(probabilities, targets, n_bins=bins)), 6),
        "loss": float(binary_cross_entropy(probabilities, targets.double())),
        **{f"recall_{label}": value for label, value in recall.items()},
    }


def by_source(predictions: Sequence[Prediction]) -> list[dict[str, object]]:
    """Accuracy and mean probability of a painting, for each source and label."""
    groups: dict[tuple[str, str], list[Prediction]] = {}
    for each in predictions:
        groups.setdefault((each.source, each.label), []).append(each)
    return [
        {
            "source": source,
            "label": label,
            "images": len(group),
            "accuracy": round(sum(each.predicted == label for each in group) / len(group), 4),
            "mean_probability": round(sum(each.probability for each in group) / len(group), 4),
        }
        for (source, label), group in sorted(groups.items())
    ]


def write_curves(predictions: Sequence[Prediction], bins: int) -> None:
    """Write the receiver operating characteristic and, for each bin, what was predicted and what was there."""
    probabilities, targets = _tensors(predictions)
    names = ("false_positive_rate", "true_positive_rate", "threshold")
    points = zip(*(values.tolist() for values in binary_roc(probabilities, targets)), strict=True)
    write_table(ROC, names, (dict(zip(names, point, strict=True)) for point in points))

    bin_of = (probabilities * bins).long().clamp(max=bins - 1)
    rows = []
    for index in range(bins):
        inside = bin_of == index
        row: dict[str, float] = {"lower": index / bins, "upper": (index + 1) / bins, "images": int(inside.sum())}
        if inside.any():
            row["mean_probability"] = float(probabilities[inside].mean())
            row["share_of_paintings"] = float(targets[inside].double().mean())
        rows.append(row)
    write_table(CALIBRATION, ("lower", "upper", "images", "mean_probability", "share_of_paintings"), rows)


def write_worst(predictions: Sequence[Prediction], count: int) -> None:
    """Write the sheet of the images whose true label the network believed in least."""
    worst = sorted(predictions, key=lambda each: each.confidence)[:count]
    tiles = [(load_rgb(Path(each.path)), f"{each.label}, given {each.confidence:.1%}") for each in worst]
    with replacing(WORST) as temporary:
        contact_sheet(tiles, SHEET_COLUMNS, SHEET_TILE_PX).save(temporary, quality=90)


def _tensors(predictions: Sequence[Prediction]) -> tuple[Tensor, Tensor]:
    probabilities = torch.tensor([each.probability for each in predictions], dtype=torch.float64)
    return probabilities, torch.tensor([int(each.label == POSITIVE) for each in predictions])


if __name__ == "__main__":
    run(main)
