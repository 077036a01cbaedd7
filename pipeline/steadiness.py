"""How steady painted frames are, and how sharp: blur alone would be steady."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from pipeline.motion import Frame, optical_flow, reliability, warp
from pipeline.painting.clip import CUT_RELIABILITY
from pipeline.params import Flow
from pipeline.tensors import to_tensor

YARDSTICK = Flow(
    finest_scale=0,
    gradient_descent_iterations=50,
    variational_refinement_iterations=10,
    consistency_ratio=0.01,
    consistency_offset=0.5,
    boundary_ratio=0.01,
    boundary_offset=0.002,
)
"""The flow that videos are measured with does not change with the one that they are painted with."""


def warping_errors(first: Frame, second: Frame, painted: Sequence[tuple[Frame, Frame]]) -> list[float | None]:
    """Warping error of each pair of ``painted`` frames under the motion from ``first`` to ``second``, unpainted.

    The mean, over channels and the pixels that both frames show, of the squared difference between a frame and the
    later one warped back to it, in [0, 1] (Lai 2018, "Learning Blind Video Temporal Consistency", E_warp; their
    sum over channels is three times as large). None across a cut, where painting begins anew.
    """
    there, back = optical_flow(first, second, YARDSTICK), optical_flow(second, first, YARDSTICK)
    reliable = reliability(back, there, YARDSTICK)
    if reliable.mean() < CUT_RELIABILITY:
        return [None] * len(painted)
    shown = torch.from_numpy(reliable >= 0.5)
    errors: list[float | None] = []
    for earlier, later in painted:
        warped, _ = warp(to_tensor(later), torch.from_numpy(there), fill=(0, 0, 0))
        errors.append(float((to_tensor(earlier) - warped).square().mean(dim=0)[shown].mean()))
    return errors


def sharpness(frame: Frame) -> float:
    """Mean magnitude of the luminance gradient, in levels of 255 per pixel."""
    along_y, along_x = np.gradient(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32))
    return float(np.hypot(along_x, along_y).mean())
