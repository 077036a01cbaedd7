"""What a core does of each stage: the rates that docs/scaling.md reckons with.

    python -m benchmarks.costs

Works in a temporary folder, with one thread and random weights, and prints items a second of this process's own time,
which other work on the machine hardly changes. Takes two minutes.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.prepare import SHORT_SIDE_PX, make_crawl
from pipeline.device import network_dtype
from pipeline.fast.network import FastNetwork, Widths
from pipeline.images import load_rgb
from pipeline.imitations import imitate
from pipeline.painting.frame import Painter
from pipeline.params import default_params
from pipeline.splits import near_pairs
from pipeline.stages.prepare import IMAGES, MANIFEST, decode_one
from pipeline.transfer import imitate_style
from pipeline.trunk import Row, compute_features
from pipeline.vgg import VGG16
from scrapers.items import read_manifest

CPU = torch.device("cpu")
WORKS = 64
PHOTOGRAPHS, VIEWS, CROP_PX, BATCH = 8, 8, 224, 64
"""Of the full run, but for the number of photographs."""
HASHES = 20_000
WIDTH_PX, HEIGHT_PX, STEPS = 640, 272, 4


def main() -> None:
    """Measure all of them."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"one core, {str(network_dtype(CPU)).removeprefix('torch.')}")
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        measure_images(Path(name))
        os.chdir("/")
    measure_training()
    measure_frames()


def measure_images(folder: Path) -> None:
    """``prepare``, ``imitations`` and ``features``."""
    make_crawl(folder, WORKS)
    works = list(read_manifest(MANIFEST))
    for work in works:
        (IMAGES / work.source / work.label).mkdir(parents=True, exist_ok=True)
    settings = replace(default_params().prepare, short_side_px=SHORT_SIDE_PX)
    report("prepare, images", len(works), lambda: [decode_one(work, settings) for work in works])
    hashes = np.random.default_rng(0).integers(0, 2**63, HASHES, dtype=np.uint64)
    report("near-duplicates, million pairs", HASHES**2 / 2e6, lambda: near_pairs(hashes, 6))

    paths = sorted(IMAGES.rglob("*.jpg"))[:PHOTOGRAPHS]
    photographs = [np.array(load_rgb(path)) for path in paths]
    random = np.random.default_rng(0)
    report("imitations by filters", PHOTOGRAPHS, lambda: [imitate(each, random) for each in photographs])
    network = VGG16().freeze_trunk().eval().cast_trunk(network_dtype(CPU))
    styled = photographs[0], photographs[-1], CROP_PX, random
    report("imitations of a style", 1, lambda: imitate_style(network, *styled))
    rows = [Row(str(path), "", "", "train", view, "image") for path in paths for view in range(VIEWS)]
    report(
        f"features, views of {CROP_PX} px",
        len(rows),
        lambda: list(compute_features(network, rows, crop_px=CROP_PX, dtype="float16", seed=1, processes=0)),
    )


def measure_training() -> None:
    """``finetune``: a step, and what its linear probe looks at."""
    network = VGG16(first_block=5).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    features = torch.rand(BATCH, 512, CROP_PX // 16, CROP_PX // 16).to(memory_format=torch.channels_last)
    targets = torch.rand(BATCH).round()
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=network_dtype(CPU) == torch.bfloat16)

    def step() -> None:
        with autocast:
            loss = binary_cross_entropy_with_logits(network.classify(features), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    def pool() -> None:
        with torch.inference_mode(), autocast:
            network.pool(features)

    report("finetune, rows trained on", BATCH, step)
    report("finetune, rows for the probe", BATCH, pool)


def measure_frames() -> None:
    """A step of ``stylize``, and a frame of the small network of a full run."""
    network = VGG16().requires_grad_(False).to(memory_format=torch.channels_last).to(network_dtype(CPU))
    network.mean = network.mean.float()
    frame = torch.rand(3, HEIGHT_PX, WIDTH_PX)
    settings = replace(default_params().stylize, stop_relative_change=0.0, scales=1)
    painter = Painter(network, [frame], settings, first=frame, device=CPU)
    report(f"steps of {WIDTH_PX} x {HEIGHT_PX} px", STEPS, lambda: painter.paint(frame, start=frame, iterations=STEPS))
    small = FastNetwork(Widths(fine=32, coarse=80, blocks=4), ("a",)).eval().to(memory_format=torch.channels_last)

    def fast() -> None:
        with torch.inference_mode():
            small(frame[None], torch.ones(1, 1))

    report("frames in one pass", 1, fast)


def report(title: str, count: float, work: Callable[[], object]) -> None:
    """Print the rate of ``work``, of which the first run does not count."""
    work()
    started = time.process_time()
    work()
    print(f"{title:30}  {count / (time.process_time() - started):8.3g} /s", flush=True)


if __name__ == "__main__":
    main()
