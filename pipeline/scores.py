"""The figures of a classifier's predictions, with the intervals that other images of the same kind could have given.

Everything is computed for weights of the images, how often each one counts: a figure is that of weights of one, and its
interval that of weights drawn at random.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.predictions import LEAST_PROBABILITY, PAINTING, Numbers, Predictions
from scrapers.items import LABELS

CONFIDENCE = 0.95
"""Of every interval."""
SEED = 0
BLOCK = 2**21
"""Weights that are drawn at a time, which bounds the memory."""
Figures = dict[str, Numbers]
"""By name, one number for each row of weights."""


@dataclass(frozen=True)
class Estimate:
    """A figure, and the interval around it."""

    value: float
    low: float
    high: float


Estimates = dict[str, Estimate]


def measure(predictions: Predictions, bins: int, samples: int) -> Estimates:
    """Figures of images together, as :func:`figures` has them, with intervals from so many ``samples``."""
    return _estimate(predictions, partial(figures, predictions, bins), samples)


def measure_left_out(predictions: Predictions, bins: int, samples: int) -> Estimates:
    """Figures over sources, each judged by a model that never saw it: those of :func:`figures_left_out`."""
    return _estimate(predictions, partial(figures_left_out, predictions, bins), samples)


def measure_sources(predictions: Predictions, bins: int, samples: int) -> dict[str, Estimates]:
    """The figures of each source by itself."""
    return {source: measure(images, bins, samples) for source, images in predictions.by_source().items()}


def figures(predictions: Predictions, bins: int, weights: Numbers) -> Figures:
    """Figures of (n,) images for each row of weights (m, n); one that needs a class without images is not there.

    The balanced accuracy is the mean recall of the classes that are there. The calibration error is the expected one
    (Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3) of the probability of a painting, over
    ``bins`` of equal width. The loss is the mean negative log-likelihood.
    """
    right = predictions.judged == predictions.labels
    recall = {label: _mean(right, weights, predictions.labels == label) for label in _labels(predictions)}
    of_bin = _bin_of(predictions, bins)[:, None] == np.arange(bins)
    gap = weights @ (of_bin * ((predictions.labels == PAINTING) - predictions.probabilities)[:, None])
    everything = np.ones(len(predictions), dtype=bool)
    return {
        "accuracy": _mean(right, weights, everything),
        "balanced_accuracy": np.mean(list(recall.values()), axis=0),
        **({"auroc": _auroc(predictions, weights)} if len(recall) == len(LABELS) else {}),
        "calibration_error": np.abs(gap).sum(axis=1) / weights.sum(axis=1),
        "loss": _mean(-np.log(np.maximum(predictions.belief, LEAST_PROBABILITY)), weights, everything),
        **{f"recall_{label}": values for label, values in recall.items()},
    }


def figures_left_out(predictions: Predictions, bins: int, weights: Numbers) -> Figures:
    """Figures of sources that count the same however many images they have; what needs a missing class is not there.

    The mean recall of a class is that over the sources that have it, and the mean balanced accuracy is the mean of
    both. Calibration error, loss and AUROC are those of all images together.
    """
    right = predictions.judged == predictions.labels
    recall: Figures = {}
    for label in _labels(predictions):
        of_label = predictions.labels == label
        groups = [of_label & (predictions.sources == source) for source in np.unique(predictions.sources[of_label])]
        recall[f"mean_recall_{label}"] = np.mean([_mean(right, weights, group) for group in groups], axis=0)
    pooled = figures(predictions, bins, weights)
    balanced = {"mean_balanced_accuracy": np.mean(list(recall.values()), axis=0)} if "auroc" in pooled else {}
    return balanced | recall | {name: pooled[name] for name in ("auroc", "calibration_error", "loss") if name in pooled}


def calibration_curve(predictions: Predictions, bins: int) -> list[dict[str, float]]:
    """For each bin of equal width, how many images it has, what they were given on average and what was there."""
    rows = []
    index = _bin_of(predictions, bins)
    for number in range(bins):
        inside = predictions.at(index == number)
        row: dict[str, float] = {"lower": number / bins, "upper": (number + 1) / bins, "images": len(inside)}
        if len(inside):
            row["mean_probability"] = round(float(inside.probabilities.mean()), 6)
            row["share_of_paintings"] = round(float((inside.labels == PAINTING).mean()), 6)
        rows.append(row)
    return rows


def _estimate(predictions: Predictions, statistic: Callable[[Numbers], Figures], samples: int) -> Estimates:
    """Each figure with its percentile bootstrap interval (Efron and Tibshirani 1993, section 13.3)."""
    values = statistic(np.ones((1, len(predictions))))
    drawn = [statistic(weights) for weights in _resampled(predictions, samples)]
    quantiles = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    estimates = {}
    for name, (value,) in values.items():
        low, high = np.quantile(np.concatenate([block[name] for block in drawn]), quantiles)
        estimates[name] = Estimate(float(value), float(low), float(high))
    return estimates


def _resampled(predictions: Predictions, samples: int) -> Iterator[Numbers]:
    """How often each image is drawn, with replacement, in blocks of rows, the same ones every time.

    From each source and class as many are drawn as it has: the images were split that way, and no class is ever empty.
    """
    random = np.random.default_rng(SEED)
    strata = [
        np.flatnonzero((predictions.sources == source) & (predictions.labels == label))
        for source in np.unique(predictions.sources)
        for label in LABELS
    ]
    rows = max(1, BLOCK // len(predictions))
    for start in range(0, samples, rows):
        weights = np.empty((min(rows, samples - start), len(predictions)))
        for members in filter(len, strata):
            share = np.full(len(members), 1 / len(members))
            weights[:, members] = random.multinomial(len(members), share, size=len(weights))
        yield weights


def _labels(predictions: Predictions) -> list[str]:
    return [label for label in LABELS if label in predictions.labels]


def _mean(values: NDArray[np.bool_] | Numbers, weights: Numbers, chosen: NDArray[np.bool_]) -> Numbers:
    """The weighted mean of the ``chosen`` images' values, for each row of weights."""
    mean: Numbers = (weights @ (values * chosen)) / (weights @ chosen)
    return mean


def _bin_of(predictions: Predictions, bins: int) -> NDArray[np.intp]:
    return np.digitize(predictions.probabilities, np.linspace(0, 1, bins + 1)[1:-1])


def _auroc(predictions: Predictions, weights: Numbers) -> Numbers:
    """The chance that a painting is given more than a photograph, a tie counting half: the area under the ROC curve."""
    order = np.argsort(predictions.probabilities)
    ties = np.flatnonzero(np.diff(predictions.probabilities[order], prepend=-1.0))
    paintings, photos = (
        np.add.reduceat((weights * (predictions.labels == label))[:, order], ties, axis=1) for label in LABELS
    )
    below = np.cumsum(photos, axis=1) - photos / 2
    area: Numbers = (paintings * below).sum(axis=1) / (paintings.sum(axis=1) * photos.sum(axis=1))
    return area
