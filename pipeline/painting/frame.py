"""Paint one image: the content of a photograph, the style of pictures, and nearness to painted neighbours."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pipeline.console import UserError
from pipeline.device import network_dtype, pick_device
from pipeline.images import load_rgb
from pipeline.painting.colour import keep_colours, luminance, match_colours, match_luminance
from pipeline.painting.losses import Losses, Neighbour, frame_losses
from pipeline.painting.optimise import DivergedError, Stop, minimise
from pipeline.painting.tiles import TILE_AREA_PX, Seen, taps_and_grams
from pipeline.params import Colours, Stylize
from pipeline.tensors import to_tensor
from pipeline.vgg import VGG16, load_network

MIN_SIDE_PX = 32
"""Below this the fifth block sees fewer than two positions."""


@dataclass(frozen=True)
class Painted:
    """A painted frame and what it took."""

    image: Tensor
    """(3, H, W) in [0, 1], float32, on the CPU."""
    iterations: int
    """At full size."""


def painting_network(weights: Path, model: Path | None, device: torch.device) -> VGG16:
    """The network to paint with, in the precision that is fast on ``device``; losses and pixels stay in float32.

    Without a ``model`` it is plain VGG16.
    """
    network = load_network(weights, model).requires_grad_(False)
    for parameter in network.parameters():
        parameter.data = parameter.data.to(network_dtype(device))
    return network.to(memory_format=torch.channels_last).to(device)


def load_painter(
    weights: Path,
    model: Path | None,
    styles: Sequence[Path],
    settings: Stylize,
    *,
    first: Tensor,
) -> "Painter":
    """A :class:`Painter` out of files, on the fastest device; raises :class:`UserError` for one that cannot be used."""
    device = pick_device()
    network = painting_network(weights, model, device)
    return Painter(network, [to_tensor(load_rgb(style)) for style in styles], settings, first=first, device=device)


class Painter:
    """Styles and the settings of the optimisation, ready to paint images of one size.

    ``styles`` are (3, H, W) in [0, 1] of any size: each is resized to the area of the content, as in Ruder 2016.
    ``first`` (3, H, W), in [0, 1], is one of the images to be painted: all have its size, and styles take on its
    colours where ``settings.colours`` says so.
    """

    def __init__(
        self,
        network: VGG16,
        styles: Sequence[Tensor],
        settings: Stylize,
        *,
        first: Tensor,
        device: torch.device,
    ) -> None:
        height_px, width_px = first.shape[1:]
        if min(height_px, width_px) < MIN_SIDE_PX:
            raise UserError(f"{width_px} x {height_px} pixels are too few to paint: each side needs {MIN_SIDE_PX}")
        self.settings = settings
        self.size = (height_px, width_px)
        self.device = device
        self.network = network.requires_grad_(False)
        recoloured = [_recolour(style, first, settings.colours) for style in styles]
        with torch.no_grad():
            resized = [_resize_to_area(style, height_px * width_px)[None].to(device) for style in recoloured]
            self.grams = [self._seen(style)[1] for style in resized]
        self.coarser: Painter | None = None
        if settings.scales > 1 and min(height_px, width_px) >= 2 * MIN_SIDE_PX:
            fewer = replace(settings, scales=settings.scales - 1)
            half = resize(first, (height_px // 2, width_px // 2)).clamp(0, 1)
            self.coarser = Painter(network, styles, fewer, first=half, device=device)

    def start_coarse(
        self,
        content: Tensor,
        start: Tensor,
        weights: Sequence[float],
        iterations: int,
        neighbours: Sequence[Neighbour] = (),
    ) -> Tensor:
        """``start`` (3, H, W), changed as painting it at half the size changes it, and so on for each further scale.

        The detail that is lost at half the size is kept.
        """
        content, start = self._in_colour(content), self._in_colour(start)
        if self.coarser is None:
            return start
        size = self.coarser.size
        small_content, small = (resize(each, size).clamp(0, 1) for each in (content, start))
        near = [_resize_neighbour(each, size) for each in neighbours]
        begun = self.coarser.start_coarse(small_content, small, weights, iterations, near)
        painted = self.coarser.paint(
            small_content, start=begun, weights=weights, neighbours=near, iterations=iterations
        ).image
        return (start + resize(painted - small, self.size)).clamp(0, 1)

    def paint(
        self,
        content: Tensor,
        *,
        start: Tensor,
        weights: Sequence[float] = (1.0,),
        neighbours: Sequence[Neighbour] = (),
        iterations: int,
        on_iteration: Callable[[], object] = lambda: None,
    ) -> Painted:
        """Paint ``content`` (3, H, W) from ``start`` (3, H, W), both in [0, 1], in at most ``iterations``.

        ``weights`` are those of the styles, of any sum. Raises :class:`UserError` if the loss is not finite from the
        start.
        """
        content, start = self._in_colour(content), self._in_colour(start)
        content_taps, grams = self._targets(content, weights)
        neighbours = [Neighbour(each.warped.to(self.device), each.reliability.to(self.device)) for each in neighbours]

        def evaluate(image: Tensor) -> tuple[Tensor, Tensor]:
            pixels = image.detach().requires_grad_()
            loss = frame_losses(pixels, *self._seen(pixels), content_taps, grams, neighbours).total(self.settings)
            (gradient,) = torch.autograd.grad(loss, pixels)
            return loss.detach(), gradient.contiguous()  # the network's own is channels-last

        stop = Stop(iterations, self.settings.stop_relative_change, self.settings.stop_window)
        try:
            image, done = minimise(start[None].to(self.device), evaluate, stop, on_iteration)
        except DivergedError:
            raise UserError("the loss is not finite: lower the weights under stylize in params.yaml") from None
        return Painted(image[0].cpu(), done)

    def with_temporal_weight(self, weight: float) -> "Painter":
        """The same, with another weight of nearness to neighbours."""
        other = copy.copy(self)
        other.settings = replace(self.settings, temporal_weight=weight)
        return other

    def finish(self, painted: Tensor, content: Tensor) -> Tensor:
        """What people see of a ``painted`` image (3, H, W): in the colours that the settings want."""
        return keep_colours(painted, content) if self.settings.colours == "content" else painted

    @torch.no_grad()
    def losses(self, image: Tensor, content_taps: Mapping[str, Tensor], weights: Sequence[float] = (1.0,)) -> Losses:
        """The terms, not weighted, for a lone ``image`` (3, H, W) in [0, 1] of a content with these activations."""
        x = image[None].to(self.device)
        return frame_losses(x, *self._seen(x), content_taps, self._mix(weights), ())

    @torch.no_grad()
    def content_taps(self, content: Tensor) -> Mapping[str, Tensor]:
        """The activations that an image of ``content`` (3, H, W), in [0, 1], should have."""
        return self._seen(content[None].to(self.device))[0]

    def _in_colour(self, image: Tensor) -> Tensor:
        return luminance(image) if self.settings.colours == "content" else image

    def _seen(self, image: Tensor) -> Seen:
        """What the losses look at of an image (1, 3, H, W) on the device."""
        layers = self.settings.content_layers, self.settings.style_layers
        return taps_and_grams(self.network, image, *layers, TILE_AREA_PX)

    @torch.no_grad()
    def _targets(self, content: Tensor, weights: Sequence[float]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Activations of the content layers, and Gram matrices: the weaker the painting, the nearer the content's."""
        taps, own = self._seen(content[None].to(self.device))
        mixed = self._mix(weights)
        return taps, {name: torch.lerp(own[name], mixed[name], self.settings.strength) for name in mixed}

    def _mix(self, weights: Sequence[float]) -> dict[str, Tensor]:
        """The Gram matrices of all styles, each by its share of the weights (Ruder 2016's code mixes them so)."""
        shares = [weight / sum(weights) for weight in weights]
        names = self.settings.style_layers
        return {
            name: torch.stack([share * grams[name] for share, grams in zip(shares, self.grams, strict=True)]).sum(0)
            for name in names
        }


def _recolour(style: Tensor, first: Tensor, colours: Colours) -> Tensor:
    match colours:
        case "style":
            return style
        case "matched":
            return match_colours(style, first)
        case "content":
            return match_luminance(style, first)


def _resize_neighbour(neighbour: Neighbour, size: tuple[int, int]) -> Neighbour:
    reliability = interpolate(neighbour.reliability[None, None], size, mode="area")[0, 0]
    return Neighbour(resize(neighbour.warped[0], size).clamp(0, 1)[None], reliability)


def _resize_to_area(style: Tensor, area_px: int) -> Tensor:
    scale = (area_px / (style.shape[1] * style.shape[2])) ** 0.5
    resized = interpolate(style[None], scale_factor=scale, mode="bilinear", antialias=True, recompute_scale_factor=True)
    return resized[0].clamp(0, 1)


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image (3, H, W) of another size (height, width), bicubic; it may overshoot its range."""
    return interpolate(image[None], size, mode="bicubic", antialias=True)[0]
