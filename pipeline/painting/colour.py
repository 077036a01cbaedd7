"""Colours of the clip kept in its painting, as Gatys et al. 2017, "Preserving Color in Neural Artistic Style Transfer".

Images are (3, H, W), RGB in [0, 1], float32 on the CPU.
"""

import torch
from torch import Tensor

LUMINANCE = (0.299, 0.587, 0.114)
"""Of red, green and blue in Y'IQ (ITU-R BT.601)."""
LEAST_VARIANCE = 1e-5
"""Of a picture without colour; less would be blown up to noise."""


def luminance(image: Tensor) -> Tensor:
    """Y' of each pixel, as a grey image (3, H, W)."""
    weights = torch.tensor(LUMINANCE, dtype=image.dtype).view(3, 1, 1)
    return (image * weights).sum(dim=0, keepdim=True).expand(3, -1, -1)


def match_luminance(style: Tensor, content: Tensor) -> Tensor:
    """The luminance of ``style`` with the mean and deviation of that of ``content`` (section 4.2)."""
    own, other = luminance(style), luminance(content)
    return ((own - own.mean()) * (other.std() / own.std().clamp_min(LEAST_VARIANCE**0.5)) + other.mean()).clamp(0, 1)


def match_colours(style: Tensor, content: Tensor) -> Tensor:
    """``style`` under the linear map that gives its colours the mean and covariance of those of ``content``.

    The map with the symmetric square root (section 4.1): ``S_c^1/2 S_s^-1/2 (x - m_s) + m_c``.
    """
    own, other = style.flatten(1).double(), content.flatten(1).double()
    map_ = _power(torch.cov(other), 0.5) @ _power(torch.cov(own), -0.5)
    matched = map_ @ (own - own.mean(dim=1, keepdim=True)) + other.mean(dim=1, keepdim=True)
    return matched.reshape(style.shape).to(style.dtype).clamp(0, 1)


def keep_colours(painting: Tensor, content: Tensor) -> Tensor:
    """The luminance of ``painting`` and the colour of ``content``, both of one size."""
    return (content + luminance(painting) - luminance(content)).clamp(0, 1)


def _power(covariance: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    power: Tensor = (vectors * values.clamp_min(LEAST_VARIANCE) ** exponent) @ vectors.T
    return power
