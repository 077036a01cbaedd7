"""Paint frames of any size in a mixture of the styles of a :class:`FastNetwork`, as fast as the machine can."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.console import UserError
from pipeline.device import network_dtype
from pipeline.fast.folded import fold
from pipeline.fast.network import FastNetwork
from pipeline.motion import Frame

Paint = Callable[[Frame], Frame]
"""A frame (H, W, 3), uint8 RGB, to the painted one."""
Fold = Callable[[Tensor], Paint]
"""Weights (styles,) on the CPU, which add up to 1, to what paints in that mixture, in several threads at a time."""


@dataclass(frozen=True)
class Mixture:
    """Of the styles, and by ``1 - strength`` of the frame itself."""

    paint: Paint
    strength: float


class FastPainter:
    """Paints in the mixture of the last :meth:`mix`, at first in equal shares of all styles; ``names`` are theirs."""

    def __init__(self, names: Sequence[str], fold: Fold) -> None:
        self.names = tuple(names)
        self.fold = fold
        self.mix(dict.fromkeys(self.names, 1.0))

    def mix(self, weights: Mapping[str, float], strength: float = 1.0) -> None:
        """Take styles by their ``weights``, of any sum, and the frame itself by 1 - ``strength``, 0 to 1.

        Takes the time of a fraction of a frame. Raises :class:`UserError` for a style that the network does not have,
        and for weights that do not add up to something.
        """
        unknown = [name for name in weights if name not in self.names]
        if unknown:
            raise UserError(f"there is no style {unknown[0]}; choose among {', '.join(self.names)}")
        shares = torch.tensor([weights.get(name, 0.0) for name in self.names])
        total = shares.sum()
        if not (bool(total.isfinite()) and total > 0 and shares.min() >= 0):
            raise UserError(f"weights {', '.join(map(str, weights.values()))} are none; none below 0, one above it")
        self.mixture = Mixture(self.fold(shares / total), strength)

    def paint(self, frame: Frame, mixture: Mixture | None = None) -> Frame:
        """A frame (H, W, 3), uint8 RGB, to the painted one, in the last mixture or in an earlier one."""
        chosen = mixture or self.mixture  # another thread may mix meanwhile
        painted = chosen.paint(frame)
        if chosen.strength < 1:
            mixed = cv2.addWeighted(painted, chosen.strength, frame, 1 - chosen.strength, 0)
            return np.asarray(mixed, np.uint8)
        return painted


def torch_painter(network: FastNetwork, device: torch.device) -> FastPainter:
    """Paints on ``device``, in its fastest precision."""
    network, dtype = network.to(device), network_dtype(device)

    @torch.no_grad()
    def fold_in(weights: Tensor) -> Paint:
        folded = fold(network, weights.to(device), dtype)

        @torch.no_grad()
        def paint(frame: Frame) -> Frame:
            pixels = torch.from_numpy(np.array(frame)).to(device)  # frames may be read-only
            return folded(pixels).round_().byte().cpu().numpy()

        return paint

    return FastPainter(network.names, fold_in)
