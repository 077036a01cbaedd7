from collections import Counter
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import imitations
from pipeline.imitations import MANNERS, add_grain, age, imitate, kuwahara, oil
from scrapers.sample.strokes import Picture
from tests.pictures import noise, scene

HEIGHT, WIDTH = 72, 96
cv2.setNumThreads(1)  # pictures are small, and on a busy machine threads wait for each other


def luminance(picture: Picture) -> NDArray[np.float64]:
    """In whole levels, as 8-bit greys are; the formula is ITU-R BT.601's."""
    return np.asarray(np.floor(picture @ np.array([0.299, 0.587, 0.114]) + 0.5), np.float64)


def detail(picture: Picture) -> float:
    """Mean difference of neighbouring pixels."""
    values = picture.astype(float)
    return float(np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean())


def photograph(seed: int = 0) -> Picture:
    """Smooth patches under fine noise, as of a sensor."""
    picture = np.asarray(scene(WIDTH, HEIGHT, seed)).astype(int) + noise(HEIGHT, WIDTH, 3, seed=seed) // 8 - 16
    return picture.clip(0, 255).astype(np.uint8)


EDGES = {
    "landscape": photograph(),
    "portrait": np.ascontiguousarray(photograph().swapaxes(0, 1)),
    "tiny": np.asarray(scene(64, 64)),
    "ribbon": np.asarray(scene(300, 32)),
    "grey": np.repeat(noise(64, 80, 1), 3, axis=2),
    "black": np.zeros((64, 64, 3), np.uint8),
    "white": np.full((64, 64, 3), 255, np.uint8),
}


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("edge", EDGES)
def test_every_manner_takes_every_picture(manner: str, edge: str) -> None:
    before = EDGES[edge].copy()
    painting = MANNERS[manner][1](EDGES[edge], np.random.default_rng(1))
    assert painting.shape == before.shape
    assert painting.dtype == np.uint8
    assert (EDGES[edge] == before).all(), "the photograph is not painted over"


@pytest.mark.parametrize("manner", MANNERS)
def test_every_manner_changes_the_surface_and_keeps_the_subject(manner: str) -> None:
    subject = np.zeros((192, 192, 3), np.uint8) + 210
    subject[60:140, 60:140] = (60, 90, 40)
    subject = (subject + noise(192, 192, 3) // 8.0).astype(np.uint8)
    painting = MANNERS[manner][1](subject, np.random.default_rng(1))
    assert np.abs(painting.astype(int) - subject).mean() > 2
    outlines = [
        np.abs(cv2.Laplacian(cv2.GaussianBlur(luminance(each), (0, 0), 6), cv2.CV_64F)).ravel()
        for each in (painting, subject)
    ]
    assert np.corrcoef(outlines)[0, 1] > 0.5


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_the_same_chance_gives_the_same_imitation(seed: int) -> None:
    one, other = (imitate(photograph(), np.random.default_rng(seed)) for _ in range(2))
    assert one[1] == other[1]
    assert one[0].tobytes() == other[0].tobytes()
    assert one[0].shape == (HEIGHT, WIDTH, 3)
    assert one[0].dtype == np.uint8


def test_manners_come_in_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (share, _) in MANNERS.items():
        monkeypatch.setitem(MANNERS, name, (share, lambda picture, _: picture))
    for finish in ("age", "add_grain"):
        monkeypatch.setattr(imitations, finish, lambda picture, _: picture)
    drawn = Counter(imitate(photograph()[:2, :2], np.random.default_rng(seed))[1] for seed in range(2000))
    for name, (share, _) in MANNERS.items():
        assert drawn[name] / 2000 == pytest.approx(share, abs=5 * np.sqrt(share / 2000))


@pytest.mark.parametrize("radius_px", [1, 2, 4])
def test_kuwahara_agrees_with_its_definition(radius_px: int) -> None:
    picture = noise(12, 15, 3, seed=radius_px)
    around = [(radius_px, radius_px), (radius_px, radius_px), (0, 0)]
    padded, grey = (np.pad(each, around[: each.ndim], "reflect") for each in (picture, luminance(picture)))
    size = radius_px + 1
    for y, x in np.ndindex(12, 15):
        corners = [
            (slice(y + dy, y + dy + size), slice(x + dx, x + dx + size))
            for dy in (0, radius_px)
            for dx in (0, radius_px)
        ]
        calmest = min(corners, key=lambda corner: grey[corner].var())
        expected = padded[calmest].mean(axis=(0, 1))
        assert np.abs(kuwahara(picture, radius_px)[y, x] - expected).max() <= 0.51


@pytest.mark.parametrize(("radius_px", "tones"), [(1, 4), (2, 8), (3, 24)])
def test_oil_agrees_with_its_definition(radius_px: int, tones: int) -> None:
    picture = noise(12, 15, 3, seed=radius_px)
    tone = np.floor(luminance(picture) * tones / 256).astype(int)
    around = [(radius_px, radius_px), (radius_px, radius_px), (0, 0)]
    padded, padded_tone = (np.pad(each, around[: each.ndim], "reflect") for each in (picture, tone))
    painted = oil(picture, radius_px, tones)
    for y, x in np.ndindex(12, 15):
        window = slice(y, y + 2 * radius_px + 1), slice(x, x + 2 * radius_px + 1)
        most = np.bincount(padded_tone[window].ravel()).argmax()
        expected = padded[window][padded_tone[window] == most].mean(axis=0)
        assert np.abs(painted[y, x] - expected).max() <= 0.51


@pytest.mark.parametrize("filtered", [lambda picture: kuwahara(picture, 3), lambda picture: oil(picture, 3, 12)])
def test_filters_flatten_surfaces_and_keep_edges(filtered: Callable[[Picture], Picture]) -> None:
    halves = np.zeros((40, 40, 3), np.uint8) + 40
    halves[:, 20:] = 200
    painting = filtered((halves + noise(40, 40, 3) // 10.0).astype(np.uint8))
    assert detail(painting[:, 25:]) < 10
    assert np.diff(painting.astype(int), axis=1).max(axis=1).min() > 130


@pytest.mark.parametrize("plain", [0, 1, 127, 255])
def test_plain_colours_stay_plain_under_the_filters(plain: int) -> None:
    picture = np.full((16, 16, 3), plain, np.uint8)
    assert (kuwahara(picture, 3) == plain).all()
    assert (oil(picture, 3, 8) == plain).all()


def test_age_keeps_the_order_of_lightness() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for seed in range(20):
        aged = luminance(age(ramp, np.random.default_rng(seed)))[0]
        assert np.diff(aged).min() >= -2
        assert aged[-1] - aged[0] > 90


def test_grain_is_as_strong_as_it_says() -> None:
    grey = np.full((128, 128, 3), 128, np.uint8)
    shares = [add_grain(grey, np.random.default_rng(seed)).std() / 128 for seed in range(30)]
    assert 0.008 < min(shares) < 0.02 < 0.05 < max(shares) < 0.062
    assert (add_grain(grey[:1, :1], np.random.default_rng(0)) <= 255).all()
