"""Quick, small style transfer: a photograph under the surface of a painting (Gatys 2015).

Rough beside what :mod:`pipeline.painting` does with a frame: the pictures are small, the steps few, and the result is
only ever shown to a network, at the size it was made at.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.augmentation import plain_view
from pipeline.painting.losses import gram_matrix, total_variation
from pipeline.tensors import to_pixels, to_tensor
from pipeline.vgg import VGG16
from scrapers.sample.strokes import Picture

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
CONTENT_LAYER = "relu4_1"
CONTENT_WEIGHTS = (0.1, 0.9)
"""From a surface that swallows smaller subjects to one that hardly shows."""
SMOOTHNESS = 2e-5
STEPS = 20
STEP_SIZE = 0.03
"""Of Adam, in units of the pixels' range."""
LEAST_SHARE = 0.25
"""Of a painting's short side: the side of the smallest region whose strokes are taken."""
RECOLOURED_SHARE = 0.5
"""Of the imitations: those that keep the colours of the photograph."""


def imitate_style(
    network: VGG16, photograph: Picture, painting: Picture, side_px: int, rng: np.random.Generator
) -> Picture:
    """The centre of ``photograph``, ``side_px`` a side, in the style of a part of ``painting``; ``rng`` draws which."""
    content = plain_view(photograph, side_px)
    style = plain_view(_random_square(painting, side_px, rng), side_px)
    if rng.random() < RECOLOURED_SHARE:
        style = match_colours(style, content)
    return transfer(network, content, style, rng.uniform(*CONTENT_WEIGHTS))


def transfer(network: VGG16, content: Picture, style: Picture, content_weight: float) -> Picture:
    """``content`` in the style of ``style``, of its own shape; the more ``content_weight``, the milder.

    Each term is divided by the mean square of its target, unlike in Gatys 2015, where the layers and styles with the
    highest activations outweigh the others.
    """
    image = to_tensor(content)[None]
    with torch.no_grad():
        kept = network.taps(image, [CONTENT_LAYER])[CONTENT_LAYER].float()
        grams = {name: gram_matrix(tap) for name, tap in network.taps(to_tensor(style)[None], STYLE_LAYERS).items()}
    pixels = image.clone().requires_grad_()
    optimizer = torch.optim.Adam([pixels], STEP_SIZE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        taps = network.taps(pixels, STYLE_LAYERS)
        surface = torch.stack([_relative_error(gram_matrix(taps[name]), target) for name, target in grams.items()])
        subject = _relative_error(taps[CONTENT_LAYER].float(), kept)
        loss = surface.mean() + content_weight * subject + SMOOTHNESS * total_variation(pixels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return to_pixels(pixels[0])


def match_colours(picture: Picture, other: Picture) -> Picture:
    """``picture`` with the mean and deviation of each channel of ``other``, in CIELAB (Reinhard et al. 2001)."""
    lab, target = (cv2.cvtColor(each, cv2.COLOR_RGB2LAB).astype(np.float32) for each in (picture, other))
    standardised = (lab - lab.mean((0, 1))) / (lab.std((0, 1)) + 1)
    matched = standardised * target.std((0, 1)) + target.mean((0, 1))
    return np.asarray(cv2.cvtColor(matched.clip(0, 255).round().astype(np.uint8), cv2.COLOR_LAB2RGB), np.uint8)


def _random_square(picture: Picture, side_px: int, rng: np.random.Generator) -> Picture:
    """A region that need not be enlarged to ``side_px`` a side, if the picture is large enough."""
    height_px, width_px = picture.shape[:2]
    short_px = min(height_px, width_px)
    least_px = max(round(LEAST_SHARE * short_px), min(side_px, short_px))
    region_px = int(rng.integers(least_px, short_px, endpoint=True))
    top = rng.integers(height_px - region_px, endpoint=True)
    left = rng.integers(width_px - region_px, endpoint=True)
    return picture[top : top + region_px, left : left + region_px]


def _relative_error(found: Tensor, target: Tensor) -> Tensor:
    return (found - target).square().mean() / target.square().mean().clamp_min(1e-12)
