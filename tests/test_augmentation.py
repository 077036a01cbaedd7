from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

from pipeline import augmentation
from pipeline.augmentation import CHANGES, Change, Pixels, make_view, plain_view, random_view

NAMED = {change.__name__.strip("_"): change for _, change in CHANGES}
PATH = Path("data/images/museum/painting/1.jpg")


def noise(height_px: int, width_px: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth enough that it survives a JPEG."""
    small = np.random.default_rng(seed).integers(0, 256, (max(2, height_px // 16), max(2, width_px // 16), 3), np.uint8)
    return np.array(Image.fromarray(small).resize((width_px, height_px), Image.Resampling.BICUBIC))


def ramps(height_px: int, width_px: int) -> NDArray[np.float64]:
    """Red is how far right, green how far down; 0 and 255 are the edges of the picture."""
    across, down = (255 * (np.arange(side) + 0.5) / side for side in (width_px, height_px))
    return np.stack([*np.meshgrid(across, down), np.zeros((height_px, width_px))], axis=-1)


@pytest.mark.parametrize(("width_px", "height_px"), [(256, 192), (192, 192), (50, 300), (40, 33)])
def test_plain_view_is_the_centre_as_pillow_resizes_it(width_px: int, height_px: int) -> None:
    pixels = noise(height_px, width_px)
    side_px = min(width_px, height_px)
    left, top = (width_px - side_px) // 2, (height_px - side_px) // 2
    centre = Image.fromarray(pixels).crop((left, top, left + side_px, top + side_px))
    expected = np.asarray(centre.resize((128, 128), Image.Resampling.BILINEAR))
    assert np.abs(plain_view(pixels, 128).astype(int) - expected).max() <= 1


@settings(max_examples=50)
@given(
    width_px=st.integers(32, 300),
    height_px=st.integers(32, 300),
    view=st.integers(0, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_shape_gives_a_square_and_is_left_as_it_was(width_px: int, height_px: int, view: int, seed: int) -> None:
    pixels = noise(height_px, width_px)
    before = pixels.copy()
    found = make_view(pixels, PATH, view, crop_px=32, seed=seed)
    assert found.shape == (32, 32, 3)
    assert found.dtype == np.uint8
    assert np.array_equal(pixels, before)


def test_view_depends_on_seed_path_and_number_alone() -> None:
    pixels = noise(60, 80)

    def view(path: Path = PATH, number: int = 1, seed: int = 1) -> bytes:
        return make_view(pixels, path, number, crop_px=32, seed=seed).tobytes()

    first = view()
    np.random.seed(7)
    assert view() == first
    others = [view(seed=2), view(number=2), view(number=11), view(Path("2.jpg"))]
    assert len({first, *others}) == 5
    assert view(Path("2.jpg"), 0, 9) == view(number=0)


def test_region_is_large_hardly_distorted_and_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "CHANGES", ())
    height_px, width_px = 192, 320
    pixels = ramps(height_px, width_px).round().astype(np.uint8)
    mirrored, lefts, tops = 0, [], []
    for seed in range(200):
        view = random_view(pixels, 32, np.random.default_rng(seed)).astype(float) / 255
        spans = np.ptp(view[..., 0], axis=1).mean(), np.ptp(view[..., 1], axis=0).mean()
        seen_width_px, seen_height_px = spans[0] * width_px * 32 / 31, spans[1] * height_px * 32 / 31
        shape = seen_width_px / seen_height_px
        assert 0.95 * 3 / 4 < shape < 1.05 * 4 / 3
        largest_px2 = min(height_px, width_px / shape) ** 2 * shape
        assert 0.95 * 0.4 < seen_width_px * seen_height_px / largest_px2 < 1.05
        mirrored += view[0, 0, 0] > view[0, -1, 0]
        lefts.append(view[..., 0].min())
        tops.append(view[..., 1].min())
    assert 75 < mirrored < 125
    assert min(lefts) < 0.05
    assert max(lefts) > 0.35
    assert min(tops) < 0.05
    assert max(tops) > 0.2


def test_changes_come_as_often_as_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()

    def counted(name: str, change: Change) -> Change:
        def count(pixels: Pixels, random: np.random.Generator) -> Pixels:
            counts[name] += 1
            return change(pixels, random)

        return count

    monkeypatch.setattr(augmentation, "CHANGES", [(p, counted(c.__name__, c)) for p, c in CHANGES])
    pixels, views = noise(32, 32), 400
    for seed in range(views):
        random_view(pixels, 32, np.random.default_rng(seed))
    for probability, change in CHANGES:
        deviation = (views * probability * (1 - probability)) ** 0.5
        assert abs(counts[change.__name__] - views * probability) < 4 * deviation


@pytest.mark.parametrize("seed", range(5))
def test_resampled_is_at_least_half_as_large_and_shows_the_same(seed: int) -> None:
    pixels = ramps(90, 120).round().astype(np.uint8)
    found = NAMED["resample"](pixels, np.random.default_rng(seed))
    assert 45 <= found.shape[0] <= 90
    assert 60 <= found.shape[1] <= 120
    assert np.abs(found.astype(float) - ramps(*found.shape[:2])).max() < 6


def test_blur_is_gaussian() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    sigma_px = np.random.default_rng(3).uniform(0.2, 1.2)
    found = NAMED["blur"](pixels, np.random.default_rng(3)).astype(float)
    expected = gaussian_filter(pixels.astype(float), (sigma_px, sigma_px, 0), mode="mirror")
    assert np.abs(found - expected).max() < 4


def test_sharpening_takes_away_some_of_the_blur() -> None:
    step = np.full((20, 20, 3), 60, np.uint8)
    step[:, 10:] = 180
    found = NAMED["sharpen"](step, np.random.default_rng(0))
    assert found[:, 9].max() < 50
    assert found[:, 10].min() > 190
    assert np.array_equal(found[:, :4], step[:, :4])


@pytest.mark.parametrize("seed", range(5))
def test_tone_changes_as_pillow_enhances(seed: int) -> None:
    pixels = noise(64, 64, seed)
    expected = Image.fromarray(pixels)
    random = np.random.default_rng(seed)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        expected = enhance(expected).enhance(random.uniform(0.6, 1.4))
    found = NAMED["change_tone"](pixels, np.random.default_rng(seed))
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 5  # it rounds down


def test_cast_is_a_gamma_for_each_channel() -> None:
    pixels = noise(64, 64)
    found = NAMED["cast"](pixels, np.random.default_rng(4))
    expected = 255 * (pixels / 255.0) ** np.random.default_rng(4).uniform(0.8, 1.25, 3)
    assert np.abs(found - expected).max() <= 0.5
    assert np.array_equal(NAMED["cast"](np.full_like(pixels, 255), np.random.default_rng(4)), np.full_like(pixels, 255))


def test_grey_keeps_the_lightness() -> None:
    pixels = noise(64, 64)
    found = NAMED["lose_colour"](pixels, np.random.default_rng(0)).astype(float)
    assert np.ptp(found, axis=2).max() == 0
    assert np.abs(found[..., 0] - pixels @ [0.299, 0.587, 0.114]).max() < 1


def test_compressing_loses_detail_but_mixes_no_colours() -> None:
    red = np.full((40, 56, 3), (200, 30, 90), np.uint8)
    assert np.abs(NAMED["compress"](red, np.random.default_rng(0)).astype(int) - red).max() <= 4
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    found = NAMED["compress"](pixels, np.random.default_rng(0))
    assert found.shape == pixels.shape
    assert 5 < np.abs(found.astype(int) - pixels).mean() < 80
