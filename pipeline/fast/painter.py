"""Paint frames of any size in a mixture of the styles of a :class:`FastNetwork`, as fast as the machine can."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.console import UserError
from pipeline.device import network_dtype, pick_device
from pipeline.fast.files import load_fast
from pipeline.fast.folded import fold
from pipeline.fast.network import FastNetwork
from pipeline.motion import Frame


@dataclass(frozen=True)
class Mixture:
    """Of the styles, and by ``1 - strength`` of the frame itself."""

    folded: Callable[[Tensor], Tensor]
    """Frame (H, W, 3), uint8, to the painted one, 0 to 255 and not rounded."""
    strength: float


class FastPainter:
    """Paints in the mixture of the last :meth:`mix`, at first in equal shares of all styles; ``names`` are theirs."""

    def __init__(self, network: FastNetwork, device: torch.device) -> None:
        self.names = network.names
        self._network = network.to(device)
        self._device = device
        self._dtype = network_dtype(device)
        self.mix(dict.fromkeys(self.names, 1.0))

    @torch.no_grad()
    def mix(self, weights: Mapping[str, float], strength: float = 1.0) -> None:
        """Take styles by their ``weights``, of any sum, and the frame itself by 1 - ``strength``, 0 to 1.

        Takes the time of a fraction of a frame. Raises :class:`UserError` for a style that the network does not have,
        and for weights that do not add up to something.
        """
        unknown = [name for name in weights if name not in self.names]
        if unknown:
            raise UserError(f"there is no style {unknown[0]}; choose among {', '.join(self.names)}")
        shares = torch.tensor([weights.get(name, 0.0) for name in self.names], device=self._device)
        total = shares.sum()
        if not (bool(total.isfinite()) and total > 0 and shares.min() >= 0):
            raise UserError(f"weights {', '.join(map(str, weights.values()))} are none; none below 0, one above it")
        self.mixture = Mixture(self._fold(shares / total), strength)

    def _fold(self, shares: Tensor) -> Callable[[Tensor], Tensor]:
        return fold(self._network, shares, self._dtype)

    @torch.no_grad()
    def paint(self, frame: Frame, mixture: Mixture | None = None) -> Frame:
        """A frame (H, W, 3), uint8 RGB, to the painted one, in the last mixture or in an earlier one."""
        chosen = mixture or self.mixture  # another thread may mix meanwhile
        pixels = torch.from_numpy(np.array(frame)).to(self._device)  # frames may be read-only
        painted = chosen.folded(pixels)
        if chosen.strength < 1:
            painted = torch.lerp(pixels.to(painted.dtype), painted, chosen.strength)
        return painted.round_().byte().cpu().numpy()


def load_fast_painter(path: Path) -> FastPainter:
    """The painter of a file of :func:`pipeline.fast.files.save_fast`, on the fastest device."""
    return FastPainter(load_fast(path), pick_device())
