"""Content and style losses of an image whose activations do not fit in memory, tile by tile: exact, not blended.

Style sees an image only through its Gram matrices, which are sums over positions. A first pass without gradient adds
them up; the slope of the style loss along them then says, in a second pass, what each tile adds to the gradient.
That is one forward pass more than the whole image takes, and the overlap of the tiles.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise, product

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from pipeline.painting.losses import content_loss, gram_matrix
from pipeline.params import Stylize
from pipeline.vgg import CONVOLUTIONS, TRUNK_STRIDE_PX, VGG16

Area = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Tile:
    """A part of an image, in pixels: cores cover it without overlap, a window holds all that its core depends on."""

    core: Area
    window: Area

    def place(self, layer: str) -> Area:
        """Where the core lies in the activations of the whole image."""
        return _scaled(self.core, stride_px(layer))

    def cut(self, layer: str, tap: Tensor) -> Tensor:
        """The core's part of the window's activations (1, C, h, w)."""
        stride = stride_px(layer)
        rows, columns = (
            slice((core.start - window.start) // stride, core.stop // stride - window.start // stride)
            for core, window in zip(self.core, self.window, strict=True)
        )
        return tap[..., rows, columns]


def stride_px(layer: str) -> int:
    """Side of the square of pixels that one position of a layer such as ``relu4_2`` stands for."""
    return int(2 ** (int(layer[4]) - 1))


def halo_px(layers: Collection[str]) -> int:
    """How far activations of these layers see beyond their own pixels, rounded up to a whole position."""
    last = max(layers)
    reach_px = sum(stride_px(name) for name in CONVOLUTIONS if name[4:] <= last[4:])  # each sees one position farther
    return -(-reach_px // stride_px(last)) * stride_px(last)


def tiles(height_px: int, width_px: int, tile_px: int, halo_px: int) -> list[Tile]:
    """Tiles of an image, with cores of about equal size: sides are less than ``tile_px`` + 16, ``tile_px`` at least 16.

    Cores begin where a position of every layer does, so that a window is pooled as the whole image is, and windows end
    with the image, where the network pads with zeros.
    """
    rows, columns = (_spans(side_px, tile_px, halo_px) for side_px in (height_px, width_px))
    return [
        Tile((core_rows, core_columns), (window_rows, window_columns))
        for (core_rows, window_rows), (core_columns, window_columns) in product(rows, columns)
    ]


@torch.no_grad()
def tiled_grams(network: VGG16, image: Tensor, layers: Collection[str], tile_px: int) -> dict[str, Tensor]:
    """:func:`gram_matrix` of each layer's activations for an image (1, 3, H, W) in [0, 1]."""
    grams: dict[str, Tensor] = {}
    for tile in _tiles_of(image, layers, tile_px):
        for name, tap in network.taps(image[..., *tile.window], layers).items():
            core = tile.cut(name, tap)
            gram = gram_matrix(core) * _share(core, image, name)
            grams[name] = grams[name] + gram if name in grams else gram
    return grams


@torch.no_grad()
def tiled_taps(network: VGG16, image: Tensor, layers: Collection[str], tile_px: int) -> dict[str, Tensor]:
    """Activations of an image (1, 3, H, W) in [0, 1], whole; for content targets, which are of few, deep layers."""
    whole: dict[str, Tensor] = {}
    for tile in _tiles_of(image, layers, tile_px):
        for name, tap in network.taps(image[..., *tile.window], layers).items():
            height, width = (side_px // stride_px(name) for side_px in image.shape[2:])
            taps = whole.setdefault(name, tap.new_empty(1, tap.shape[1], height, width))
            taps[..., *tile.place(name)] = tile.cut(name, tap)
    return whole


def tiled_losses(
    network: VGG16,
    image: Tensor,
    content: Mapping[str, Tensor],
    grams: Mapping[str, Tensor],
    settings: Stylize,
    tile_px: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Content and style loss of an image (1, 3, H, W) in [0, 1], and the gradient of their weighted sum (1, 3, H, W).

    Up to rounding they are those of :func:`content_loss` and :func:`style_loss` on the whole image's activations,
    with ``content`` and ``grams`` to agree with. The parameters of the network need no gradient.
    """
    own = {name: gram.requires_grad_() for name, gram in tiled_grams(network, image, grams, tile_px).items()}
    style = torch.stack([mse_loss(own[name], target) for name, target in grams.items()]).sum()
    slopes = dict(zip(own, torch.autograd.grad(style, list(own.values())), strict=True))
    total, gradient = image.new_zeros(()), torch.zeros_like(image)
    layers = {*content, *grams}
    for tile in _tiles_of(image, layers, tile_px):
        pixels = image[..., *tile.window].detach().requires_grad_()
        cores = {name: tile.cut(name, tap) for name, tap in network.taps(pixels, layers).items()}
        shares = {name: _share(core, image, name) for name, core in cores.items()}
        nearness = torch.stack(
            [
                content_loss({name: cores[name]}, {name: target[..., *tile.place(name)]}) * shares[name]
                for name, target in content.items()
            ]
        ).sum()
        pull = torch.stack([(slopes[name] * gram_matrix(cores[name])).sum() * shares[name] for name in grams]).sum()
        weighted = settings.content_weight * nearness + settings.style_weight * pull
        gradient[..., *tile.window] += torch.autograd.grad(weighted, pixels)[0]
        total += nearness.detach()
    return total, style.detach(), gradient


def _tiles_of(image: Tensor, layers: Collection[str], tile_px: int) -> list[Tile]:
    height_px, width_px = image.shape[2:]
    return tiles(height_px, width_px, tile_px, halo_px(layers))


def _spans(side_px: int, tile_px: int, halo_px: int) -> list[tuple[slice, slice]]:
    """Core and window of each tile along one side."""
    blocks = side_px // TRUNK_STRIDE_PX
    count = max(1, -(-blocks // (tile_px // TRUNK_STRIDE_PX)))
    edges = [TRUNK_STRIDE_PX * (blocks * i // count) for i in range(count)] + [side_px]
    return [
        (slice(start, stop), slice(max(0, start - halo_px), min(side_px, stop + halo_px)))
        for start, stop in pairwise(edges)
    ]


def _share(core: Tensor, image: Tensor, layer: str) -> float:
    """Of a core's activations in those of the whole image, by which its means count."""
    height, width = (side_px // stride_px(layer) for side_px in image.shape[2:])
    return core.shape[2] * core.shape[3] / (height * width)


def _scaled(area: Area, stride: int) -> Area:
    rows, columns = (slice(side.start // stride, side.stop // stride) for side in area)
    return rows, columns
