"""Paint the frames of a clip one after the other, each near the last one carried along the optical flow.

Finished frames wait in a folder, in float32, so that a run that was stopped goes on where it was, with the same result.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.console import progress
from pipeline.files import replacing
from pipeline.motion import ClipFlow, optical_flow, reliability, warp
from pipeline.painting.frame import Painter
from pipeline.painting.losses import Neighbour
from pipeline.params import Flow
from pipeline.tensors import to_pixels, to_tensor

Frame = NDArray[np.uint8]
"""RGB, (H, W, 3)."""

Field = NDArray[np.float32]
Motion = Callable[[int, Frame, Frame], tuple[Field, Field]]
"""``motion(i, previous, current)``: flow (H, W, 2) in pixels from frame i to i - 1, and its reliability (H, W)."""

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


@dataclass(frozen=True)
class FrameCost:
    """What one frame took."""

    iterations: int
    seconds: float


def stored_motion(flow: ClipFlow) -> Motion:
    """The motion that was computed before."""

    def stored(index: int, previous: Frame, current: Frame) -> tuple[Field, Field]:
        return flow.backward(index - 1), flow.reliability(index - 1)

    return stored


def live_motion(settings: Flow) -> Motion:
    """The motion, computed when it is asked for."""

    def live(index: int, previous: Frame, current: Frame) -> tuple[Field, Field]:
        forward = optical_flow(previous, current, settings)
        backward = optical_flow(current, previous, settings)
        return backward, reliability(forward, backward, settings)

    return live


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
    painter: Painter, frames: Iterable[Frame], motion: Motion | None, folder: Path, *, total: int | None, name: str
) -> Iterator[tuple[Frame, FrameCost]]:
    """Yield each of ``frames`` painted, and what it cost.

    Without ``motion`` every frame is painted on its own. ``folder`` keeps finished frames and gives them back.
    """
    settings = painter.settings
    last: tuple[Frame, Tensor] | None = None
    with progress(total=total, unit="frame", description=f"paint {name}") as bar:
        for index, frame in enumerate(frames):
            path = folder / f"frame-{index:06d}.npz"
            if not path.exists():
                content = to_tensor(frame)
                start, neighbour, iterations = content, None, settings.first_frame_iterations
                if motion is not None and last is not None:
                    flow, reliable = motion(index, last[0], frame)
                    if reliable.mean() >= CUT_RELIABILITY:
                        weights = torch.from_numpy(reliable)
                        warped, _ = warp(last[1], torch.from_numpy(flow), fill=(0, 0, 0))
                        start = fill_in(warped, content, weights)
                        neighbour = Neighbour(warped[None].to(painter.device), weights.to(painter.device))
                        iterations = settings.next_frame_iterations
                began = time.perf_counter()
                painted = painter.paint(content, start=start, neighbour=neighbour, iterations=iterations)
                cost = FrameCost(painted.iterations, time.perf_counter() - began)
                with replacing(path) as temporary:
                    np.savez(temporary, image=painted.image.numpy(), iterations=cost.iterations, seconds=cost.seconds)
            with np.load(path, allow_pickle=False) as stored:
                image = torch.from_numpy(stored["image"])
                cost = FrameCost(int(stored["iterations"]), float(stored["seconds"]))
            last = frame, image
            bar.update()
            yield to_pixels(image), cost


def fill_in(warped: Tensor, content: Tensor, weights: Tensor) -> Tensor:
    """Where to start: the last painted frame, warped (3, H, W), and where its weight (H, W) is 0, recoloured content.

    Ruder 2016 starts from the warped frame everywhere; where something was uncovered, that leaves a ghost of what hid
    it. Content in its own colours would stay as it is: its content loss is nil, and the style is met elsewhere.
    """
    return torch.lerp(recolour(content, warped, weights), warped, weights)


def recolour(content: Tensor, painted: Tensor, weights: Tensor) -> Tensor:
    """``content`` (3, H, W) under the affine map of colours that brings it nearest to ``painted``, weighted (H, W).

    Ridge regression of the change of colour, so that colours the frame does not have elsewhere stay as they are.
    """
    inputs = torch.cat((content, torch.ones_like(content[:1]))).flatten(1)
    weighted = weights.flatten() * inputs
    normal = weighted @ inputs.T + RIDGE * weights.numel() * torch.eye(len(inputs))
    change: Tensor = torch.linalg.solve(normal, weighted @ (painted - content).flatten(1).T)
    return (content + (change.T @ inputs).reshape(content.shape)).clamp(0, 1)
