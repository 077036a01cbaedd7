"""A :class:`FastNetwork` in one mixture of its styles, folded into plain convolutions, from pixels to pixels.

What is the same for every frame is done once, and exactly: the scales of the mixture go into the filters and its shifts
into the biases; a convolution after an enlargement becomes one before it; and channels are in the order of an image's
bytes, so that going from pixels to channels and back moves whole runs of them. Exposure goes into the first filters, a
frame at a time: they see the bytes themselves, which have no rounding errors.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from pipeline.fast.network import COLOURS, GROW, LEAST_DEVIATION, SHRINK, STRIDE_PX, FastNetwork

ENLARGED_TAPS = torch.tensor([[[1, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]])
"""(subpixel, tap, tap of the enlarged): which taps of a filter on an image of twice the size fall on the same pixel."""


@dataclass(frozen=True)
class Convolution:
    """Filters (C, inputs, 3, 3) that see the border replicated, and biases (C,)."""

    weight: Tensor
    bias: Tensor
    stride: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` (1, inputs, H, W)."""
        return conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), self.weight, self.bias, self.stride)


@dataclass(frozen=True)
class Folded:
    """The convolutions, in the order in which a frame goes through them; see :class:`FastNetwork`."""

    stem: Convolution
    """For standardised colours, not of reduced precision; see :meth:`exposed`."""
    down: Convolution
    body: tuple[Convolution, ...]
    up: Tensor
    """Filters (fine, coarse, 1, 1)."""
    merge: Convolution
    refine: Convolution
    """At a quarter of the resolution; a position has all channels of a subpixel, then those of the next."""
    paint: Convolution
    gain: Tensor
    """Of each standardised colour of the frame itself, before the sigmoid; not of reduced precision."""
    offset: Tensor

    def __call__(self, frame: Tensor) -> Tensor:
        """Frame (H, W, 3), uint8, to the painted one, 0 to 255 and not rounded."""
        height, width = frame.shape[:2]
        stem, gain, offset = self.exposed(*_exposure(frame, self.gain.dtype))
        frame = _whole_strides(frame)
        fine = stem(_to_positions(frame, self.up.dtype)).relu_()
        coarse = self.down(fine).relu_()
        for first, second in zip(self.body[::2], self.body[1::2], strict=True):
            coarse = second(first(coarse).relu_()).add_(coarse)
        fine += interpolate(conv2d(coarse, self.up), scale_factor=2, mode="nearest")
        half = _enlarge(self.refine(self.merge(fine).relu_()).relu_())
        # Not reduced any more: below 1, bfloat16 knows every level of an image, but not what lies between them.
        painted = frame.to(gain.dtype).flatten(1)  # as long rows, for they are faster to compute with than colours
        painted.mul_(gain.repeat(frame.shape[1])).add_(offset.repeat(frame.shape[1]))
        painted += _enlarge(self.paint(half))[0].permute(1, 2, 0).flatten(1)
        return painted.sigmoid_().mul_(255).view(frame.shape)[:height, :width]

    def exposed(self, mean: Tensor, deviation: Tensor) -> tuple[Convolution, Tensor, Tensor]:
        """The stem, gain and offset for the bytes of a frame whose colours have that mean and deviation, each (3,)."""
        weight = self.stem.weight / deviation.repeat(SHRINK**2)[:, None, None]
        weight = weight.to(self.up.dtype, memory_format=torch.channels_last)
        # Of the filters as they were rounded: what they make of a plain frame is exact.
        bias = self.stem.bias - weight.to(mean.dtype).sum(dim=(2, 3)) @ mean.repeat(SHRINK**2)
        gain = self.gain / deviation
        return Convolution(weight, bias.to(self.up.dtype)), gain, self.offset - gain * mean


def fold(network: FastNetwork, weights: Tensor, dtype: torch.dtype) -> Folded:
    """``network`` with its styles mixed by ``weights`` (styles,), which add up to 1; its convolutions in ``dtype``."""
    mixed = weights @ torch.stack(list(network.styles))
    scales, shifts = (torch.split(part, network.channels) for part in mixed.chunk(2))

    def folded(weight: Tensor, bias: Tensor, stride: int = 1) -> Convolution:
        return Convolution(weight.to(dtype, memory_format=torch.channels_last), bias.to(dtype), stride)

    convolutions = [network.stem, network.down, *network.body, network.merge, network.refine]
    filters = [each.weight * scale[:, None, None, None] for each, scale in zip(convolutions, scales[:-1], strict=True)]
    stem, down, *body, merge, refine = filters
    return Folded(
        stem=Convolution(_bytes_last(stem), shifts[0]),
        down=folded(down, shifts[1], stride=2),
        body=tuple(folded(weight, shift) for weight, shift in zip(body, shifts[2:-3], strict=True)),
        up=network.up.weight.to(dtype),
        merge=folded(merge, shifts[-3]),
        refine=folded(_before_enlargement(refine), shifts[-2].repeat(GROW**2)),
        paint=folded(_bytes_first(network.paint.weight), torch.zeros_like(shifts[-1]).repeat(GROW**2)),
        gain=scales[-1],
        offset=shifts[-1],
    )


def _bytes_last(weight: Tensor) -> Tensor:
    """Filters for channels in the order of :func:`_to_positions`, from ones for those of ``pixel_unshuffle``."""
    return weight.view(-1, COLOURS, SHRINK, SHRINK, 3, 3).permute(0, 2, 3, 1, 4, 5).flatten(1, 3)


def _bytes_first(weight: Tensor) -> Tensor:
    """Filters that give channels in the order of :func:`_enlarge`, from ones that give those of ``pixel_shuffle``."""
    return weight.view(COLOURS, GROW, GROW, -1, 3, 3).permute(1, 2, 0, 3, 4, 5).flatten(0, 2)


def _before_enlargement(weight: Tensor) -> Tensor:
    """Filters that give all subpixels of a position, from ones for its enlargement to twice the size (nearest)."""
    taps = ENLARGED_TAPS.to(weight)
    enlarged: Tensor = torch.einsum("yvh,xuw,ochw->yxocvu", taps, taps, weight)
    return enlarged.flatten(0, 2)


def _exposure(frame: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The mean and the deviation of each colour, 0 to 255; see :func:`pipeline.fast.network.standardise`."""
    sparse = frame[::SHRINK, ::SHRINK].to(dtype).flatten(0, 1)
    mean = sparse.mean(dim=0)
    return mean, (sparse - mean).square().mean(dim=0).sqrt().clamp_min(255 * LEAST_DEVIATION)


def _to_positions(frame: Tensor, dtype: torch.dtype) -> Tensor:
    """Pixels (H, W, 3) as squares of ``SHRINK`` x ``SHRINK``: (1, channels, H / SHRINK, W / SHRINK)."""
    height, width = (side // SHRINK for side in frame.shape[:2])
    squares = frame.reshape(height, SHRINK, width, SHRINK * COLOURS).transpose(1, 2)
    return squares.reshape(1, height, width, -1).to(dtype).permute(0, 3, 1, 2)


def _enlarge(x: Tensor) -> Tensor:
    """Positions (1, GROW^2 C, H, W) of ``GROW`` x ``GROW`` subpixels as (1, C, GROW H, GROW W)."""
    height, width = x.shape[2:]
    squares = x.permute(0, 2, 3, 1).reshape(height, width, GROW, -1).transpose(1, 2)
    return squares.reshape(1, GROW * height, GROW * width, -1).permute(0, 3, 1, 2)


def _whole_strides(frame: Tensor) -> Tensor:
    """The frame with its border replicated until its sides are multiples of ``STRIDE_PX``."""
    for axis, side in enumerate(frame.shape[:2]):
        if side % STRIDE_PX:
            positions = torch.arange(side + -side % STRIDE_PX, device=frame.device)
            frame = frame.index_select(axis, positions.clamp(max=side - 1))
    return frame
