"""Photographs painted by filters: pictures with the content of a photograph and the surface of a painting.

A classifier that sees a subject both ways cannot tell paintings by their subjects. What an imitation looks like is
drawn by chance: first the manner, then its strength, then the age of the colours and the grain of the canvas.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from scrapers.sample.strokes import Manner, Picture, paint

BRUSHES_PX = ((3,), (4, 2), (5, 2), (6, 3), (8, 4, 2))
"""Radii, from the largest; one of 1 pixel takes several times as long."""
LARGEST_CANVAS = 1.4
"""How many times larger than the photograph strokes are laid, at most, so that they come out finer."""
AGED_SHARE, GRAINY_SHARE, GREY_DRAWINGS_SHARE = 0.6, 0.4, 0.4


def imitate(photograph: Picture, rng: np.random.Generator) -> tuple[Picture, str]:
    """A painting of ``photograph``, of the same shape, and the name of its manner, one of :data:`MANNERS`.

    All chance comes from ``rng``: the same photograph and state give the same picture.
    """
    shares = [share for share, _ in MANNERS.values()]
    name = str(rng.choice(list(MANNERS), p=shares))
    painting = MANNERS[name][1](photograph, rng)
    if rng.random() < AGED_SHARE:
        painting = age(painting, rng)
    if rng.random() < GRAINY_SHARE:
        painting = add_grain(painting, rng)
    return painting, name


def paint_strokes(photograph: Picture, rng: np.random.Generator) -> Picture:
    """Curved brush strokes of several sizes (Hertzmann 1998)."""
    return _paint_enlarged(
        photograph,
        Manner(
            threshold=rng.uniform(30, 110),
            brushes_px=BRUSHES_PX[rng.integers(len(BRUSHES_PX))],
            curvature=rng.choice([1.0, 0.5, 0.25]),
            opacity=rng.choice([1.0, 1.0, 0.7, 0.5]),
            grid=1.5,
            shortest=int(rng.integers(1, 8)),
            longest=int(rng.integers(8, 16)),
            jitter_hsv=_jitter(rng),
            jitter_rgb=_jitter(rng),
        ),
        rng,
    )


def paint_dots(photograph: Picture, rng: np.random.Generator) -> Picture:
    """Dots of two sizes: strokes without length (Hertzmann 1998, pointillist)."""
    manner = Manner(threshold=rng.uniform(50, 110), brushes_px=(4, 2), shortest=0, longest=0, jitter_hsv=_jitter(rng))
    return _paint_enlarged(photograph, manner, rng)


def _paint_enlarged(photograph: Picture, manner: Manner, rng: np.random.Generator) -> Picture:
    height, width = photograph.shape[:2]
    scale = rng.uniform(1, LARGEST_CANVAS)
    canvas = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    painting = paint(_bytes(canvas), manner, int(rng.integers(2**32)))
    return _bytes(cv2.resize(painting, (width, height), interpolation=cv2.INTER_AREA))


def _jitter(rng: np.random.Generator) -> tuple[float, float, float]:
    """Of hue, saturation and value, or of red, green and blue; hue bears the least."""
    return rng.uniform(0, 0.05), rng.uniform(0, 0.3), rng.uniform(0, 0.4)


def paint_kuwahara(photograph: Picture, rng: np.random.Generator) -> Picture:
    """Angular patches: the Kuwahara filter."""
    return kuwahara(photograph, radius_px=int(rng.integers(1, 5)))


def kuwahara(photograph: Picture, radius_px: int) -> Picture:
    """The mean of that quadrant around a pixel in which the luminance varies least (Kuwahara 1976).

    A quadrant is a square of ``radius_px`` + 1 pixels a side with the pixel in its corner.
    """
    luminance = _luminance(photograph).astype(np.float32)
    moments = np.dstack([photograph, luminance, luminance**2]).astype(np.float32)
    size = (radius_px + 1, radius_px + 1)
    result, least = np.zeros(photograph.shape, np.float32), np.full(luminance.shape, np.inf, np.float32)
    for anchor in ((0, 0), (0, radius_px), (radius_px, 0), (radius_px, radius_px)):
        means = cv2.boxFilter(moments, cv2.CV_32F, size, anchor=anchor)
        variance = means[..., 4] - means[..., 3] ** 2
        better = variance < least
        np.copyto(result, means[..., :3], where=better[..., None])
        np.copyto(least, variance, where=better)
    return _bytes(result)


def paint_oil(photograph: Picture, rng: np.random.Generator) -> Picture:
    """Rounded patches of few tones: the oil filter."""
    return oil(photograph, radius_px=int(rng.integers(2, 5)), tones=int(rng.integers(8, 25)))


def oil(photograph: Picture, radius_px: int, tones: int) -> Picture:
    """The mean colour of the tone most frequent around a pixel, of ``tones`` equal steps of luminance (Holzmann 1988).

    The surroundings are a square of 2 ``radius_px`` + 1 pixels a side; of equally frequent tones the darkest wins.
    """
    tone = _luminance(photograph).astype(np.intp) * tones // 256
    size = (2 * radius_px + 1, 2 * radius_px + 1)
    counted = np.dstack([photograph, np.ones_like(tone)]).astype(np.float32)
    result = np.zeros(counted.shape, np.float32)
    for each in np.unique(tone):
        sums = cv2.boxFilter(counted * (tone == each)[..., None], cv2.CV_32F, size, normalize=False)
        np.copyto(result, sums, where=(sums[..., 3] > result[..., 3])[..., None])
    return _bytes(result[..., :3] / result[..., 3:])


def paint_smooth(photograph: Picture, rng: np.random.Generator) -> Picture:
    """Flat areas within sharp edges (Gastal and Oliveira 2011, recursive filter)."""
    spatial_px, colour = rng.uniform(10, 40), rng.uniform(0.15, 0.5)
    return _bytes(cv2.edgePreservingFilter(photograph, flags=cv2.RECURS_FILTER, sigma_s=spatial_px, sigma_r=colour))


def paint_outlined(photograph: Picture, rng: np.random.Generator) -> Picture:
    """Flat areas with dark outlines (Gastal and Oliveira 2011, stylization)."""
    return _bytes(cv2.stylization(photograph, sigma_s=rng.uniform(10, 60), sigma_r=rng.uniform(0.15, 0.5)))


def paint_soft(photograph: Picture, rng: np.random.Generator) -> Picture:
    """Colours blended within edges: the bilateral filter (Tomasi and Manduchi 1998)."""
    return _bytes(cv2.bilateralFilter(photograph, 7, rng.uniform(30, 80), rng.uniform(3, 7)))


def paint_patches(photograph: Picture, rng: np.random.Generator) -> Picture:
    """Small rounded patches: the median filter."""
    return _bytes(cv2.medianBlur(photograph, int(rng.choice([3, 5]))))


def draw_pencil(photograph: Picture, rng: np.random.Generator) -> Picture:
    """Pencil, most often coloured, over a thin wash (Gastal and Oliveira 2011, pencil drawing).

    The wash keeps the subject where the photograph has too little texture, or too much, for lines to show it.
    """
    spatial_px, colour, shade = rng.uniform(10, 60), rng.uniform(0.12, 0.25), rng.uniform(0.03, 0.06)
    grey, coloured = cv2.pencilSketch(photograph, sigma_s=spatial_px, sigma_r=colour, shade_factor=shade)
    wash, lines = paint_smooth(photograph, rng), coloured
    if rng.random() < GREY_DRAWINGS_SHARE:
        wash, lines = (_bytes(cv2.cvtColor(each, cv2.COLOR_GRAY2RGB)) for each in (_luminance(wash), grey))
    return _bytes((wash / np.float32(255)) ** np.float32(rng.uniform(0.1, 0.5)) * lines)


def age(painting: Picture, rng: np.random.Generator) -> Picture:
    """Colours as years leave them: less or more contrast, darker, pigments faded, varnish yellowed (in CIELAB)."""
    lab = cv2.cvtColor(painting.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    gain = np.array([rng.uniform(0.5, 1.1), rng.uniform(0.2, 1.6), rng.uniform(0.2, 1.6)], np.float32)
    shift = np.array([rng.uniform(-20, 15), rng.uniform(-5, 12), rng.uniform(-8, 25)], np.float32)
    middle = np.array([50, 0, 0], np.float32)
    aged = (lab - middle) * gain + middle + shift
    aged[..., 0] = aged[..., 0].clip(0, 100)
    return _bytes(cv2.cvtColor(aged, cv2.COLOR_LAB2RGB) * 255)


def add_grain(painting: Picture, rng: np.random.Generator) -> Picture:
    """The grain of canvas or paper: brightness that varies by 1 to 6% (standard deviation) over a pixel or two."""
    noise = rng.standard_normal(painting.shape[:2], np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 1.2))
    strength = rng.uniform(0.01, 0.06) / max(float(grain.std()), 1e-6)
    return _bytes(painting * (1 + strength * grain[..., None]))


def _luminance(picture: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _bytes(picture: npt.NDArray[np.generic]) -> Picture:
    """What OpenCV or arithmetic made of a picture, as bytes again."""
    return np.asarray(picture, np.float32).clip(0, 255).round().astype(np.uint8)


MANNERS: Mapping[str, tuple[float, Callable[[Picture, np.random.Generator], Picture]]] = {
    "strokes": (0.34, paint_strokes),
    "dots": (0.06, paint_dots),
    "kuwahara": (0.15, paint_kuwahara),
    "oil": (0.15, paint_oil),
    "smooth": (0.07, paint_smooth),
    "outlined": (0.05, paint_outlined),
    "soft": (0.04, paint_soft),
    "patches": (0.04, paint_patches),
    "pencil": (0.10, draw_pencil),
}
"""Name: the share of imitations in this manner, and what paints it."""
