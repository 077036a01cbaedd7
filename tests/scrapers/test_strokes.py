"""Strokes: the published algorithm, on pictures whose strokes are known beforehand."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrapers.sample.strokes import BARE, MANNERS, SUBPIXEL_BITS, Manner, Picture, _starts, _trace, paint
from tests.scrapers.small_museum import photograph

CLOUDS = photograph("clouds", 160, 120, grain_px=30).pixels


@pytest.mark.parametrize("name", MANNERS)
def test_same_seed_gives_the_same_painting_and_another_seed_another(name: str) -> None:
    first = paint(CLOUDS, MANNERS[name], seed=1)
    assert first.shape == CLOUDS.shape
    np.testing.assert_array_equal(first, paint(CLOUDS, MANNERS[name], seed=1))
    assert not np.array_equal(first, paint(CLOUDS, MANNERS[name], seed=2))


def test_manners_differ_from_the_photograph_and_from_each_other() -> None:
    pictures = {"photograph": CLOUDS, **{name: paint(CLOUDS, manner, seed=1) for name, manner in MANNERS.items()}}
    for name, picture in pictures.items():
        distances = [_distance(picture, other) for key, other in pictures.items() if key != name]
        assert min(distances) > 5, name


@pytest.mark.parametrize("name", ["impressionist", "expressionist"])
def test_finer_brushes_bring_the_painting_closer_to_the_photograph(name: str) -> None:
    manner = replace(MANNERS[name], threshold=30, jitter_hsv=(0.0, 0.0, 0.0))
    radii = [(16,), (16, 8), (16, 8, 4, 2)]
    layers = [paint(CLOUDS, replace(manner, brushes_px=brushes), seed=1) for brushes in radii]
    coarse, middle, fine = (_distance(layer, CLOUDS) for layer in layers)
    assert fine < 0.8 * middle
    assert middle < 0.9 * coarse


def test_stroke_follows_the_line_of_equal_luminance() -> None:
    ramp = np.repeat(np.linspace(0, 255, 200, dtype=np.float32)[None, :, None], 100, axis=0).repeat(3, axis=2)
    bare = np.full(ramp.shape[:2], BARE, np.float32)
    manner = Manner(threshold=0, brushes_px=(8,), shortest=4, longest=6)
    (stroke,) = _trace(np.array([[60, 50]]), ramp, bare, 8, manner)
    points = stroke / 2**SUBPIXEL_BITS
    assert (points[:, 0] == 60).all(), "luminance changes along x, so the stroke runs along y"
    np.testing.assert_allclose(np.abs(np.diff(points[:, 1])), 8)
    assert len(points) == 7


def test_stroke_ends_where_the_canvas_is_closer_to_the_reference_than_its_colour() -> None:
    """Along y the reference drifts from the stroke's colour by 2 a row, and the canvas is off by 50 everywhere."""
    rows, columns = np.mgrid[:150, :100].astype(np.float32)
    reference = np.stack([columns, np.zeros_like(rows), rows * 2], axis=-1)
    reference[..., 1] = (255 - 0.11 * reference[..., 2]) / 0.59  # luminance changes along x alone
    manner = Manner(threshold=0, brushes_px=(4,), shortest=2, longest=30)
    starts = np.array([[50, 75]])
    drift_a_row = np.linalg.norm(reference[1, 0] - reference[0, 0])
    (stroke,) = _trace(starts, reference, np.full((150, 100), 50, np.float32), 4, manner)
    longest_step = int(50 / (4 * drift_a_row))
    assert len(stroke) == longest_step + 2, "the first point beyond is still laid"
    (stroke,) = _trace(starts, reference, np.zeros((150, 100), np.float32), 4, manner)
    assert len(stroke) == 1 + manner.shortest


def test_stroke_on_a_flat_reference_is_a_dab() -> None:
    flat = np.full((40, 40, 3), 90, np.float32)
    (stroke,) = _trace(np.array([[20, 20]]), flat, np.full((40, 40), BARE, np.float32), 4, MANNERS["impressionist"])
    assert stroke.tolist() == [[20 << SUBPIXEL_BITS] * 2]


def test_strokes_start_at_the_worst_pixel_of_the_cells_above_the_threshold() -> None:
    difference = np.zeros((20, 30), np.float32)
    difference[:10, :10] = 60
    difference[3, 7] = 100
    difference[15, 25] = 4900  # its cell's mean is 49
    starts = _starts(difference, 50, 10, np.random.default_rng(0))
    assert starts.tolist() == [[7, 3]]
    assert _starts(difference, 48, 10, np.random.default_rng(0)).tolist() == [[7, 3], [25, 15]]


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    grey=st.booleans(),
    name=st.sampled_from(sorted(MANNERS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_picture_can_be_painted(width: int, height: int, grey: bool, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width, 1 if grey else 3), np.uint8)
    painted = paint(np.broadcast_to(picture, (height, width, 3)).copy(), MANNERS[name], seed)
    assert painted.shape == (height, width, 3)
    assert painted.dtype == np.uint8


def _distance(one: Picture, other: Picture) -> float:
    """Mean difference of what is seen from a step back."""
    blurred = [cv2.GaussianBlur(picture.astype(np.float64), (0, 0), 2) for picture in (one, other)]
    return float(np.abs(blurred[0] - blurred[1]).mean())
