"""A network that paints a frame in one pass: convolutions that all styles share, and for each style scales and shifts.

Dumoulin, Shlens and Kudlur, "A Learned Representation for Artistic Style" (2017), whose styles differ in the scale and
shift after each normalisation alone, and mix by mixing these. Images are RGB in [0, 1], shape (N, 3, H, W).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, pixel_shuffle, pixel_unshuffle, relu
from torch.nn.utils import parametrize

SHRINK = 4
"""The first convolution sees 1 position where the image has 4 x 4 pixels."""
STRIDE_PX = 2 * SHRINK
"""Side of the square of pixels that one position of the body stands for."""
GROW = 2
"""The last convolution has 1 position for 2 x 2 pixels: nothing is computed at full resolution."""
COLOURS = 3
LEAST_DEVIATION = 0.05
"""Of a colour in an image, as a share of its range: the noise of a dark frame is not blown up to a picture."""
BRANCH_SCALE = 0.5
"""Of what a residual block adds, at the start of training."""
FIRST_STROKES = 0.1
"""Of what is painted onto the image, at the start of training: from the image itself, no layer is driven to death."""
RELU_GAIN = (2 / (1 - 1 / torch.pi)) ** 0.5
"""What gives the ReLU of a standard normal variable the variance 1 again (Brock, De and Smith 2021)."""


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Channels at a quarter (``fine``) and an eighth (``coarse``) of the resolution, and residual ``blocks`` there."""

    fine: int
    """Even: half of them are left at half the resolution."""
    coarse: int
    blocks: int


class FastNetwork(nn.Module):
    """Paints images in a mixture of its styles; ``names`` are those of the styles, in the order of their weights.

    No statistics of activations are taken, unlike in Dumoulin 2017: they tie every pixel to every other, so that what
    enters at one side flickers at the other, and instance normalisation paints bubbles. Training standardises the
    weights instead, see :func:`constrain`, and exposure is evened out once, see :func:`standardise`.
    """

    def __init__(self, widths: Widths, names: Sequence[str]) -> None:
        super().__init__()
        self.widths = widths
        self.names = tuple(names)
        fine, coarse = widths.fine, widths.coarse
        self.stem = _convolution(COLOURS * SHRINK**2, fine)
        self.down = _convolution(fine, coarse, stride=2)
        self.body = nn.ModuleList(_convolution(coarse, coarse) for _ in range(2 * widths.blocks))
        self.up = nn.Conv2d(coarse, fine, 1, bias=False)
        self.merge = _convolution(fine, fine)
        self.refine = _convolution(fine, fine // 2)
        self.paint = _convolution(fine // 2, COLOURS * GROW**2)
        self.channels = [fine, coarse, *[coarse] * len(self.body), fine, fine // 2, COLOURS]
        """Of each normalisation, in the order of :meth:`forward`; the last is of the image itself."""
        self.styles = nn.ParameterList(nn.Parameter(self._plain_style()) for _ in names)
        """Of each style the scales of all normalisations, then their shifts: (2 sum(channels),)."""
        for convolution in self.convolutions():
            nn.init.kaiming_normal_(convolution.weight)
        with torch.no_grad():
            self.paint.weight.mul_(FIRST_STROKES)

    def _plain_style(self) -> Tensor:
        """The parameters from which every style starts."""
        scales = [torch.full((channels,), RELU_GAIN) for channels in self.channels]
        for second in scales[3:-3:2]:
            second.fill_(BRANCH_SCALE)
        scales[-1].fill_(1)
        return torch.cat([*scales, torch.zeros(sum(self.channels))])

    def add_style(self, name: str) -> None:
        """Append a style that is the mean of those that are there."""
        self.styles.append(nn.Parameter(torch.stack(list(self.styles)).detach().mean(dim=0)))
        self.names = (*self.names, name)

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        """Images (N, 3, H, W) of any size, each with the ``weights`` (N, styles) of its styles, which add up to 1."""
        height, width = images.shape[2:]
        # Replicated, for a frame may be smaller than what a reflection needs; so pad all convolutions.
        pixels = pad(standardise(images), (0, -width % STRIDE_PX, 0, -height % STRIDE_PX), mode="replicate")
        mixed = self._mix(weights)

        def styled(x: Tensor) -> Tensor:
            scale, shift = next(mixed)
            return torch.addcmul(shift, x, scale)

        fine = relu(styled(self.stem(pixel_unshuffle(pixels, SHRINK))))
        coarse = relu(styled(self.down(fine)))
        for first, second in zip(self.body[::2], self.body[1::2], strict=True):
            coarse = coarse + styled(second(relu(styled(first(coarse)))))
        fine = fine + interpolate(self.up(coarse), scale_factor=2, mode="nearest")
        fine = relu(styled(self.merge(fine)))
        half = relu(styled(self.refine(interpolate(fine, scale_factor=2, mode="nearest"))))
        # The image itself keeps edges sharp, as far as the style wants.
        painted = pixel_shuffle(self.paint(half), GROW) + styled(pixels)
        return painted.sigmoid()[:, :, :height, :width]

    def _mix(self, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The scale and the shift (N, C, 1, 1) of each normalisation, in turn."""
        mixed = weights @ torch.stack(list(self.styles))
        scales, shifts = mixed[:, :, None, None].chunk(2, dim=1)
        return zip(torch.split(scales, self.channels, 1), torch.split(shifts, self.channels, 1), strict=True)

    def convolutions(self) -> list[nn.Conv2d]:
        """In the order of :meth:`forward`."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d)]

    def shared(self) -> list[nn.Parameter]:
        """What all styles have in common."""
        return [parameter for convolution in self.convolutions() for parameter in convolution.parameters()]

    def multiply_adds(self) -> float:
        """Of the convolutions for each pixel of an image whose sides are multiples of ``STRIDE_PX``."""
        levels = {
            STRIDE_PX: [self.down, *self.body, self.up],
            SHRINK: [self.stem, self.merge],
            GROW: [self.refine, self.paint],
        }
        return sum(float(each.weight.numel()) / stride_px**2 for stride_px, level in levels.items() for each in level)


def standardise(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) with each colour of each of them of mean 0 and deviation 1: light and its tint do not matter.

    A dark photograph in a bright style would otherwise need another network than a bright one.
    """
    sparse = images[:, :, ::SHRINK, ::SHRINK]
    mean = sparse.mean(dim=(2, 3), keepdim=True)
    deviation = (sparse - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
    standardised: Tensor = (images - mean) / deviation.clamp_min(LEAST_DEVIATION)
    return standardised


def constrain(network: FastNetwork) -> FastNetwork:
    """Tie the weights of a network for its training, until :func:`relax`; what a training left stays as it is.

    All but the last convolution are standardised, and the last one keeps plain areas plain.
    """
    for convolution in network.convolutions():
        constraint = Plain() if convolution is network.paint else Standardised()
        parametrize.register_parametrization(convolution, "weight", constraint)
    return network


def relax(network: FastNetwork) -> FastNetwork:
    """Leave the weights as they are under their constraints; the network gives what it gave."""
    for convolution in network.convolutions():
        if parametrize.is_parametrized(convolution):  # else they were not trained
            parametrize.remove_parametrizations(convolution, "weight", leave_parametrized=True)
    return network


class Standardised(nn.Module):
    """Filters of mean 0 and norm 1, whose output has the variance of their input: a normalisation without statistics.

    Brock, De and Smith, "Characterizing signal propagation to close the performance gap in unnormalized ResNets"
    (2021), equation 3; the scales of the styles take the place of its gain.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """``weight`` (C, inputs, h, w), any but the same value all over a filter."""
        centred: Tensor = weight - weight.mean(dim=(1, 2, 3), keepdim=True)
        norms: Tensor = torch.linalg.vector_norm(centred, dim=(1, 2, 3), keepdim=True)
        return centred / norms.clamp_min(1e-8)


class Plain(nn.Module):
    """Filters before a pixel shuffle that give plain areas no checkerboard: all subpixels answer them alike.

    Sugawara, Shiota and Kiya, "Super-resolution using convolutional neural networks without any checkerboard artifacts"
    (2018): each of the filters that share a colour has the same sum.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """``weight`` (colours x GROW^2, inputs, h, w)."""
        subpixels = weight.view(-1, GROW**2, *weight.shape[1:])
        means = subpixels.mean(dim=(3, 4), keepdim=True)
        return (subpixels - means + means.mean(dim=1, keepdim=True)).flatten(0, 1)


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, padding_mode="replicate", bias=False)
