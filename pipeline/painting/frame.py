"""Paint one image: the content of a photograph, the style of a picture, and nearness to a painted neighbour."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pipeline.console import UserError
from pipeline.device import network_dtype
from pipeline.painting.losses import Losses, Neighbour, frame_losses, gram_matrix
from pipeline.painting.optimise import DivergedError, Stop, minimise
from pipeline.params import Stylize
from pipeline.vgg import VGG16, load_network

MIN_SIDE_PX = 32
"""Below this the fifth block sees fewer than two positions."""


@dataclass(frozen=True)
class Painted:
    """A painted frame and what it took."""

    image: Tensor
    """(3, H, W) in [0, 1], float32, on the CPU."""
    iterations: int


def painting_network(weights: Path, model: Path | None, device: torch.device) -> VGG16:
    """The network to paint with, in the precision that is fast on ``device``; losses and pixels stay in float32.

    Without a ``model`` it is plain VGG16.
    """
    network = load_network(weights, model).requires_grad_(False)
    for parameter in network.parameters():
        parameter.data = parameter.data.to(network_dtype(device))
    return network.to(memory_format=torch.channels_last).to(device)


class Painter:
    """A style and the settings of the optimisation, ready to paint images of one size.

    ``style`` is (3, H, W) in [0, 1] of any size: it is resized to the area of the content, as in Ruder 2016.
    """

    def __init__(
        self, network: VGG16, style: Tensor, settings: Stylize, *, height_px: int, width_px: int, device: torch.device
    ) -> None:
        if min(height_px, width_px) < MIN_SIDE_PX:
            raise UserError(f"{width_px} x {height_px} pixels are too few to paint: each side needs {MIN_SIDE_PX}")
        self.settings = settings
        self.device = device
        self.network = network.requires_grad_(False)
        self.layers = {*settings.content_layers, *settings.style_layers}
        scale = (height_px * width_px / (style.shape[1] * style.shape[2])) ** 0.5
        resized = interpolate(
            style[None], scale_factor=scale, mode="bilinear", antialias=True, recompute_scale_factor=True
        )
        with torch.no_grad():
            taps = network.taps(resized.clamp(0, 1).to(device), settings.style_layers)
            self.grams = {name: gram_matrix(tap) for name, tap in taps.items()}

    def paint(
        self,
        content: Tensor,
        *,
        start: Tensor,
        neighbour: Neighbour | None = None,
        iterations: int,
        on_iteration: Callable[[], object] = lambda: None,
    ) -> Painted:
        """Paint ``content`` (3, H, W) from ``start`` (3, H, W), both in [0, 1], in at most ``iterations``.

        Raises :class:`UserError` if the loss is not finite from the start.
        """
        content_taps = self.content_taps(content)

        def objective(image: Tensor) -> Tensor:
            taps = self.network.taps(image, self.layers)
            return frame_losses(image, taps, content_taps, self.grams, neighbour).total(self.settings)

        stop = Stop(iterations, self.settings.stop_relative_change, self.settings.stop_window)
        try:
            image, done = minimise(start[None].to(self.device), objective, stop, on_iteration)
        except DivergedError:
            raise UserError("the loss is not finite: lower the weights under stylize in params.yaml") from None
        return Painted(image[0].cpu(), done)

    @torch.no_grad()
    def losses(self, image: Tensor, content_taps: Mapping[str, Tensor]) -> Losses:
        """The terms, not weighted, for a lone ``image`` (3, H, W) in [0, 1] of a content with these activations."""
        x = image[None].to(self.device)
        taps = self.network.taps(x, self.layers)
        return frame_losses(x, taps, content_taps, self.grams, None)

    @torch.no_grad()
    def content_taps(self, content: Tensor) -> Mapping[str, Tensor]:
        """The activations that an image of ``content`` (3, H, W), in [0, 1], should have."""
        return self.network.taps(content[None].to(self.device), self.settings.content_layers)
