"""Paint the frames of a clip one after the other, each near earlier ones carried along the optical flow.

Finished frames wait in a folder, in float32, so that a run that was stopped goes on where it was, with the same result.
"""

import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.console import UserError, progress
from pipeline.files import replacing
from pipeline.motion import Field, Frame, Motion, warp
from pipeline.overlap import ahead
from pipeline.painting.frame import Painted, Painter
from pipeline.painting.losses import Neighbour, closest_first, in_equal_shares
from pipeline.params import Start
from pipeline.tensors import to_pixels, to_tensor

CUT_RELIABILITY = 0.25
"""A frame that shares less than this of its area with the last one begins a new shot. In street footage with cuts,
frames on both sides of one shared 0 to 0.13, any others at least 0.45."""

CODE = (
    *sorted(Path(__file__).parent.glob("*.py")),
    *(Path(__file__).parents[1] / name for name in ("motion.py", "vgg.py")),
)
"""What paints: a frame that other code has painted is no part of this clip."""

RIDGE = 1e-3
"""Strength of the regularisation when colours are matched, in mean squares of the [0, 1] range."""

Weights = Callable[[int], Sequence[float]]
"""The weights of the painter's styles in the frame of a number."""


@dataclass(frozen=True)
class FrameCost:
    """What one frame took."""

    iterations: int
    seconds: float


@dataclass(frozen=True)
class Step:
    """A frame to be painted, or painted before, and how it moved since earlier frames of its shot."""

    index: int
    frame: Frame
    shot: int
    """The first frame of its shot."""
    motions: Mapping[int, tuple[Field, Field]]
    """Earlier frame: flow to it and reliability; the closest first. Empty for the first frame of a shot."""


def work_folder(parent: Path, inputs: Iterable[Path], *settings: object) -> Path:
    """A folder for finished frames, named by all that they depend on: frames of other inputs are never taken for them.

    ``inputs`` and the code that paints count by their bytes, ``settings`` by their ``repr``.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for path in (*inputs, *CODE):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return parent / digest.hexdigest()[:16]


def paint_clip(
    painter: Painter,
    frames: Iterable[Frame],
    motion: Motion | None,
    folder: Path,
    *,
    weights: Weights,
    numbers: range,
    name: str,
) -> Iterator[tuple[Frame, FrameCost]]:
    """Yield each of ``frames`` painted, and what it cost.

    A frame is tied to those that the settings say in its shot (Ruder 2016, eq. 8). ``folder`` keeps finished frames.
    """
    intervals = painter.settings.temporal_intervals
    painted: deque[Tensor] = deque(maxlen=max(intervals))
    with progress(total=len(numbers), unit="frame", description=f"paint {name}") as bar:
        for step in ahead(steps(frames, motion, folder, intervals, numbers), 1):
            path = frame_path(folder, step.index)
            if not path.exists():
                began = time.perf_counter()
                result = paint_step(painter, step, {j: painted[j - step.index] for j in step.motions}, weights)
                cost = FrameCost(result.iterations, time.perf_counter() - began)
                save_frame(path, result.image, cost, step.shot)
            image, cost = load_frame(path, painter.size)
            painted.append(image)
            bar.update()
            yield to_pixels(painter.finish(image, to_tensor(step.frame))), cost


def blend(first: Sequence[float], last: Sequence[float], count: int) -> Weights:
    """Weights that go evenly from those of the ``first`` frame to those of the ``last`` one of ``count``."""

    def weights(index: int) -> list[float]:
        share = min(1.0, index / max(1, count - 1))
        return [(1 - share) * a / sum(first) + share * b / sum(last) for a, b in zip(first, last, strict=True)]

    return weights


def steps(
    frames: Iterable[Frame], motion: Motion | None, folder: Path, intervals: Sequence[int], numbers: range
) -> Iterator[Step]:
    """What is known of each frame before it is painted; the motion only of those that ``folder`` does not hold.

    The first of ``numbers``, those of the frames in the clip, begins a shot.
    """
    earlier: deque[Frame] = deque(maxlen=max(intervals))
    shot = numbers.start
    for index, frame in zip(numbers, frames, strict=True):
        motions: dict[int, tuple[Field, Field]] = {}
        path = frame_path(folder, index)
        if path.exists():
            shot = max(numbers.start, load_mark(path))
        elif motion is None:
            shot = index
        else:
            for interval in intervals:
                if index - interval < shot:
                    break
                found = motion(index, frame, index - interval, earlier[-interval])
                if interval == 1 and found[1].mean() < CUT_RELIABILITY:
                    shot = index
                    break
                motions[index - interval] = found
        earlier.append(frame)
        yield Step(index, frame, shot, motions)


def paint_step(painter: Painter, step: Step, painted: Mapping[int, Tensor], weights: Weights) -> Painted:
    """Paint one frame, near the ``painted`` ones (3, H, W) that its motions lead to."""
    settings, mixture = painter.settings, weights(step.index)
    content = to_tensor(step.frame)
    reliable = [torch.from_numpy(map_) for _, map_ in step.motions.values()]
    closest = closest_first(reliable)
    shares = closest if settings.temporal_shares == "closest-first" else in_equal_shares(reliable)
    warped = [warp(painted[j], torch.from_numpy(flow), fill=(0, 0, 0))[0] for j, (flow, _) in step.motions.items()]
    neighbours = [Neighbour(image[None], weight) for image, weight in zip(warped, shares, strict=True)]
    if not step.motions:
        iterations = settings.first_frame_iterations
        start = first_start(content, step.index, settings.start)
    else:
        iterations = settings.next_frame_iterations
        match settings.start:
            case "noise":
                start = noise(content, step.index)
            case "last":
                start = painted[step.index - 1]
            case "warped":
                start = fill_in(warped, closest, content)
    begun = painter.start_coarse(content, start, mixture, iterations, neighbours)
    return painter.paint(content, start=begun, weights=mixture, neighbours=neighbours, iterations=iterations)


def first_start(content: Tensor, index: int, start: Start) -> Tensor:
    """Where the first frame of a shot starts: ``content`` (3, H, W) itself, or noise."""
    return noise(content, index) if start == "noise" else content


def noise(content: Tensor, index: int) -> Tensor:
    """Uniform noise of the shape of ``content``, always the same for the frame of a number."""
    return torch.rand(content.shape, generator=torch.Generator().manual_seed(index))


def fill_in(warped: Sequence[Tensor], weights: Sequence[Tensor], content: Tensor) -> Tensor:
    """Where to start: painted frames, warped (3, H, W), by their weights (H, W), and recoloured content for the rest.

    Ruder 2016 starts from the warped last frame everywhere; where something was uncovered, that leaves a ghost of what
    hid it. Content in its own colours would stay as it is: its content loss is nil, and the style is met elsewhere.
    """
    known = torch.stack([weight * image for weight, image in zip(weights, warped, strict=True)]).sum(dim=0)
    weight = torch.stack(list(weights)).sum(dim=0)
    return known + (1 - weight) * recolour(content, known / weight.clamp_min(1e-6), weight)


def recolour(content: Tensor, painted: Tensor, weights: Tensor) -> Tensor:
    """``content`` (3, H, W) under the affine map of colours that brings it nearest to ``painted``, weighted (H, W).

    Ridge regression of the change of colour, so that colours the frame does not have elsewhere stay as they are.
    """
    inputs = torch.cat((content, torch.ones_like(content[:1]))).flatten(1)
    weighted = weights.flatten() * inputs
    normal = weighted @ inputs.T + RIDGE * weights.numel() * torch.eye(len(inputs))
    change: Tensor = torch.linalg.solve(normal, weighted @ (painted - content).flatten(1).T)
    return (content + (change.T @ inputs).reshape(content.shape)).clamp(0, 1)


def frame_path(folder: Path, index: int) -> Path:
    """Where the frame of this number waits, once it is finished."""
    return folder / f"frame-{index:06d}.npz"


def save_frame(path: Path, image: Tensor, cost: FrameCost, mark: int) -> None:
    """Keep a finished frame (3, H, W), what it cost, and a number that tells how far it is, whole or not at all."""
    with replacing(path) as temporary:
        np.savez(temporary, image=image.numpy(), iterations=cost.iterations, seconds=cost.seconds, mark=mark)


def load_frame(path: Path, size: tuple[int, int]) -> tuple[Tensor, FrameCost]:
    """A finished frame (3, H, W) of ``size`` (H, W), and what it cost; raises :class:`UserError` for a damaged one."""
    with _stored(path) as stored:
        image, cost = torch.from_numpy(stored["image"]), FrameCost(int(stored["iterations"]), float(stored["seconds"]))
        sound = image.shape == (3, *size) and image.dtype == torch.float32 and bool(image.isfinite().all())
        if not sound or cost.iterations < 0 or not 0 <= cost.seconds < math.inf:
            raise ValueError
        return image, cost


def load_mark(path: Path) -> int:
    """The number that a finished frame was kept with; raises :class:`UserError` for a damaged one."""
    with _stored(path) as stored:
        return int(stored["mark"])


@contextmanager
def _stored(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if sum(member.file_size for member in stored.zip.infolist()) > path.stat().st_size:
                raise ValueError  # compressed: not by save_frame
            yield stored
    except Exception:  # a file that was changed, or is something else, fails in many ways
        raise UserError(f"{path} is damaged; delete it and run this again") from None
