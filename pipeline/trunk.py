"""What the frozen trunk sees of images: computed here, or by workers of a cluster, to the same bytes."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.classification import VIEWS_AT_A_TIME, ViewsOfImage, find_starts, load_crops
from pipeline.cluster import in_cluster
from pipeline.console import UserError
from pipeline.device import pick_device
from pipeline.params import FeatureType
from pipeline.tensors import to_unit_range
from pipeline.vgg import VGG16

BATCHES_OF_A_WORKER = 16
"""What a worker that dies has computed for nothing, at most."""
Features = NDArray[np.float16 | np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """What one row of a cache holds the features of; ``view`` as in :func:`pipeline.augmentation.make_view`."""

    path: str
    source: str
    label: str
    split: str
    view: int
    kind: str
    lender: str = ""
    """The source of the painting whose style an imitation took."""


def compute_features(
    network: VGG16,
    rows: Sequence[Row],
    *,
    crop_px: int,
    dtype: FeatureType,
    seed: int,
    processes: int | None = None,
) -> Iterator[Features]:
    """The trunk's output in the order of ``rows``, some at a time.

    Raises :class:`UserError` for an image that cannot be read, and for features out of range.
    ``processes`` are those that decode, as :func:`pipeline.classification.load_crops` has them.
    """
    device = next(network.parameters()).device
    for batch in load_crops(_images(rows), crop_px, seed=seed, processes=processes):
        for error in filter(None, batch.errors):
            raise error
        for pixels in batch.pixels.split(VIEWS_AT_A_TIME):
            with torch.inference_mode():
                features = network.trunk(to_unit_range(pixels.to(device))).to("cpu", getattr(torch, dtype))
            if not features.isfinite().all():
                raise UserError(f"features are too large for {dtype}; set features.dtype to float32")
            yield features.numpy()


def _images(rows: Sequence[Row]) -> list[ViewsOfImage]:
    return [(Path(path), [row.view for row in group]) for path, group in groupby(rows, attrgetter("path"))]


def compute_in_cluster(
    network: VGG16, rows: Sequence[Row], *, crop_px: int, dtype: FeatureType, seed: int, workers: int
) -> Iterator[Features]:
    """As :func:`compute_features`, in the same batches."""
    images = _images(rows)
    before = [0, *accumulate(len(views) for _, views in images)]
    starts = [before[start] for start in find_starts(images)[::BATCHES_OF_A_WORKER]]
    parts = [rows[start:end] for start, end in pairwise([*starts, len(rows)])]
    compute = partial(_compute_part, deepcopy(network).cpu(), crop_px=crop_px, dtype=dtype, seed=seed)
    for computed in in_cluster(compute, parts, workers=workers, on_gpu=True):
        yield from computed


def _compute_part(network: VGG16, rows: Sequence[Row], **settings: Any) -> list[Features]:
    """Where there is no GPU, every core has a worker already."""
    device = pick_device()
    processes = 0 if device.type == "cpu" else None
    return list(compute_features(network.to(device), rows, processes=processes, **settings))
