"""What a frame costs the small network, in each precision, beside the machine's peak.

    python -m benchmarks.passes --width 640 --height 360

Prints the median and the 95th percentile of the milliseconds of a pass, and its GFLOP/s beside those of a large matrix
product in the same precision. Random weights cost what trained ones do.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.step import timed
from pipeline.device import pick_device
from pipeline.fast.network import FastNetwork, Widths

STYLES = 8
WARM_UP = 5
ROUNDS = 50
PEAK_SIDE = 2048
"""Of the matrices whose product is taken for the peak."""


def main() -> None:
    """Time every precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=640, help="of the frame, in pixels")
    parser.add_argument("--height", type=int, default=360, help="of the frame, in pixels")
    parser.add_argument("--fine", type=int, default=32, help="channels at a quarter of the resolution")
    parser.add_argument("--coarse", type=int, default=80, help="channels at an eighth")
    parser.add_argument("--blocks", type=int, default=4, help="residual blocks")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = pick_device()
    widths = Widths(fine=arguments.fine, coarse=arguments.coarse, blocks=arguments.blocks)
    network = FastNetwork(widths, [str(style) for style in range(STYLES)]).requires_grad_(False).to(device)
    gigaflops = 2 * network.multiply_adds() * arguments.width * arguments.height / 1e9
    print(f"{arguments.width} x {arguments.height} pixels, {network.multiply_adds():.0f} multiply-adds each, {device}")
    for dtype in (torch.float32, torch.bfloat16):
        network.to(dtype).to(memory_format=torch.channels_last)
        image = torch.rand(1, 3, arguments.height, arguments.width, device=device, dtype=dtype)
        weights = torch.full((1, STYLES), 1 / STYLES, device=device, dtype=dtype)
        factor = torch.rand(PEAK_SIDE, PEAK_SIDE, device=device, dtype=dtype)
        pass_ms = milliseconds(lambda image=image, weights=weights: network(image, weights))  # type: ignore[misc]
        peak_ms = milliseconds(lambda factor=factor: factor @ factor, rounds=5)  # type: ignore[misc]
        median, slow = np.percentile(pass_ms, (50, 95))
        peak = 2 * PEAK_SIDE**3 / 1e6 / np.median(peak_ms)
        print(
            f"{str(dtype).removeprefix('torch.'):9} {median:6.1f} ms, 95% within {slow:6.1f} ms, "
            f"{1e3 * gigaflops / median:4.0f} of {peak:4.0f} GFLOP/s"
        )


def milliseconds(work: Callable[[], Tensor], rounds: int = ROUNDS) -> list[float]:
    """Of ``work()``, again and again, to the end of what it started on the device."""

    def whole() -> None:
        work().flatten()[0].item()

    for _ in range(min(WARM_UP, rounds)):
        whole()
    return [1e3 * timed(whole) for _ in range(rounds)]


if __name__ == "__main__":
    main()
