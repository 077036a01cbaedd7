"""From image files to crops, and from crops to the probability that an image is a painting."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2  # type: ignore[import-untyped]

from pipeline.console import UserError
from pipeline.device import loader_workers, network_dtype, pick_device
from pipeline.images import load_rgb
from pipeline.tensors import to_bytes, to_unit_range
from pipeline.vgg import VGG16, load_metadata, load_network
from scrapers.items import LABELS

POSITIVE, NEGATIVE = LABELS
"""The labels, by what the network's probability is of."""

SMALLEST_CROP = 0.4
"""Share of an image's area that a random crop shows at least; below it the strokes no longer look like themselves."""


class CropDataset(Dataset[tuple[Path, Tensor | UserError]]):
    """Square crops of images, given as (path, number of views): (path, uint8 crops (views, 3, crop_px, crop_px)).

    The first view is the image's centre at its largest; the others are random crops and mirror images, which depend on
    ``seed`` and the path alone. An image that cannot be read is answered with the error, not raised.
    """

    def __init__(self, images: Sequence[tuple[Path, int]], crop_px: int, seed: int) -> None:
        self._images = images
        self._seed = seed
        self._centre = v2.Compose([v2.Resize(crop_px), v2.CenterCrop(crop_px)])
        self._random = v2.Compose([v2.RandomResizedCrop(crop_px, (SMALLEST_CROP, 1.0)), v2.RandomHorizontalFlip()])

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Path, Tensor | UserError]:
        path, views = self._images[index]
        try:
            image = load_rgb(path)
        except UserError as error:
            return path, error
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int.from_bytes(hashlib.sha256(f"{self._seed} {path}".encode()).digest()[:7]))
            crops = [self._centre(image), *(self._random(image) for _ in range(views - 1))]
        return path, torch.stack([to_bytes(crop) for crop in crops])


def load_crops(
    images: Sequence[tuple[Path, int]], crop_px: int, *, seed: int = 0, batch_size: int = 32
) -> "DataLoader[tuple[Path, Tensor | UserError]]":
    """The items of :class:`CropDataset` in order, as lists of ``batch_size``, read ahead by other processes."""
    return DataLoader(
        CropDataset(images, crop_px, seed),
        batch_size=batch_size,
        collate_fn=list,
        num_workers=min(loader_workers(), len(images) // batch_size),  # none for a handful: starting one takes longer
    )


def load_classifier(weights: Path, model: Path) -> tuple[VGG16, int]:
    """The fine-tuned network, placed where it runs fastest, and the side in pixels of the crops it was trained on.

    Raises :class:`UserError` for files that are not what fine-tuning writes.
    """
    device = pick_device()
    network = load_network(weights, model).to(device).cast_trunk(network_dtype(device))
    try:
        return network, int(load_metadata(model)["crop_px"])
    except (KeyError, ValueError):
        raise UserError(f"{model} does not say its crop_px; train it again with `dvc repro -f finetune`") from None


def classify(network: VGG16, paths: Sequence[Path], crop_px: int) -> Iterator[tuple[Path, float | UserError]]:
    """For each image, in order, the probability in [0, 1] that it is a painting, or why it cannot be read.

    The network runs where it is and as it is; see :meth:`VGG16.cast_trunk` for speed. Memory does not grow with the
    number of images.
    """
    device = next(network.parameters()).device
    for batch in load_crops([(path, 1) for path in paths], crop_px):
        readable = [crops for _, crops in batch if isinstance(crops, Tensor)]
        probabilities: Iterator[float] = iter(())
        if readable:
            with torch.inference_mode():
                logits = network(to_unit_range(torch.cat(readable).to(device)))
            probabilities = iter(logits.double().sigmoid().tolist())
        for path, crops in batch:
            yield path, crops if isinstance(crops, UserError) else next(probabilities)
