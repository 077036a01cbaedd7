"""One step of the optimisation beside its floor: a bare forward and backward pass of the layers it uses.

    python -m benchmarks.step --width 256 --height 108

Prints seconds of each, taken in turn, their ratio, and the network's GFLOP/s; and the seconds of what a frame takes
once, before the first step and after the last. On a GPU also how often a step makes the processor wait for it: once,
for the loss that the stopping rule looks at. Random weights cost what trained ones do.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median

import torch

from pipeline.device import network_dtype, pick_device
from pipeline.painting.frame import Painter
from pipeline.params import default_params
from pipeline.vgg import CHANNELS, VGG16

ROUNDS = 3
STEPS = 20


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=256, help="of the frame, in pixels")
    parser.add_argument("--height", type=int, default=108, help="of the frame, in pixels")
    arguments = parser.parse_args()
    shape = (3, arguments.height, arguments.width)
    device = pick_device()
    dtype = network_dtype(device)
    network = VGG16().requires_grad_(False).to(memory_format=torch.channels_last).to(device, dtype)
    network.mean = network.mean.float()
    style, image = torch.rand(shape), torch.rand(shape)
    settings = replace(default_params().stylize, stop_relative_change=0.0)  # all steps are taken
    painter = Painter(network, [style], settings, first=image, device=device)
    layers = {*settings.content_layers, *settings.style_layers}

    def bare_passes() -> None:
        for _ in range(STEPS):
            pixels = image[None].to(device).requires_grad_()
            taps = network.taps(pixels, layers)
            torch.autograd.backward([tap.sum() for tap in taps.values()])

    def paint(steps: int) -> None:
        painter.paint(image, start=image, iterations=steps)

    bare_passes()
    works = bare_passes, partial(paint, STEPS), partial(paint, 2 * STEPS)
    rounds = [[timed(work) for work in works] for _ in range(ROUNDS)]
    bare_s, once_s, twice_s = (median(times) for times in zip(*rounds, strict=True))
    floor_s, step_s = bare_s / STEPS, (twice_s - once_s) / STEPS
    gigaflops = 2 * flops(arguments.height, arguments.width, max(layers)) / 1e9
    print(f"{arguments.width} x {arguments.height} pixels, {str(dtype).removeprefix('torch.')} on {device}")
    print(f"bare pass  {floor_s:.4f} s, {gigaflops / floor_s:.0f} GFLOP/s")
    print(f"step       {step_s:.4f} s, {step_s / floor_s:.2f} of the bare pass")
    print(f"once       {2 * once_s - twice_s:.4f} s a frame")
    if device.type == "cuda":
        waits = (count_waits(works[2]) - count_waits(works[1])) / STEPS
        print(f"waits      {waits:g} a step")


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work()`` takes, until a GPU has done what it was asked to."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def count_waits(work: Callable[[], object]) -> int:
    """How often ``work()`` makes the processor wait for the GPU."""
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True, action="always") as caught:
        work()
    torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(each.message) for each in caught)


def flops(height: int, width: int, last_layer: str) -> float:
    """Operations of the convolutions up to ``last_layer`` in one forward pass; backward to the pixels takes as many."""
    total, channels_in = 0, 3
    for block, (channels, depth) in CHANNELS.items():
        for i in range(1, depth + 1):
            total += 2 * 9 * channels_in * channels * (height >> (block - 1)) * (width >> (block - 1))
            channels_in = channels
            if f"relu{block}_{i}" == last_layer:
                return total
    return total


if __name__ == "__main__":
    main()
