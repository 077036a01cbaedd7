"""What the network is shown of an image: its centre, or a random view that hides the habits of where it came from.

A source can be told by its sizes, sharpness, colours and JPEG quality, which say nothing about what is a painting. So a
random view is degraded first, each habit with a probability of its own, and only then brought to the network's size.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

Pixels = NDArray[Any]  # OpenCV does not say which type it returns
"""RGB, (height, width, 3), uint8."""
Change = Callable[[Pixels, np.random.Generator], Pixels]

SMALLEST_SHARE = 0.4
"""Of the largest region of a shape; in less of a picture, strokes no longer look like themselves."""
WIDEST_SHAPE = 4 / 3
"""Width by height of a region; the narrowest is its inverse."""
MIRRORED = 0.5

_FILTERS = ("bilinear", "bicubic")


def make_view(pixels: Pixels, path: Path, view: int, *, crop_px: int, seed: int) -> Pixels:
    """View number ``view`` of an image, ``crop_px`` a side: 0 is the plain one, every other a random one.

    A random view depends on ``seed``, ``path``, ``view`` and the pixels alone.
    """
    if view == 0:
        return plain_view(pixels, crop_px)
    name = f"{seed} {path.as_posix()} {view}"
    random = np.random.default_rng(np.frombuffer(hashlib.sha256(name.encode()).digest(), np.uint32))
    return random_view(pixels, crop_px, random)


def plain_view(pixels: Pixels, crop_px: int) -> Pixels:
    """The centre of an image at its largest, ``crop_px`` a side."""
    height_px, width_px = pixels.shape[:2]
    side_px = min(height_px, width_px)
    top, left = (height_px - side_px) // 2, (width_px - side_px) // 2
    return _resize(pixels[top : top + side_px, left : left + side_px], crop_px, crop_px)


def random_view(pixels: Pixels, crop_px: int, random: np.random.Generator) -> Pixels:
    """A random region of an image (Szegedy 2014, section 6), degraded, ``crop_px`` a side, half the time mirrored."""
    pixels = _region(pixels, random)
    for probability, change in CHANGES:
        if random.random() < probability:
            pixels = change(pixels, random)
    pixels = _resize(pixels, crop_px, crop_px)
    return cv2.flip(pixels, 1) if random.random() < MIRRORED else pixels


def _region(pixels: Pixels, random: np.random.Generator) -> Pixels:
    height_px, width_px = pixels.shape[:2]
    shape = WIDEST_SHAPE ** random.uniform(-1, 1)
    scale = random.uniform(SMALLEST_SHARE, 1) ** 0.5
    largest_px = min(height_px, width_px / shape)
    region_height_px, region_width_px = max(1, round(largest_px * scale)), max(1, round(largest_px * shape * scale))
    top = random.integers(height_px - region_height_px, endpoint=True)
    left = random.integers(width_px - region_width_px, endpoint=True)
    return pixels[top : top + region_height_px, left : left + region_width_px]


def _resize(pixels: Pixels, height_px: int, width_px: int, kind: str = "bilinear") -> Pixels:
    """With the filters of Pillow, which look at every pixel, but several times as fast."""
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return interpolate(planes, (height_px, width_px), mode=kind, antialias=True)[0].permute(1, 2, 0).numpy()


def _resample(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Reduce to between half and all of the size, and enlarge again half the time."""
    height_px, width_px = pixels.shape[:2]
    scale = random.uniform(0.5, 1)
    smaller = _resize(pixels, round(height_px * scale), round(width_px * scale), random.choice(_FILTERS))
    return _resize(smaller, height_px, width_px, random.choice(_FILTERS)) if random.random() < 0.5 else smaller


def _blur(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.2, 1.2))


def _sharpen(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Unsharp mask."""
    return _blend(pixels, cv2.GaussianBlur(pixels, (0, 0), 1.0), random.uniform(1.4, 2.2))


def _change_tone(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Brightness, contrast and saturation."""
    pixels = _blend(pixels, np.zeros_like(pixels), random.uniform(0.6, 1.4))
    pixels = _blend(pixels, np.full_like(pixels, round(_grey(pixels).mean())), random.uniform(0.6, 1.4))
    return _blend(pixels, _grey(pixels), random.uniform(0.6, 1.4))


def _blend(pixels: Pixels, other: Pixels, share: float) -> Pixels:
    """Away from ``other`` for a share above 1 (Haeberli and Voorhies 1994)."""
    return cv2.addWeighted(pixels, share, other, 1 - share, 0)


def _cast(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Another gamma for each channel."""
    curves = 255 * np.linspace(0, 1, 256)[None, :, None] ** random.uniform(0.8, 1.25, 3)
    return cv2.LUT(pixels, curves.round().astype(np.uint8))


def _lose_colour(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return _grey(pixels)


def _grey(pixels: Pixels) -> Pixels:
    return cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _compress(pixels: Pixels, random: np.random.Generator) -> Pixels:
    quality = int(random.integers(30, 95, endpoint=True))
    _, file = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cast(Pixels, cv2.imdecode(file, cv2.IMREAD_COLOR_RGB))


CHANGES: tuple[tuple[float, Change], ...] = (
    (0.5, _resample),
    (0.3, _blur),
    (0.15, _sharpen),
    (0.8, _change_tone),
    (0.5, _cast),
    (0.2, _lose_colour),
    (0.7, _compress),
)
"""The habits: probability of each change, in their order."""
