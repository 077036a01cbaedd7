"""Paint a clip in many short passes, in turn forwards and backwards (Ruder 2016, section 5.3).

A frame is tied to the one before it and, in the next pass, to the one after it. So what a moving camera uncovers at the
border is painted like what was there all along, and errors do not add up in one direction.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.console import UserError, progress
from pipeline.files import replacing
from pipeline.motion import Frame, Motion, warp
from pipeline.painting.clip import (
    CUT_RELIABILITY,
    FrameCost,
    Weights,
    first_start,
    frame_path,
    load_frame,
    load_mark,
    paint_clip,
    save_frame,
)
from pipeline.painting.frame import Painted, Painter
from pipeline.painting.losses import Neighbour
from pipeline.params import Multipass
from pipeline.tensors import to_pixels, to_tensor


@dataclass(frozen=True)
class Passes:
    """What is the same for every frame of every pass."""

    painter: Painter
    settings: Multipass
    motion: Motion
    weights: Weights
    folder: Path
    """Keeps each frame as its last pass left it."""

    def content(self, index: int) -> Frame:
        """A frame of the clip."""
        path = content_path(self.folder, index)
        try:
            frame: Frame = np.load(path, allow_pickle=False)
        except Exception:  # a file that was changed, or is something else, fails in many ways
            raise UserError(f"{path} is damaged; delete it and run this again") from None
        return frame

    def image(self, index: int) -> Tensor:
        """What was painted of it last, (3, H, W)."""
        return load_frame(frame_path(self.folder, index), self.painter.size)[0]

    def begin(self, index: int) -> Painted:
        """Paint a frame on its own, in the first pass."""
        content, mixture, iterations = to_tensor(self.content(index)), self.weights(index), self.settings.iterations
        start = first_start(content, index, self.painter.settings.start)
        start = self.painter.start_coarse(content, start, mixture, iterations)
        return self.painter.paint(content, start=start, weights=mixture, iterations=iterations)

    def repeat(self, index: int, beside: int | None, *, tied: bool) -> Painted:
        """Paint a frame again, from its last painting mixed with that of the frame ``beside`` it, warped.

        Ruder 2016, eq. 10, with the weight of his code; ``tied``: with the temporal loss.
        """
        frame, start = self.content(index), self.image(index)
        neighbours = []
        if beside is not None:
            flow, reliable = self.motion(index, frame, beside, self.content(beside))
            if reliable.mean() >= CUT_RELIABILITY:
                warped, _ = warp(self.image(beside), torch.from_numpy(flow), fill=(0, 0, 0))
                weight = self.settings.blend_weight * torch.from_numpy(reliable)
                start = (start + weight * warped) / (1 + weight)
                neighbours = [Neighbour(warped[None], torch.from_numpy(reliable))] if tied else []
        return self.painter.paint(
            to_tensor(frame),
            start=start,
            weights=self.weights(index),
            neighbours=neighbours,
            iterations=self.settings.iterations,
        )


def paint_frames(
    painter: Painter,
    frames: Iterable[Frame],
    motion: Motion | None,
    folder: Path,
    *,
    weights: Weights,
    numbers: range,
    name: str,
) -> Iterator[tuple[Frame, FrameCost]]:
    """Yield each of ``frames`` painted, in one pass or in many, as the painter's settings say, and what it cost.

    Without ``motion`` every frame is painted on its own. ``folder`` keeps what is finished, so that a run that was
    stopped goes on where it was; ``numbers`` are those of the frames in the clip.
    """
    if painter.settings.multipass and motion:
        return paint_in_passes(painter, frames, motion, folder, weights=weights, numbers=numbers, name=name)
    return paint_clip(painter, frames, motion, folder, weights=weights, numbers=numbers, name=name)


def paint_in_passes(
    painter: Painter,
    frames: Iterable[Frame],
    motion: Motion,
    folder: Path,
    *,
    weights: Weights,
    numbers: range,
    name: str,
) -> Iterator[tuple[Frame, FrameCost]]:
    """Yield each of ``frames`` as the last pass painted it, and what all passes cost."""
    settings = painter.settings.multipass
    if settings is None:
        raise ValueError("the settings have no passes")
    store_contents(frames, folder, numbers)
    passes = Passes(painter.with_temporal_weight(settings.temporal_weight), settings, motion, weights, folder)
    with progress(total=settings.passes * len(numbers), unit="frame", description=f"paint {name}") as bar:
        for number in range(1, settings.passes + 1):
            beside = None
            for index in numbers if number % 2 else reversed(numbers):
                paint_again(passes, number, index, beside)
                beside = index
                bar.update()
    for index in numbers:
        image, cost = load_frame(frame_path(folder, index), painter.size)
        yield to_pixels(painter.finish(image, to_tensor(passes.content(index)))), cost


def paint_again(passes: Passes, number: int, index: int, beside: int | None) -> None:
    """Bring one frame to what pass ``number``, from 1, makes of it, unless it is there already."""
    path = frame_path(passes.folder, index)
    spent = FrameCost(0, 0.0)
    if path.exists():
        if load_mark(path) >= number:
            return
        _, spent = load_frame(path, passes.painter.size)
    began = time.perf_counter()
    if number == 1:
        painted = passes.begin(index)
    else:
        painted = passes.repeat(index, beside, tied=number >= passes.settings.temporal_from_pass)
    seconds = spent.seconds + time.perf_counter() - began
    save_frame(path, painted.image, FrameCost(spent.iterations + painted.iterations, seconds), number)


def store_contents(frames: Iterable[Frame], folder: Path, numbers: range) -> None:
    """Keep the frames of the clip, which passes need in any order."""
    for index, frame in zip(numbers, frames, strict=True):
        path = content_path(folder, index)
        if not path.exists():
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, frame)


def content_path(folder: Path, index: int) -> Path:
    """Where the frame of this number of the clip is kept."""
    return folder / f"content-{index:06d}.npy"
