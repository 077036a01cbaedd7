"""The stage ``prepare`` beside its floor: Pillow decoding and reducing the same files on all cores, keeping nothing.

    python -m benchmarks.prepare --images 20000

Makes a crawl in a temporary folder: pictures of their own, one in forty a copy of another. Prints images a second of
both, taken in turn, their ratio, and the memory and cores that the stage uses; its time is that of the whole command,
from the start of Python to its exit.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import yaml
from PIL import Image

from benchmarks.step import timed
from benchmarks.usage import ROOT, Usage, run_measured
from benchmarks.works import made_up
from scrapers.items import write_manifest

ROUNDS = 3
SHORT_SIDE_PX = 256
"""Of the full run."""


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="in the crawl")
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make_crawl(folder, images)
        size_kb = median(path.stat().st_size for path in paths) / 1e3
        print(f"{images} images of {size_kb:.0f} kB (median), {os.cpu_count()} cores")
        bare(paths)
        rounds = [(timed(partial(bare, paths)), run_stage(folder)) for _ in range(ROUNDS)]
    floor_s, taken_s = median(seconds for seconds, _ in rounds), median(usage.seconds for _, usage in rounds)
    cores = median(usage.cpu_s / usage.seconds for _, usage in rounds)
    memory_mb = max(usage.memory_mb for _, usage in rounds)
    print(f"bare Pillow  {images / floor_s:.1f} images/s")
    print(f"prepare      {images / taken_s:.1f} images/s, {floor_s / taken_s:.2f} of bare Pillow")
    print(f"             {memory_mb:.0f} MB at the peak, {cores:.2f} cores in use")


def bare(paths: Sequence[Path]) -> None:
    """Decode and reduce every file, in a pool on all cores."""
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(decode, paths, chunksize=8):
            pass


def decode(path: Path) -> None:
    """Keep nothing: what comes back would have to cross to another process."""
    decode_and_reduce(path)


def decode_and_reduce(path: Path) -> Image.Image:
    """What the stage cannot do without, at the quality of the stage: in full, without a draft."""
    with Image.open(path) as image:
        image.load()
        scale = SHORT_SIDE_PX / min(image.size)
        width_px, height_px = (round(side_px * scale) for side_px in image.size)
        return image.resize((width_px, height_px), Image.Resampling.LANCZOS, reducing_gap=3.0)


def run_stage(folder: Path) -> Usage:
    """Run the stage as a command, where no image is accepted yet."""
    shutil.rmtree(folder / "data/images", ignore_errors=True)
    return run_measured([sys.executable, "-m", "pipeline.stages.prepare"], folder)


def make_crawl(folder: Path, images: int) -> list[Path]:
    """Write files, their manifest and the settings of the full run below ``folder``; return the paths of the files."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["prepare"]["short_side_px"] = SHORT_SIDE_PX
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    # One in twenty is a PNG.
    names = (f"{number}.{'png' if number % 20 == 10 else 'jpg'}" for number in range(images))
    works = [
        made_up(number, source=f"museum-{number // 2 % 4}", image_url=f"https://example.org/{name}")
        for number, name in enumerate(names)
    ]
    manifest = folder / "data/index/manifest.jsonl"
    manifest.parent.mkdir(parents=True)
    write_manifest(works, manifest)
    paths = [folder / "data/raw" / work.path for work in works]
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(write_picture, range(images), paths, chunksize=8))
    return paths


def write_picture(number: int, path: Path) -> None:
    """Patches under two grains, as large as museums send; one in forty shows what another of its label shows."""
    random = np.random.default_rng(number - 2 if number % 40 == 39 else number)
    long_px = int(random.integers(843, 1025))
    short_px = int(long_px * random.uniform(0.6, 1))
    size = (long_px, short_px) if random.random() < 0.5 else (short_px, long_px)
    image = Image.new("RGB", size)
    for columns, share in ((8, 1.0), (160, 0.25), (640, 0.15)):
        grain = random.integers(0, 256, (columns * 3 // 4, columns, 3), dtype=np.uint8)
        image = Image.blend(image, Image.fromarray(grain).resize(size, Image.Resampling.BICUBIC), share)
    image.save(path, quality=80 + number % 11)


if __name__ == "__main__":
    main()
