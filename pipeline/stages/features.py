"""Run the frozen trunk of VGG16 (blocks 1 to 4) once over every view of every image.

Reads ``data/prepare/accepted.csv``, ``data/imitations/imitations.csv``, the images they name and
``data/weights/vgg16.safetensors``. Writes ``data/features/``, a cache as :mod:`pipeline.caching` describes it: a
training image has ``features.views`` rows one after the other, the centre first; every other image has its centre; then
come the imitations. A run that was killed goes on where it was.

    python -m pipeline.stages.features
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.caching import cache_features
from pipeline.classification import POSITIVE
from pipeline.console import UserError, run
from pipeline.device import network_dtype, pick_device
from pipeline.params import load_params
from pipeline.tables import read_table
from pipeline.trunk import Row
from pipeline.vgg import load_network

ACCEPTED = Path("data/prepare/accepted.csv")
IMITATIONS = Path("data/imitations/imitations.csv")
WEIGHTS = Path("data/weights/vgg16.safetensors")
FOLDER = Path("data/features")

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Compute the features of every view."""
    argparse.ArgumentParser(prog="features", description=__doc__.splitlines()[0]).parse_args(argv)
    settings = load_params()
    params = settings.features
    images = list(image_rows(params.views))
    if not any(row.split == "train" for row in images):
        raise UserError(f"{ACCEPTED} has no image to train on; raise crawl.per_class")
    device = pick_device()
    dtype = network_dtype(device)
    network = load_network(WEIGHTS).to(device).cast_trunk(dtype)
    log.info("the trunk runs in %s on %s", str(dtype).removeprefix("torch."), device)
    rows = [*images, *imitation_rows()]
    cache_features(
        network,
        rows,
        FOLDER,
        crop_px=params.crop_px,
        dtype=params.dtype,
        seed=params.seed,
        workers=settings.machine.workers,
    )


def image_rows(views: int) -> Iterator[Row]:
    """Every view of the accepted images, in their order."""
    for image in read_table(ACCEPTED):
        for view in range(views if image["split"] == "train" else 1):
            yield Row(image["path"], image["source"], image["label"], image["split"], view, "image")


def imitation_rows() -> Iterator[Row]:
    """A random view of each imitation, and the plain one too of those in the style of a painting.

    That of a filter, sharp and clean, would be easily told from a painting.
    """
    for imitation in read_table(IMITATIONS):
        path, source, lender = imitation["path"], imitation["source"], imitation["lender"]
        if imitation["manner"] == "styled":
            yield from (Row(path, source, POSITIVE, "train", view, "styled", lender) for view in (0, 1))
        else:
            yield Row(path, source, POSITIVE, "train", 1, "filtered")


if __name__ == "__main__":
    run(main)
