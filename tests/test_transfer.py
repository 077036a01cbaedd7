from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from pipeline import transfer as transferring
from pipeline.tensors import to_pixels
from pipeline.transfer import (
    CONTENT_WEIGHTS,
    LEAST_SHARE,
    RECOLOURED_SHARE,
    SMOOTHNESS,
    STEP_SIZE,
    imitate_style,
    match_colours,
    transfer,
)
from pipeline.vgg import VGG16
from scrapers.sample.strokes import Picture
from tests.pictures import noise, scene

SIDE_PX = 32
CONTENT = np.array(scene(SIDE_PX, SIDE_PX, 1))
STYLE = noise(SIDE_PX, SIDE_PX, 3, seed=2) // 2 + np.uint8(90)


def exact(picture: Picture) -> Tensor:
    return torch.from_numpy(picture / 255).permute(2, 0, 1)[None]


def errors(network: VGG16, image: Tensor, content: Picture, style: Picture) -> tuple[Tensor, Tensor]:
    """How far an image is from the Gram matrices of ``style`` and from relu4_1 of ``content``, in float64."""

    def error(found: Tensor, target: Tensor) -> Tensor:
        return ((found - target) ** 2).sum() / (target**2).sum()

    def gram(tap: Tensor) -> Tensor:
        return torch.einsum("cyx,dyx->cd", tap[0], tap[0]) / tap.numel()

    double = deepcopy(network).double()
    layers = [f"relu{block}_1" for block in (1, 2, 3, 4)]
    found, lent = (double.taps(each, layers) for each in (image, exact(style)))
    kept = double.taps(exact(content), layers)["relu4_1"]
    surfaces = [error(gram(found[layer]), gram(lent[layer])) for layer in layers]
    return torch.stack(surfaces).mean(), error(found["relu4_1"], kept)


def reference(network: VGG16, content: Picture, style: Picture, content_weight: float, steps: int) -> Tensor:
    """Adam (Kingma and Ba 2015, algorithm 1) on the loss, in float64."""
    image = exact(content)
    mean, square = torch.zeros_like(image), torch.zeros_like(image)
    for step in range(1, steps + 1):
        image.requires_grad_()
        surface, subject = errors(network, image, content, style)
        rough = sum((255 * image.diff(dim=axis)).square().mean() for axis in (2, 3))
        (slope,) = torch.autograd.grad(surface + content_weight * subject + SMOOTHNESS * rough, image)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        change = mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
        image = (image - STEP_SIZE * change).detach()
    return image


@pytest.mark.parametrize("content_weight", [0.1, 30.0])
def test_the_loss_is_the_formula(network: VGG16, monkeypatch: pytest.MonkeyPatch, content_weight: float) -> None:
    monkeypatch.setattr(transferring, "STEPS", 4)
    expected = to_pixels(reference(network, CONTENT, STYLE, content_weight, 4)[0]).astype(int)
    apart = np.abs(transfer(network, CONTENT, STYLE, content_weight).astype(int) - expected)
    assert (apart <= 1).mean() > 0.99
    assert np.abs(expected - CONTENT).mean() > 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_weight_is_between_surface_and_subject(network: VGG16, dtype: torch.dtype) -> None:
    painter = deepcopy(network).cast_trunk(dtype)
    before, _ = errors(network, exact(CONTENT), CONTENT, STYLE)
    paintings = [transfer(painter, CONTENT, STYLE, weight) for weight in (*CONTENT_WEIGHTS, 5.0)]
    surfaces, subjects = zip(*(errors(network, exact(each), CONTENT, STYLE) for each in paintings), strict=True)
    assert surfaces[0] < before / 3
    assert surfaces[0] < surfaces[1] < surfaces[2] < before
    assert subjects[0] > subjects[1] > subjects[2] > 0


def test_the_same_chance_gives_the_same_imitation(network: VGG16, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transferring, "STEPS", 3)
    photograph, painting = np.array(scene(96, 64)), noise(64, 96, 3)
    before = photograph.copy(), painting.copy()
    found = [
        imitate_style(network, photograph, painting, SIDE_PX, np.random.default_rng(seed)).tobytes()
        for seed in (1, 1, 2, 3)
    ]
    assert len(set(found)) == 3
    assert found[0] == found[1]
    assert (photograph == before[0]).all()
    assert (painting == before[1]).all()


EDGES = {
    "black": np.zeros((64, 48, 3), np.uint8),
    "white": np.full((64, 48, 3), 255, np.uint8),
    "grey": np.repeat(noise(64, 48, 1), 3, axis=2),
    "ribbon": np.array(scene(300, SIDE_PX)),
    "portrait": np.array(scene(40, 200)),
    "tiny": np.array(scene(5, 7)),
    "dot": noise(1, 1, 3),
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What becomes a picture from here on, where a value that is no number would not be seen any more."""
    found: list[Tensor] = []

    def noted(tensor: Tensor) -> NDArray[np.uint8]:
        found.append(tensor)
        return to_pixels(tensor)

    monkeypatch.setattr(transferring, "to_pixels", noted)
    return found


@pytest.mark.parametrize("painting", EDGES)
@pytest.mark.parametrize("photograph", EDGES)
def test_every_picture_takes_the_style_of_every_other(
    network: VGG16, made: list[Tensor], monkeypatch: pytest.MonkeyPatch, photograph: str, painting: str
) -> None:
    monkeypatch.setattr(transferring, "STEPS", 2)
    for recoloured in (0, 1):
        monkeypatch.setattr(transferring, "RECOLOURED_SHARE", recoloured)
        found = imitate_style(network, EDGES[photograph], EDGES[painting], SIDE_PX, np.random.default_rng(0))
        assert found.shape == (SIDE_PX, SIDE_PX, 3)
        assert found.dtype == np.uint8
        assert made[-1].isfinite().all()


def test_a_painting_that_excites_nothing_is_no_division_by_zero(network: VGG16, made: list[Tensor]) -> None:
    network.mean.zero_()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    transfer(network, CONTENT, np.zeros_like(CONTENT), 0.5)
    transfer(network, np.zeros_like(CONTENT), STYLE, 0.5)
    assert all(each.isfinite().all() for each in made)


def lab(picture: Picture) -> NDArray[np.float64]:
    """CIELAB under D65 as OpenCV scales it to 8 bits, by the formulas of IEC 61966-2-1 and CIE 15."""
    encoded = picture / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    ratio = xyz / [0.9505, 1.0, 1.089]
    x, y, z = np.moveaxis(np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29), -1, 0)
    lightness, a, b = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    return np.stack([lightness * 2.55, a + 128, b + 128], axis=-1)


def muted(seed: int, contrast: float, colour: tuple[float, ...]) -> Picture:
    """A picture whose colours are far from the limits of sRGB."""
    return (contrast * (noise(40, 56, 3, seed=seed) - 128.0) + colour).round().astype(np.uint8)


@settings(max_examples=20)
@given(
    contrasts=st.tuples(st.floats(0.1, 0.4), st.floats(0.1, 0.25)),
    colours=st.tuples(*[st.tuples(*[st.floats(110, 145)] * 3)] * 2),
)
def test_colours_have_the_mean_and_deviation_of_the_other(
    contrasts: tuple[float, float], colours: tuple[tuple[float, ...], ...]
) -> None:
    picture, other = (muted(seed, contrasts[seed], colours[seed]) for seed in (0, 1))
    found, before, wanted = (lab(each) for each in (match_colours(picture, other), picture, other))
    np.testing.assert_allclose(found.mean((0, 1)), wanted.mean((0, 1)), atol=1)
    damped = wanted.std((0, 1)) * before.std((0, 1)) / (before.std((0, 1)) + 1)
    np.testing.assert_allclose(found.std((0, 1)), damped, atol=1)
    light, light_before = (each[..., 0].ravel() for each in (found, before))
    assert np.corrcoef(light, light_before)[0, 1] > 0.99


@pytest.mark.parametrize(("level", "other"), [(0, 255), (255, 0), (128, 40), (77, 77)])
def test_a_plain_picture_takes_the_plain_colour_of_the_other(level: int, other: int) -> None:
    picture, wanted = (np.full((8, 8, 3), each, np.uint8) for each in (level, other))
    assert np.abs(match_colours(picture, wanted).astype(int) - other).max() <= 1
    np.testing.assert_allclose(lab(match_colours(picture, CONTENT)).mean((0, 1)), lab(CONTENT).mean((0, 1)), atol=2)


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Picture, float]]:
    """What is transferred from here on: the part of the painting and the weight of the content, which is kept."""
    found: list[tuple[Picture, float]] = []

    def noted(network: VGG16, content: Picture, style: Picture, content_weight: float) -> Picture:
        found.append((style, content_weight))
        return content

    monkeypatch.setattr(transferring, "transfer", noted)
    return found


@pytest.mark.usefixtures("lent")
def test_the_centre_of_the_photograph_is_painted(network: VGG16) -> None:
    photograph = noise(SIDE_PX, 3 * SIDE_PX, 3)
    found = imitate_style(network, photograph, STYLE, SIDE_PX, np.random.default_rng(0))
    assert (found == photograph[:, SIDE_PX : 2 * SIDE_PX]).all()


def test_weights_and_colours_are_drawn_as_they_say(network: VGG16, lent: list[tuple[Picture, float]]) -> None:
    red_and_blue = (muted(0, 0.1, (200, 60, 60)), muted(1, 0.1, (60, 60, 200)))
    for seed in range(300):
        imitate_style(network, *red_and_blue, SIDE_PX, np.random.default_rng(seed))
    kept = np.array([style[..., 0].mean() > style[..., 2].mean() for style, _ in lent])
    assert abs(kept.mean() - RECOLOURED_SHARE) < 4 * np.sqrt(0.25 / 300)
    weights = np.array([weight for _, weight in lent])
    spread = CONTENT_WEIGHTS[1] - CONTENT_WEIGHTS[0]
    assert CONTENT_WEIGHTS[0] <= weights.min() < CONTENT_WEIGHTS[0] + spread / 20
    assert CONTENT_WEIGHTS[1] >= weights.max() > CONTENT_WEIGHTS[1] - spread / 20


@pytest.mark.parametrize(
    ("height_px", "width_px", "least_px"),
    [(160, 200, round(LEAST_SHARE * 160)), (240, 100, SIDE_PX), (20, 64, 20), (SIDE_PX, SIDE_PX, SIDE_PX)],
)
def test_the_part_that_lends_is_a_square_that_is_not_enlarged(
    network: VGG16,
    lent: list[tuple[Picture, float]],
    monkeypatch: pytest.MonkeyPatch,
    height_px: int,
    width_px: int,
    least_px: int,
) -> None:
    monkeypatch.setattr(transferring, "RECOLOURED_SHARE", 0)
    across, down = np.meshgrid(np.arange(width_px), np.arange(height_px))
    place = np.stack([across, down, 0 * across], axis=-1).astype(np.uint8)
    for seed in range(200):
        imitate_style(network, place, place, SIDE_PX, np.random.default_rng(seed))
    parts = np.array([style for style, _ in lent]).astype(float)
    middle = slice(4, -4)  # the filter mirrors at the border
    widths_px, heights_px = (
        np.diff(parts[:, middle, middle, channel], axis=axis).mean((1, 2)) * SIDE_PX
        for channel, axis in ((0, 2), (1, 1))
    )
    np.testing.assert_allclose(widths_px, heights_px, atol=3)
    assert widths_px.min() == pytest.approx(least_px, abs=4)
    assert widths_px.max() == pytest.approx(min(height_px, width_px), abs=4)
    corners = parts[:, 0, 0, :2].min(axis=0)
    ends = parts[:, -1, -1, :2].max(axis=0)
    np.testing.assert_allclose(corners, 0, atol=6)
    np.testing.assert_allclose(ends, (width_px - 1, height_px - 1), atol=6)
