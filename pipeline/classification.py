"""From image files to crops, and from crops to the probability that an image is a painting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.augmentation import Pixels, make_view
from pipeline.console import UserError
from pipeline.device import loader_workers, network_dtype, pick_device
from pipeline.images import load_rgb
from pipeline.params import CropSide
from pipeline.tensors import to_unit_range
from pipeline.vgg import VGG16, load_metadata, load_network
from scrapers.items import LABELS

POSITIVE, NEGATIVE = LABELS
"""The labels, by what the network's probability is of."""

VIEWS_AT_A_TIME = 32
"""What the network is given at once."""

ViewsOfImage = tuple[Path, Sequence[int]]
"""An image and the numbers of the views of it that are wanted, as :func:`pipeline.augmentation.make_view` has them."""


@dataclass(frozen=True)
class Crops:
    """Views of a few images: ``pixels`` (views, 3, crop_px, crop_px) in uint8, those of the readable ones in order.

    For each image, ``errors`` has why it cannot be read, or None.
    """

    paths: list[Path]
    errors: list[UserError | None]
    pixels: Tensor


class CropDataset(Dataset[Crops]):
    """The views of images, some images at a time, each decoded once: one item is one batch for the network.

    An image that cannot be read is answered with the error, not raised.
    """

    def __init__(self, images: Sequence[ViewsOfImage], crop_px: int, seed: int) -> None:
        self._images = images
        self._crop_px = crop_px
        self._seed = seed
        self._starts = find_starts(images)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Crops:
        end = self._starts[index + 1] if index + 1 < len(self) else None
        chosen = self._images[self._starts[index] : end]
        errors: list[UserError | None] = []
        crops: list[Pixels] = []
        for path, views in chosen:
            try:
                pixels = np.array(load_rgb(path))
            except UserError as error:
                errors.append(error)
                continue
            errors.append(None)
            crops += [make_view(pixels, path, view, crop_px=self._crop_px, seed=self._seed) for view in views]
        together = np.stack(crops) if crops else np.empty((0, self._crop_px, self._crop_px, 3), np.uint8)
        return Crops([path for path, _ in chosen], errors, torch.from_numpy(together).permute(0, 3, 1, 2))


def find_starts(images: Sequence[ViewsOfImage]) -> list[int]:
    """The positions in ``images`` of the first one of each batch."""
    starts: list[int] = []
    free = 0
    for position, (_, views) in enumerate(images):
        if len(views) > free:
            starts.append(position)
            free = VIEWS_AT_A_TIME
        free -= len(views)
    return starts


def load_crops(
    images: Sequence[ViewsOfImage], crop_px: int, *, seed: int = 0, processes: int | None = None
) -> "DataLoader[Crops]":
    """The items of :class:`CropDataset` in order, made ahead by so many other processes, or as many as are of use."""
    dataset = CropDataset(images, crop_px, seed)
    most = loader_workers() if processes is None else processes
    workers = max(0, min(most, len(dataset) - 1))  # none for a handful of images: to start one takes longer
    return DataLoader(dataset, batch_size=None, num_workers=workers, worker_init_fn=_start_worker)


def _start_worker(number: int) -> None:
    cv2.setNumThreads(0)  # OpenCV's do not survive a fork, and the cores are the network's


def load_classifier(weights: Path, model: Path) -> tuple[VGG16, int]:
    """The fine-tuned network, placed where it runs fastest, and the side in pixels of the crops it was trained on.

    Raises :class:`UserError` for files that are not what fine-tuning writes.
    """
    device = pick_device()
    network = load_network(weights, model).to(device).cast_trunk(network_dtype(device))
    try:
        return network, TypeAdapter(CropSide).validate_strings(load_metadata(model)["crop_px"])
    except (KeyError, ValidationError):
        raise UserError(f"{model} does not say its crop_px; train it again with `dvc repro -sf finetune`") from None


def classify(network: VGG16, paths: Sequence[Path], crop_px: int) -> Iterator[tuple[Path, float | UserError]]:
    """For each image, in order, the probability in [0, 1] that it is a painting, or why it cannot be read.

    The network runs where it is and as it is; see :meth:`VGG16.cast_trunk` for speed. Memory does not grow with the
    number of images.
    """
    device = next(network.parameters()).device
    for batch in load_crops([(path, (0,)) for path in paths], crop_px):
        probabilities: Iterator[float] = iter(())
        if len(batch.pixels):
            with torch.inference_mode():
                logits = network(to_unit_range(batch.pixels.to(device)))
            probabilities = iter(logits.double().sigmoid().tolist())
        for path, error in zip(batch.paths, batch.errors, strict=True):
            yield path, error or next(probabilities)
