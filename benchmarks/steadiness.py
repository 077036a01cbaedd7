"""How steady the small network paints, beside the same one trained without temporal loss, and that one smoothed.

    python -m benchmarks.steadiness --clip clip.mp4 --untemporal untemporal.safetensors --network fast.safetensors

Smoothed is an exponential average of 0.8 along the optical flow, where that can be relied on: no training, but flow for
every frame. Unpainted is the clip itself, at 0.9 of the sharpness of the first: a camera's noise and the flow's errors
alone, and so about as steady as what is painted frame by frame can be without being blurred. Prints for each style
whose picture is in ``--styles``, and on average over them, the short-term warping error, sharpness and the style loss
of plain VGG16, each as a share of what the network without temporal loss gets.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq  # type: ignore[import-untyped]

from benchmarks.jobs import WEIGHTS
from pipeline.device import pick_device
from pipeline.fast.files import load_fast
from pipeline.fast.painter import FastPainter, torch_painter
from pipeline.images import load_rgb
from pipeline.motion import Frame, live_motion, warp
from pipeline.painting.frame import Painter, painting_network
from pipeline.params import Flow, default_params
from pipeline.steadiness import sharpness, warping_errors
from pipeline.tensors import to_pixels, to_tensor
from pipeline.video import parse_frames, read_frames

SMOOTHING = 0.8
LEAST_SHARPNESS = 0.9
MOST_SHARPENED = 8.0
"""Times the detail of a clip that may be added to it, far more than any painting has."""
KINDS = ("untemporal", "smoothed", "unpainted", "network")
FIGURES = ("warping error", "sharpness", "style loss")
JUDGED_INTERVAL = 4
"""Frames from one whose style is judged to the next: it changes little between them."""


def main() -> None:
    """Compare the four."""
    params = default_params()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=Path("data/clips/street.mp4"), help="a video")
    parser.add_argument("--frames", default="0:18", help="first and end frame, without a cut between them")
    parser.add_argument("--width", type=int, default=None, help="of the frames, in pixels")
    parser.add_argument("--network", type=Path, default=Path("data/models/fast.safetensors"))
    parser.add_argument("--untemporal", type=Path, required=True, help="trained with distill.temporal_weight 0")
    parser.add_argument("--styles", type=Path, default=Path("data/styles"), help="a folder with NAME.png or NAME.jpg")
    arguments = parser.parse_args()
    frames = list(read_frames(arguments.clip, parse_frames(arguments.frames), arguments.width))
    untemporal, network = (
        torch_painter(load_fast(path), pick_device()) for path in (arguments.untemporal, arguments.network)
    )
    judging, first = painting_network(WEIGHTS, None, pick_device()), to_tensor(frames[0])
    settings = replace(params.stylize, jobs={}, scales=1)
    print(f"{len(frames)} frames of {frames[0].shape[1]} x {frames[0].shape[0]} pixels; {', '.join(FIGURES)}")
    shares = []
    for name in network.names:
        pictures = [path for path in arguments.styles.iterdir() if path.stem == name]
        if not pictures:
            continue
        painted = dict(zip(KINDS, paint(frames, untemporal, network, name, params.flow), strict=True))
        painter = Painter(judging, [to_tensor(load_rgb(pictures[0]))], settings, first=first, device=pick_device())
        figures = measure(frames, painted, painter)
        shares.append(figures / figures[0])
        show(name, shares[-1], figures)
    show("mean", np.mean(shares, axis=0))


def paint(
    frames: list[Frame], untemporal: FastPainter, network: FastPainter, style: str, flow: Flow
) -> tuple[list[Frame], ...]:
    """The frames as each of ``KINDS`` shows them."""
    for painter in (untemporal, network):
        painter.mix({style: 1.0})
    alone = [untemporal.paint(frame) for frame in frames]
    unpainted = sharpen(frames, LEAST_SHARPNESS * mean_sharpness(alone))
    return alone, list(smooth(frames, alone, flow)), unpainted, [network.paint(frame) for frame in frames]


def sharpen(frames: list[Frame], wanted: float) -> list[Frame]:
    """The frames with as much of their own detail added, or taken away, as makes them as sharp as ``wanted``."""

    def with_detail(gain: float) -> list[Frame]:
        blurred = [cv2.GaussianBlur(frame, (0, 0), 1) for frame in frames]
        pairs = zip(frames, blurred, strict=True)
        return [np.asarray(cv2.addWeighted(frame, 1 + gain, soft, -gain, 0), np.uint8) for frame, soft in pairs]

    return with_detail(brentq(lambda gain: mean_sharpness(with_detail(gain)) - wanted, -1, MOST_SHARPENED, xtol=0.01))


def mean_sharpness(frames: list[Frame]) -> float:
    """Of a clip; see :func:`pipeline.steadiness.sharpness`."""
    return float(np.mean([sharpness(frame) for frame in frames]))


def smooth(frames: list[Frame], painted: list[Frame], flow: Flow) -> Iterator[Frame]:
    """Each painted frame averaged with the last average, carried along the motion of the clip."""
    motion, average = live_motion(flow), to_tensor(painted[0])
    yield painted[0]
    for index in range(1, len(frames)):
        back, reliable = motion(index, frames[index], index - 1, frames[index - 1])
        carried, _ = warp(average, torch.from_numpy(back), fill=(0, 0, 0))
        average = torch.lerp(to_tensor(painted[index]), carried, SMOOTHING * torch.from_numpy(reliable))
        yield to_pixels(average)


def measure(frames: list[Frame], painted: Mapping[str, list[Frame]], painter: Painter) -> NDArray[np.float64]:
    """The mean of each of ``FIGURES`` for each kind: (kinds, figures)."""
    errors = [
        warping_errors(frames[i], frames[i + 1], [(each[i], each[i + 1]) for each in painted.values()])
        for i in range(len(frames) - 1)
    ]
    losses = [
        [float(painter.losses(to_tensor(each[i]), taps).style) for each in painted.values()]
        for i in range(0, len(frames), JUDGED_INTERVAL)
        for taps in [painter.content_taps(to_tensor(frames[i]))]
    ]
    sharp = [mean_sharpness(each) for each in painted.values()]
    means: NDArray[np.float64] = np.stack(
        (np.mean(np.array(errors, float), 0), np.array(sharp), np.mean(losses, 0)), axis=1
    )
    return means


def show(name: str, shares: NDArray[np.float64], figures: NDArray[np.float64] | None = None) -> None:
    """A line for each kind; of the first, by which the others are divided, the figures themselves."""
    for number, kind in enumerate(KINDS):
        shown = figures[0] if number == 0 and figures is not None else shares[number]
        print(f"{name:16} {kind:11}" + "".join(f"{value:12.4g}" for value in shown), flush=True)


if __name__ == "__main__":
    main()
