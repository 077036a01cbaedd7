"""Paintings of photographs by curved brush strokes.

Hertzmann, "Painterly Rendering with Curved Brush Strokes of Multiple Sizes", SIGGRAPH 1998. The canvas does not change
while the strokes of a layer are traced, so all of them are traced at once, a control point at a time.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""RGB, of shape (height, width, 3)."""
Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.intp]
"""Pixels as (x, y), of shape (strokes, 2)."""

GROUND_RGB = (236, 228, 210)
"""Primed canvas, seen where no stroke falls."""
BARE = 1000.0
"""Colour difference of bare ground, larger than that of any two colours."""
GLAZES = 6
"""A translucent layer is laid in this many turns: strokes of one turn cover, those of different turns mix."""
SUBPIXEL_BITS = 4
"""Of the fixed-point coordinates in which OpenCV takes a stroke."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """The style parameters of section 3, in the paper's order and with its symbols."""

    threshold: float
    """T: mean colour difference (Euclidean, RGB in 0 to 255) of a grid cell above which it is painted over."""
    brushes_px: tuple[int, ...]
    """R: radii of the brushes, from the largest to the smallest."""
    curvature: float = 1.0
    """f_c: 1 follows the normals of the gradient, less smooths the stroke."""
    blur: float = 0.5
    """f_sigma: standard deviation of the reference's blur, in brush radii."""
    opacity: float = 1.0
    """a"""
    grid: float = 1.0
    """f_g: distance of strokes, in brush radii."""
    shortest: int = 4
    """minLength, in control points; they are a brush radius apart."""
    longest: int = 16
    """maxLength, in control points."""
    jitter_hsv: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """j_h, j_s, j_v: width of the uniform change of a stroke's hue (in turns), saturation and value (relative)."""
    jitter_rgb: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """j_r, j_g, j_b: the same of red, green and blue (relative)."""


MANNERS = {
    "impressionist": Manner(threshold=100, brushes_px=(8, 4, 2)),
    "expressionist": Manner(
        threshold=50, brushes_px=(8, 4, 2), curvature=0.25, opacity=0.7, shortest=10, jitter_hsv=(0.0, 0.0, 0.5)
    ),
    "colorist-wash": Manner(threshold=200, brushes_px=(8, 4, 2), opacity=0.5, jitter_rgb=(0.3, 0.3, 0.3)),
    "pointillist": Manner(
        threshold=100, brushes_px=(4, 2), grid=0.5, shortest=0, longest=0, jitter_hsv=(0.3, 0.0, 1.0)
    ),
}
"""The manners of the paper's section 3.2, with its values."""


def paint(photograph: Picture, manner: Manner, seed: int) -> Picture:
    """Paint ``photograph``, the sketch with the largest brush first; the same arguments give the same picture."""
    rng = np.random.default_rng(seed)
    canvas = np.full_like(photograph, GROUND_RGB)
    for radius_px in manner.brushes_px:
        reference = cv2.GaussianBlur(photograph, (0, 0), manner.blur * radius_px).astype(np.float32)
        bare = (canvas == GROUND_RGB).all(axis=-1)
        difference = np.where(bare, BARE, _distance(canvas, reference)).astype(np.float32)
        starts = _starts(difference, manner.threshold, max(1, round(manner.grid * radius_px)), rng)
        if not len(starts):
            continue
        strokes = _trace(starts, reference, difference, radius_px, manner)
        colours = _jitter(reference[starts[:, 1], starts[:, 0]], manner, rng)
        order = rng.permutation(len(strokes))
        for turn in np.array_split(order, GLAZES if manner.opacity < 1 else 1):
            under = canvas.copy()
            for index in turn:
                _lay(canvas, strokes[index], colours[index].tolist(), radius_px)
            canvas = np.asarray(cv2.addWeighted(canvas, manner.opacity, under, 1 - manner.opacity, 0), np.uint8)
    return canvas


def _distance(one: npt.NDArray[np.generic], other: Floats) -> Floats:
    return np.asarray(np.linalg.norm(one.astype(np.float32) - other, axis=-1), np.float32)


def _starts(difference: Floats, threshold: float, cell_px: int, rng: np.random.Generator) -> Points:
    """The worst pixel of every grid cell whose mean difference is above the threshold (procedure paintLayer)."""
    height, width = difference.shape
    rows, columns = -(-height // cell_px), -(-width // cell_px)
    # A tie, as on bare canvas, is broken by chance: else the first layer would show the grid.
    difference = difference + rng.random(difference.shape, np.float32)
    padded = np.pad(difference, ((0, rows * cell_px - height), (0, columns * cell_px - width)))
    cells = padded.reshape(rows, cell_px, columns, cell_px).swapaxes(1, 2).reshape(rows * columns, -1)
    chosen = np.flatnonzero(cells.mean(axis=1) > threshold)
    row, column = np.divmod(chosen, columns)
    y, x = np.divmod(cells[chosen].argmax(axis=1), cell_px)
    return np.stack([column * cell_px + x, row * cell_px + y], axis=1)


def _trace(starts: Points, reference: Floats, difference: Floats, radius_px: int, manner: Manner) -> list[Points]:
    """Control points of every stroke (procedure makeSplineStroke), as OpenCV's fixed-point coordinates."""
    height, width = reference.shape[:2]
    luminance = reference @ np.array([0.30, 0.59, 0.11], np.float32)
    # The normal of the gradient is the direction in which the picture changes least.
    normal = np.stack([-cv2.Sobel(luminance, cv2.CV_32F, 0, 1), cv2.Sobel(luminance, cv2.CV_32F, 1, 0)], axis=-1)
    colour = reference[starts[:, 1], starts[:, 0]]
    position = starts.astype(np.float32)
    direction = np.zeros_like(position)
    path = [position]
    length = np.ones(len(starts), np.intp)
    alive = np.ones(len(starts), bool)
    for step in range(manner.longest):
        x, y = position.round().astype(np.intp).T
        if step >= manner.shortest:
            # The stroke ends where the canvas is closer to the reference than its colour is.
            alive &= difference[y, x] >= _distance(reference[y, x], colour)
        turn = normal[y, x]
        turn = turn / np.maximum(np.linalg.norm(turn, axis=1, keepdims=True), 1e-6)
        turn = np.where((turn * direction).sum(axis=1, keepdims=True) < 0, -turn, turn)
        turn = manner.curvature * turn + (1 - manner.curvature) * direction
        norm = np.linalg.norm(turn, axis=1, keepdims=True)
        direction = turn / np.maximum(norm, 1e-6)
        target = position + radius_px * direction
        inside = (target >= 0).all(axis=1) & (target <= (width - 1, height - 1)).all(axis=1)
        alive &= inside & (norm[:, 0] > 0)
        position = np.where(alive[:, None], target, position)
        path.append(position)
        length += alive
    fixed = (np.stack(path, axis=1) * 2**SUBPIXEL_BITS).round().astype(np.int32)
    return [stroke[:points] for stroke, points in zip(fixed, length, strict=True)]


def _lay(canvas: Picture, stroke: Points, colour: list[float], radius_px: int) -> None:
    if len(stroke) == 1:
        radius = radius_px << SUBPIXEL_BITS
        cv2.circle(canvas, stroke[0].tolist(), radius, colour, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
    else:
        cv2.polylines(canvas, [stroke], False, colour, 2 * radius_px, cv2.LINE_AA, SUBPIXEL_BITS)


def _jitter(colours: Floats, manner: Manner, rng: np.random.Generator) -> Floats:
    """Change the strokes' colours by chance, in HSV and then in RGB."""
    hsv = cv2.cvtColor(colours[None] / 255, cv2.COLOR_RGB2HSV)[0]
    hue, *saturation_value = manner.jitter_hsv
    hsv[:, 0] = (hsv[:, 0] + 360 * hue * rng.uniform(-0.5, 0.5, len(hsv))) % 360
    hsv[:, 1:] *= 1 + np.array(saturation_value) * rng.uniform(-0.5, 0.5, (len(hsv), 2))
    rgb = cv2.cvtColor(hsv.clip(0, (360, 1, 1)).astype(np.float32)[None], cv2.COLOR_HSV2RGB)[0]
    rgb *= 1 + np.array(manner.jitter_rgb) * rng.uniform(-0.5, 0.5, rgb.shape)
    return np.asarray((rgb * 255).clip(0, 255).round(), np.float32)
