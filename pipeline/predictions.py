"""Predictions of a classifier, as the stages that train hand them on: read, and checked against the accepted images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.console import UserError
from pipeline.probe import fit_temperature
from pipeline.tables import read_table
from scrapers.items import LABELS

PAINTING, PHOTO = LABELS

LEAST_PROBABILITY = 5e-7
"""Probabilities have six digits: a 0 is anything below this, and has a logarithm."""

Row = Mapping[str, str]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Images, each with the probability that it was given to be a painting; columns of one length."""

    paths: NDArray[np.str_]
    sources: NDArray[np.str_]
    labels: NDArray[np.str_]
    probabilities: Numbers

    def __len__(self) -> int:
        return len(self.paths)

    def at(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Predictions":
        """The images of a mask, or of positions in their order."""
        return Predictions(self.paths[chosen], self.sources[chosen], self.labels[chosen], self.probabilities[chosen])

    def by_source(self) -> dict[str, "Predictions"]:
        """The images of each source, in the order of the names."""
        return {str(source): self.at(self.sources == source) for source in np.unique(self.sources)}

    @property
    def judged(self) -> NDArray[np.str_]:
        """The label that is more probable."""
        return np.where(self.probabilities >= 0.5, PAINTING, PHOTO)

    @property
    def belief(self) -> Numbers:
        """The probability of the true label."""
        return np.where(self.labels == PAINTING, self.probabilities, 1 - self.probabilities)


def unseen_temperature(predictions: Predictions) -> float:
    """What divides the logits of sources that a model has never seen, so that its probabilities can be believed.

    The temperature that suits ``predictions`` best, both classes counting the same and all sources of a class; 1 if
    there is but one class.
    """
    paintings = predictions.labels == PAINTING
    if paintings.all() or not paintings.any():
        return 1.0
    weights = np.zeros(len(predictions))
    for of_class in (paintings, ~paintings):
        sources, counts = np.unique(predictions.sources[of_class], return_counts=True)
        for source, count in zip(sources, counts, strict=True):
            weights[of_class & (predictions.sources == source)] = 1 / (len(sources) * count)
    return fit_temperature(*map(torch.from_numpy, (_logits(predictions), paintings.astype(float), weights)))


def calibrate_across(predictions: Predictions) -> Predictions:
    """Each source's predictions with the temperature that suits all the other sources."""
    probabilities = predictions.probabilities.copy()
    for source in np.unique(predictions.sources):
        of_source = predictions.sources == source
        logits = _logits(predictions)[of_source] / unseen_temperature(predictions.at(~of_source))
        probabilities[of_source] = 1 / (1 + np.exp(-logits))
    return replace(predictions, probabilities=probabilities)


def _logits(predictions: Predictions) -> Numbers:
    clipped = predictions.probabilities.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float64)


def read_finetuned(table: Path, accepted: Sequence[Row]) -> dict[str, Predictions]:
    """The validation and the test split of ``table`` (columns path, split, probability).

    Raises :class:`UserError` for one that does not have exactly the ``accepted`` images of these splits.
    """
    rows = _read(table, ("path", "split", "probability"))
    return {
        split: _match(
            table,
            [row for row in rows if row["split"] == split],
            [image for image in accepted if image["split"] == split],
        )
        for split in ("validation", "test")
    }


def read_compared(
    table: Path, accepted: Sequence[Row], methods: Sequence[str], ours: str
) -> tuple[dict[str, Predictions], dict[str, Predictions]]:
    """What each method predicts of the test split, and of sources that were left out of its training.

    Of ``table`` (columns method, left_out, path, probability), where ``left_out`` names a source, or is empty for the
    test split, of which this table has nothing by ``ours``. The second dictionary is empty if no source was left out.
    Raises :class:`UserError` for a table that lacks a method or an image, or has one too many.
    """
    rows = _read(table, ("method", "left_out", "path", "probability"))
    left_out = sorted({row["left_out"] for row in rows} - {""})
    wanted = {(method, "") for method in methods if method != ours}
    wanted |= {(method, source) for method in methods for source in left_out}
    for method, source in sorted(wanted ^ {(row["method"], row["left_out"]) for row in rows}):
        trained = f"trained without {source}" if source else "on the test split"
        has = "lacks" if (method, source) in wanted else "has unexpected"
        raise UserError(f"{table} {has} predictions by {method} {trained}; run `dvc repro {table.stem}`")

    def match(method: str, sources: Sequence[str], images: Sequence[Row]) -> Predictions:
        return _match(table, [row for row in rows if row["method"] == method and row["left_out"] in sources], images)

    test = [image for image in accepted if image["split"] == "test"]
    unseen = [image for image in accepted if image["source"] in left_out]
    return (
        {method: match(method, [""], test) for method in methods if method != ours},
        {method: match(method, left_out, unseen) for method in methods if left_out},
    )


def _read(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    rows = read_table(table)
    if not rows or not set(columns) <= rows[0].keys():
        raise UserError(f"{table} does not hold {', '.join(columns)} of any image; run `dvc repro {table.stem}`")
    return rows


def _match(table: Path, rows: Sequence[Row], images: Sequence[Row]) -> Predictions:
    """The predictions of exactly these images, in their order."""
    given = {row["path"]: row["probability"] for row in rows}
    for path in sorted(given.keys() ^ {image["path"] for image in images}):
        does = "judges an image that it should not" if path in given else "does not judge every image"
        raise UserError(f"{table} {does}: {path}; run `dvc repro {table.stem}`")
    if len(given) < len(rows):
        raise UserError(f"{table} judges an image twice; run `dvc repro {table.stem}`")
    return Predictions(
        paths=np.array([image["path"] for image in images]),
        sources=np.array([image["source"] for image in images]),
        labels=np.array([image["label"] for image in images]),
        probabilities=np.array([_probability(table, image["path"], given[image["path"]]) for image in images]),
    )


def _probability(table: Path, path: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise UserError(f"{table} gives {path} a probability of {text}; run `dvc repro {table.stem}`")
    return value
