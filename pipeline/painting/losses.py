"""What a painted frame should agree with: its content, a style, its neighbour in time, and smoothness.

Formulas and constants follow Ruder, Dosovitskiy and Brox, "Artistic style transfer for videos" (2016), and their
published code. Pixels are on the 0 to 255 scale and activations those of :class:`pipeline.vgg.VGG16`; every loss is
computed in the precision of its float inputs, float32 at least.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import mse_loss

from pipeline.params import Stylize

PIXEL_RANGE = 255.0


class _Gram(torch.autograd.Function):
    """F'F of F (N, positions, channels), whose gradient takes one product instead of two: the matrix is symmetric.

    Autograd would also keep F in float32, and multiply in float32 what the network then takes in its own precision.
    """

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        precise = _precise(flat)
        return precise.mT @ precise

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (flat,) = ctx.saved_tensors
        symmetric: Tensor = gradient + gradient.mT
        product: Tensor = flat @ symmetric.to(flat.dtype)
        return product


def gram_matrix(features: Tensor) -> Tensor:
    """Gram matrices of features (N, C, H, W), divided by C H W (Gatys 2015, eq. 3): (N, C, C)."""
    # Positions first is how the network lays its activations out (channels-last): nothing is copied.
    flat = features.permute(0, 2, 3, 1).flatten(1, 2)
    gram: Tensor = _Gram.apply(flat)
    return gram / flat[0].numel()


def content_loss(taps: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Sum over layers of the mean squared difference of activations (Gatys 2015, eq. 1)."""
    return torch.stack([mse_loss(_precise(taps[name]), _precise(target)) for name, target in targets.items()]).sum()


def style_loss(grams: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Sum over layers of the mean squared difference of Gram matrices (Gatys 2015, eq. 4 and 5)."""
    return torch.stack([mse_loss(grams[name], target) for name, target in targets.items()]).sum()


def temporal_loss(image: Tensor, warped: Tensor, reliability: Tensor) -> Tensor:
    """Mean over pixels and channels of c (x - w)^2 (Ruder 2016, temporal consistency loss).

    ``image`` and ``warped`` are (1, 3, H, W) in [0, 1], ``reliability`` c is (H, W) in [0, 1].
    """
    return (reliability * ((image - warped) * PIXEL_RANGE) ** 2).mean()


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels, both directions, of an image (1, 3, H, W) in [0, 1]."""
    scaled = image * PIXEL_RANGE
    return scaled.diff(dim=2).square().mean() + scaled.diff(dim=3).square().mean()


@dataclass(frozen=True)
class Neighbour:
    """A painted frame, carried along the flow: what another one should look like where it can be relied on."""

    warped: Tensor
    """(1, 3, H, W) in [0, 1]."""
    reliability: Tensor
    """(H, W) in [0, 1]."""


def closest_first(reliabilities: Sequence[Tensor]) -> list[Tensor]:
    """What of each map (H, W), the closest frame's first, closer ones leave to it, in [0, 1].

    ``c_long = max(c - sum of c of the closer frames, 0)`` (Ruder 2016, eq. 9): a farther frame has a say only in what
    no closer one shows.
    """
    left, taken = [], torch.zeros(())
    for reliability in reliabilities:
        left.append((reliability - taken).clamp_min(0))
        taken = taken + reliability
    return left


def in_equal_shares(reliabilities: Sequence[Tensor]) -> list[Tensor]:
    """Each map (H, W) divided by the sum of all, where that is more than 1.

    The other choice of Ruder 2016's code: what all frames show, all have a say in, so that errors do not add up.
    """
    if not reliabilities:
        return []
    total = torch.stack(list(reliabilities)).sum(dim=0).clamp_min(1)
    return [reliability / total for reliability in reliabilities]


@dataclass(frozen=True)
class Losses:
    """The terms of one frame's loss, not yet weighted, as 0-dimensional tensors; temporal is zero for a lone frame."""

    content: Tensor
    style: Tensor
    temporal: Tensor
    tv: Tensor

    def total(self, settings: Stylize) -> Tensor:
        """What is minimised: the weighted sum (Ruder 2016, short-term consistency), and total variation."""
        return (
            settings.content_weight * self.content
            + settings.style_weight * self.style
            + settings.temporal_weight * self.temporal
            + settings.tv_weight * self.tv
        )


def frame_losses(
    image: Tensor,
    taps: Mapping[str, Tensor],
    grams: Mapping[str, Tensor],
    content: Mapping[str, Tensor],
    style: Mapping[str, Tensor],
    neighbours: Sequence[Neighbour],
) -> Losses:
    """All the terms for an image (1, 3, H, W) in [0, 1] with these activations and Gram matrices, and their targets.

    The temporal one is the sum over ``neighbours`` (Ruder 2016, eq. 8).
    """
    temporal = image.new_zeros(())
    for neighbour in neighbours:
        temporal = temporal + temporal_loss(image, neighbour.warped, neighbour.reliability)
    return Losses(content_loss(taps, content), style_loss(grams, style), temporal, total_variation(image))


def _precise(features: Tensor) -> Tensor:
    return features.float() if features.dtype in (torch.bfloat16, torch.float16) else features
