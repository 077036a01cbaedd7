"""What the losses need to know of an image whose activations do not fit in memory: exact, and with its gradient.

Each block of the network runs tile by tile and forgets all but its pooled output, the Gram matrices, which are sums
over positions, and the taps that are asked for; the backward pass computes the rest of a tile again (Chen et al. 2016,
"Training Deep Nets with Sublinear Memory Cost"). Tiles of one block overlap by its convolutions only, not by all that
the deepest layer sees. A tile is as wide as the image, so that it is a view of it.
"""

from collections.abc import Collection
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from pipeline.painting.losses import gram_matrix
from pipeline.vgg import CHANNELS, VGG16

TILE_AREA_PX = 2**21
"""An image of 1920 x 1080 is seen whole: in bfloat16 that takes 2.3 GiB, and 3840 x 2160 pixels in tiles no more."""

Seen = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Activations (1, C, h, w), and Gram matrices (1, C, C), by layer."""


def taps_and_grams(
    network: VGG16, image: Tensor, layers: Collection[str], style_layers: Collection[str], tile_area_px: int
) -> Seen:
    """Activations after ``layers`` and :func:`gram_matrix` of those after ``style_layers``, differentiable.

    ``image`` is (1, 3, H, W) in [0, 1]. One of at most ``tile_area_px`` pixels is seen whole, as by
    :meth:`VGG16.taps`. Of a larger one a block holds the activations of about so many pixels at a time, and the first
    blocks are computed twice if there is a gradient. The parameters of the network get none.
    """
    last = max([*layers, *style_layers])
    taps: dict[str, Tensor] = {}
    grams: dict[str, Tensor] = {}
    x = image
    for block in range(1, int(last[4]) + 1):
        run = partial(_run, network, block, last, layers, style_layers)
        tiles = _tiles(x.shape[2], x.shape[3], block, tile_area_px)
        if len(tiles) > 1:
            run = partial(checkpoint, run, use_reentrant=False, preserve_rng_state=False)
        parts = [run(_rows(x, window), core) for window, core in tiles]
        for name in parts[0][0]:
            taps[name] = torch.cat([part[0][name] for part in parts], dim=2)
        for name in parts[0][1]:
            shares = [(core.stop - core.start) / x.shape[2] for _, core in tiles]
            weighted = [part[1][name] * share for part, share in zip(parts, shares, strict=True)]
            grams[name] = torch.stack(weighted).sum(dim=0)
        if block < int(last[4]):
            x = torch.cat([part[2] for part in parts], dim=2)
    return taps, grams


def _run(
    network: VGG16,
    block: int,
    last: str,
    layers: Collection[str],
    style_layers: Collection[str],
    window: Tensor,
    core: slice,
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Taps, Gram matrices and pooled output of the rows ``core`` of a window on the input of a block."""
    taps: dict[str, Tensor] = {}
    grams: dict[str, Tensor] = {}
    x = network.preprocess(window) if block == 1 else window
    for i in range(1, CHANNELS[block][1] + 1):
        x = network.get_submodule(f"conv{block}_{i}")(x).relu_()
        name = f"relu{block}_{i}"
        if name in layers:
            taps[name] = _rows(x, core)
        if name in style_layers:
            grams[name] = gram_matrix(_rows(x, core))
        if name == last:
            return taps, grams, x
    return taps, grams, torch.max_pool2d(_rows(x, core), 2)


def _tiles(height: int, width: int, block: int, area_px: int) -> list[tuple[slice, slice]]:
    """Rows of each tile on the input of a block: its window, and its core within the window.

    Cores begin at even rows, which are pooled with the next one; together they are all rows. Windows reach farther by
    one row a convolution, but not beyond the image, where the network pads with zeros.
    """
    channels, halo = CHANNELS[block]
    pairs = height // 2
    tile_pairs = max(1, area_px * CHANNELS[1][0] // (channels * width) // 2)
    count = max(1, -(-pairs // tile_pairs))
    edges = [2 * (pairs * i // count) for i in range(count)] + [height]
    windows = [slice(max(0, start - halo), min(height, stop + halo)) for start, stop in pairwise(edges)]
    return [
        (window, slice(start - window.start, stop - window.start))
        for window, (start, stop) in zip(windows, pairwise(edges), strict=True)
    ]


class _Rows(torch.autograd.Function):
    """Some rows of a tensor, whose gradient is laid out as the tensor is: autograd's own is not channels-last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: slice) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rows = rows
        return x[:, :, rows]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        whole = torch.zeros_like(x)
        whole[:, :, ctx.rows] = gradient
        return whole, None


def _rows(x: Tensor, rows: slice) -> Tensor:
    if rows == slice(0, x.shape[2]):
        return x
    part: Tensor = _Rows.apply(x, rows)
    return part
