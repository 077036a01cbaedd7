"""Optical flow between frames, warping along it, and how far it can be relied on.

A flow has the shape (H, W, 2) and holds (dx, dy) in pixels: what one frame shows at (x, y), the other shows at
(x + dx, y + dy).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional

from pipeline.console import UserError
from pipeline.params import Flow

MIN_SIDE_PX = 16
"""DIS raises on images with a side of less than 12 pixels, too small for its patches on any scale."""
Frame = NDArray[np.uint8]
"""RGB, (H, W, 3)."""
Field = NDArray[np.float32]
Motion = Callable[[int, Frame, int, Frame], tuple[Field, Field]]
"""``motion(i, frame, j, other)``: flow (H, W, 2) in pixels from frame i to frame j, and its reliability (H, W)."""
Positions = TypeVar("Positions", Tensor, NDArray[Any])
EDGE_SIGMA_PX = 0.8
"""Of the Gaussian that softens the edges of the reliability (Ruder 2016)."""


def optical_flow(first: Frame, second: Frame, settings: Flow) -> Field:
    """Flow (H, W, 2) from ``first`` to ``second``, two RGB frames (H, W, 3) of one size, on the grid of ``first``.

    Dense inverse search: Kroeger, Timofte, Dai and Van Gool, "Fast Optical Flow using Dense Inverse Search" (2016).
    """
    height, width = first.shape[:2]
    padding = (0, max(0, MIN_SIDE_PX - height), 0, max(0, MIN_SIDE_PX - width))
    grays = [
        cv2.copyMakeBorder(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), *padding, cv2.BORDER_REPLICATE)
        for frame in (first, second)
    ]
    search = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_MEDIUM)
    search.setFinestScale(settings.finest_scale)
    if settings.finest_scale == 0:
        search.setPatchStride(2)  # the preset's 3 leaves fine detail unmatched at full resolution
    search.setGradientDescentIterations(settings.gradient_descent_iterations)
    search.setVariationalRefinementIterations(settings.variational_refinement_iterations)
    flow: NDArray[np.float32] = search.calc(grays[0], grays[1], None)  # type: ignore[call-overload]  # stub error
    return flow[:height, :width]


def warp(image: Tensor, flow: Tensor, fill: Sequence[float] | Tensor) -> tuple[Tensor, Tensor]:
    """Backward warping, ``warped[:, y, x] = image[:, y + dy, x + dx]``, bilinear.

    ``image`` is (C, H, W) or (N, C, H, W), ``flow`` (H, W, 2) on the grid of the result or, one for each of N images,
    (N, H, W, 2), both float32 on one device. Returns the warped image and the mask, bool (H, W) or (N, H, W), of the
    pixels whose source lies outside the image, more than half a pixel from the centres of the outermost ones; they have
    the colour ``fill`` (C values).
    """
    height, width = flow.shape[-3:-1]
    x = flow[..., 0] + torch.arange(width, device=flow.device)
    y = flow[..., 1] + torch.arange(height, device=flow.device)[:, None]
    outside = _is_outside(x, y, height, width)
    # To grid_sample the centre of the first pixel is at -1 and that of the last at 1.
    grid = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), dim=-1)
    batch = image.view(-1, *image.shape[-3:])
    warped = functional.grid_sample(
        batch, grid.expand(len(batch), -1, -1, -1), padding_mode="border", align_corners=True
    ).view(image.shape)
    colour = torch.as_tensor(fill, dtype=image.dtype, device=image.device).view(-1, 1, 1)
    return torch.where(outside.unsqueeze(-3), colour, warped), outside


def reliability(forward: NDArray[np.float32], backward: NDArray[np.float32], settings: Flow) -> NDArray[np.float32]:
    """How far ``backward`` can be relied on at each pixel of the second frame: (H, W), from 0 to 1.

    ``forward`` leads from the first frame to the second, ``backward`` back, each (H, W, 2) on the grid of its frame.
    0 where the first frame did not show the pixel, or at the boundary of a motion; 1 elsewhere; soft edges.
    Ruder, Dosovitskiy and Brox, "Artistic Style Transfer for Videos" (2016), equations 5 and 6, with the edges of
    their consistencyChecker.
    """
    # Not by torch: this runs in a thread beside the painting, whose threads a second team of OpenMP slows down.
    height, width = backward.shape[:2]
    y, x = np.mgrid[:height, :width] + np.moveaxis(backward, 2, 0)[::-1]
    carried = [map_coordinates(part, (y, x), order=1, mode="nearest") for part in np.moveaxis(forward, 2, 0)]
    back = np.stack(carried, axis=-1)
    disoccluded = _is_outside(x, y, height, width) | (
        _square(back + backward)
        >= settings.consistency_ratio * (_square(back) + _square(backward)) + settings.consistency_offset
    )
    along_y, along_x = (np.gradient(backward, axis=axis) for axis in (0, 1))
    boundary = (
        _square(along_x) + _square(along_y) > settings.boundary_ratio * _square(backward) + settings.boundary_offset
    )
    weight = np.select((disoccluded, boundary), (np.float32(-1), np.float32(0)), np.float32(1))
    # The Gaussian makes -1 spread where 0 would shrink: nothing of a disoccluded pixel is relied on.
    return np.clip(cv2.GaussianBlur(weight, (0, 0), EDGE_SIGMA_PX), 0, 1)


def live_motion(settings: Flow) -> Motion:
    """The motion, computed when it is asked for."""

    def live(index: int, frame: Frame, other_index: int, other: Frame) -> tuple[Field, Field]:
        back, there = optical_flow(frame, other, settings), optical_flow(other, frame, settings)
        return back, reliability(there, back, settings)

    return live


def stored_motion(flows: Mapping[int, "ClipFlow"], settings: Flow) -> Motion:
    """The motion that was computed before, for frames as far apart as the keys of ``flows``."""

    def stored(index: int, frame: Frame, other_index: int, other: Frame) -> tuple[Field, Field]:
        flow = flows[abs(index - other_index)]
        if other_index < index:
            return flow.backward(other_index), flow.reliability(other_index)
        return flow.forward(index), reliability(flow.backward(index), flow.forward(index), settings)

    return stored


def _is_outside(x: Positions, y: Positions, height: int, width: int) -> Positions:
    """Whether positions lie more than half a pixel beyond the centres of an image's outermost pixels."""
    return (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)


def _square(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = np.einsum("...i,...i->...", vectors, vectors)
    return squares


@dataclass(frozen=True, slots=True)
class ClipFlow:
    """The flow over an interval k in a clip of T frames of H x W, as ``data/flow/<clip>/<k>/`` holds it, memory-mapped.

    Entry ``i`` of each array belongs to frames ``i`` and ``i + k``. ``forwards`` and ``backwards`` are
    float16 (T-k, H, W, 2), in pixels; ``reliabilities`` are uint8 (T-k, H, W), 255 for fully reliable.
    """

    forwards: NDArray[np.float16]
    backwards: NDArray[np.float16]
    reliabilities: NDArray[np.uint8]

    @classmethod
    def create(cls, folder: Path, pairs: int, height_px: int, width_px: int) -> Self:
        """New arrays on disk, to be filled."""

        def new(name: str, dtype: type, *channels: int) -> NDArray[Any]:
            shape = (pairs, height_px, width_px, *channels)
            return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)

        return cls(new("forward", np.float16, 2), new("backward", np.float16, 2), new("reliability", np.uint8))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises :class:`UserError` if the files are missing or do not fit together."""
        try:
            forwards, backwards, reliabilities = (
                np.lib.format.open_memmap(folder / f"{name}.npy", mode="r")
                for name in ("forward", "backward", "reliability")
            )
        except FileNotFoundError:
            raise UserError(f"{folder} has no flow; `dvc repro flow@{folder.parent.name}` makes it") from None
        except Exception:  # a file that was cut off, or is something else, fails in many ways
            raise UserError(f"{folder} holds a broken file; delete it and run `dvc repro`") from None
        if not forwards.shape == backwards.shape == (*reliabilities.shape, 2):
            raise UserError(f"the files in {folder} are of different clips; delete it and run `dvc repro`")
        return cls(forwards, backwards, reliabilities)

    def __len__(self) -> int:
        """The number of pairs of frames."""
        return len(self.reliabilities)

    def forward(self, i: int) -> NDArray[np.float32]:
        """From frame ``i`` to frame ``i + k``, on the grid of frame ``i``: (H, W, 2)."""
        return np.asarray(self.forwards[i], np.float32)

    def backward(self, i: int) -> NDArray[np.float32]:
        """From frame ``i + k`` to frame ``i``, on the grid of frame ``i + k``: (H, W, 2)."""
        return np.asarray(self.backwards[i], np.float32)

    def reliability(self, i: int) -> NDArray[np.float32]:
        """Of ``backward(i)``, from 0 to 1: (H, W)."""
        return np.asarray(self.reliabilities[i], np.float32) / np.float32(255)


def open_flows(folder: Path, intervals: Sequence[int]) -> dict[int, ClipFlow]:
    """The flow of a clip by interval. Raises :class:`UserError` if one is missing or broken."""
    return {interval: ClipFlow.open(folder / str(interval)) for interval in intervals}
