"""The stage ``features`` beside its floor: the bare trunk on crops that are in memory already.

    python -m benchmarks.features --images 400

Makes JPEG files of 192 x 256 pixels in a temporary folder, as the stage ``prepare`` would. Prints views a second of
both, taken in turn, and their ratio; the stage's time is that of its whole cache, from the files to the index. Random
weights cost what trained ones do.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from benchmarks.step import timed
from pipeline.caching import cache_features
from pipeline.classification import VIEWS_AT_A_TIME
from pipeline.device import network_dtype, pick_device
from pipeline.params import default_params
from pipeline.tensors import to_unit_range
from pipeline.trunk import Row
from pipeline.vgg import VGG16

ROUNDS = 3
WIDTH_PX, HEIGHT_PX = 256, 192


def main() -> None:
    """Compare the two."""
    settings = default_params().features
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="to cache")
    parser.add_argument("--views", type=int, default=settings.views, help="of each, the centre and random ones")
    parser.add_argument("--crop", type=int, default=settings.crop_px, help="side of a view, in pixels")
    arguments = parser.parse_args()
    device = pick_device()
    dtype = network_dtype(device)
    network = VGG16().freeze_trunk().eval().to(device).cast_trunk(dtype)
    views = arguments.images * arguments.views
    with tempfile.TemporaryDirectory() as name:
        paths = [write_picture(Path(name) / f"{number}.jpg", number) for number in range(arguments.images)]
        rows = [Row(str(path), "", "", "train", view, "image") for path in paths for view in range(arguments.views)]

        def stage() -> None:
            with tempfile.TemporaryDirectory() as cache:
                cache_features(network, rows, Path(cache), crop_px=arguments.crop, dtype=settings.dtype, seed=1)

        bare(network, VIEWS_AT_A_TIME, arguments.crop)
        rounds = [(timed(partial(bare, network, views, arguments.crop)), timed(stage)) for _ in range(ROUNDS)]
    floor_s, taken_s = (median(times) for times in zip(*rounds, strict=True))
    print(f"{arguments.images} images, {views} views of {arguments.crop} px")
    print(f"{str(dtype).removeprefix('torch.')} on {device}, {torch.get_num_threads()} threads")
    print(f"bare trunk  {views / floor_s:.1f} views/s")
    print(f"features    {views / taken_s:.1f} views/s, {floor_s / taken_s:.2f} of the bare trunk")


def bare(network: VGG16, views: int, crop_px: int) -> None:
    """Run the trunk on as many views, and keep nothing."""
    pixels = torch.randint(256, (views, 3, crop_px, crop_px), dtype=torch.uint8)
    device = next(network.parameters()).device
    for start in range(0, views, VIEWS_AT_A_TIME):
        with torch.inference_mode():
            network.trunk(to_unit_range(pixels[start : start + VIEWS_AT_A_TIME].to(device))).cpu()


def write_picture(path: Path, number: int) -> Path:
    """Patches under a grain, saved as the stage ``prepare`` does."""
    random = np.random.default_rng(number)
    image = Image.new("RGB", (WIDTH_PX, HEIGHT_PX))
    for columns, share in ((8, 1.0), (WIDTH_PX, 0.2)):
        grain = Image.fromarray(random.integers(0, 256, (columns * 3 // 4, columns, 3), dtype=np.uint8))
        image = Image.blend(image, grain.resize(image.size, Image.Resampling.BICUBIC), share)
    image.save(path, quality=95, subsampling="4:4:4")
    return path


if __name__ == "__main__":
    main()
