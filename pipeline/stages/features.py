"""Run the frozen trunk of VGG16 (blocks 1 to 4) once over every view of every image that fine-tuning sees.

Reads ``data/prepare/accepted.csv``, the images it names and ``data/weights/vgg16.safetensors``. Writes
``data/features/features.npy``, shape (rows, 512, crop_px / 16, crop_px / 16), and ``data/features/index.csv``, which
tells of each row its image, split, label, view and CRC-32. A training image has ``features.views`` rows one after the
other, the centre first; a validation image has one; test images have none, as ``evaluate`` goes back to the files.

    python -m pipeline.stages.features
"""

import argparse
import logging
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.classification import load_crops
from pipeline.console import UserError, progress, run
from pipeline.device import network_dtype, pick_device
from pipeline.files import replacing
from pipeline.params import Features, load_params
from pipeline.tables import read_table, write_table
from pipeline.tensors import to_unit_range
from pipeline.vgg import CHANNELS, TRUNK_STRIDE_PX, VGG16, load_network

ACCEPTED = Path("data/prepare/accepted.csv")
WEIGHTS = Path("data/weights/vgg16.safetensors")
FOLDER = Path("data/features")
FEATURES = FOLDER / "features.npy"
INDEX = FOLDER / "index.csv"

VIEWS_AT_A_TIME = 32
COLUMNS = ("row", "path", "split", "label", "view", "crc32")

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Compute the features of every view."""
    argparse.ArgumentParser(prog="features", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params().features
    views = {"train": params.views, "validation": 1}
    images = [(image, views[image["split"]]) for image in read_table(ACCEPTED) if image["split"] in views]
    rows = sum(count for _, count in images)
    if not rows:
        raise UserError(f"{ACCEPTED} has no image to train on; raise crawl.per_class")
    device = pick_device()
    dtype = network_dtype(device)
    network = load_network(WEIGHTS).to(device).cast_trunk(dtype)

    shutil.rmtree(FOLDER, ignore_errors=True)  # with what a killed run left
    FOLDER.mkdir(parents=True)
    side = params.crop_px // TRUNK_STRIDE_PX
    shape = (rows, CHANNELS[4][0], side, side)
    _check_room(shape, np.dtype(params.dtype))
    log.info("the trunk runs in %s on %s", str(dtype).removeprefix("torch."), device)
    started = time.monotonic()
    checksums: list[int] = []
    # Written one after the other rather than through a memory map: a full disk is then an error and not a bus error,
    # and no written page counts as this process's memory.
    with (
        replacing(FEATURES) as temporary,
        temporary.open("wb") as file,
        progress(total=rows, unit="view", description="trunk") as bar,
    ):
        header = {"descr": np.dtype(params.dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for batch in _batches(network, [(Path(image["path"]), count) for image, count in images], params):
            for row in batch:
                data = row.tobytes()
                checksums.append(zlib.crc32(data))
                file.write(data)
            bar.update(len(batch))
    entries = [(image, view) for image, count in images for view in range(count)]
    write_table(
        INDEX,
        COLUMNS,
        (
            {"row": row, "path": image["path"], "split": image["split"], "label": image["label"]}
            | {"view": view, "crc32": f"{checksum:08x}"}
            for row, ((image, view), checksum) in enumerate(zip(entries, checksums, strict=True))
        ),
    )
    seconds = time.monotonic() - started
    log.info("%d views of %d images in %.1f s, %.1f views/s", rows, len(images), seconds, rows / seconds)


def _check_room(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    size_mb = int(np.prod(shape)) * dtype.itemsize / 1e6
    free_mb = shutil.disk_usage(FOLDER).free / 1e6
    log.info("%s will hold %d x %s %s, %.0f MB", FEATURES, shape[0], shape[1:], dtype, size_mb)
    if size_mb > free_mb:
        raise UserError(
            f"{FEATURES} needs {size_mb:.0f} MB and the disk has {free_mb:.0f} MB; make room or lower features.views"
        )


def _batches(
    network: VGG16, images: Sequence[tuple[Path, int]], params: Features
) -> Iterator[NDArray[np.float16 | np.float32]]:
    """The trunk's output in the order of ``images``, a few images at a time."""
    device = next(network.parameters()).device
    batch_size = max(1, VIEWS_AT_A_TIME // params.views)
    for batch in load_crops(images, params.crop_px, seed=params.seed, batch_size=batch_size):
        crops: list[Tensor] = []
        for _, found in batch:
            if isinstance(found, UserError):
                raise found
            crops.append(found)
        with torch.inference_mode():
            features = network.trunk(to_unit_range(torch.cat(crops).to(device)))
        if not (values := features.to("cpu", getattr(torch, params.dtype))).isfinite().all():
            raise UserError(f"features are too large for {params.dtype}; set features.dtype to float32")
        yield values.numpy()


if __name__ == "__main__":
    run(main)
