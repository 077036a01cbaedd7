import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.painting.losses import content_loss, gram_matrix, style_loss
from pipeline.painting.tiles import halo_px, tiled_grams, tiled_losses, tiled_taps, tiles
from pipeline.params import Stylize
from pipeline.vgg import VGG16

SIZES = [(83, 131), (131, 83), (64, 96), (33, 200), (47, 45)]


def random_image(height_px: int, width_px: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height_px, width_px, generator=generator, dtype=torch.float64)


def targets(network: VGG16, settings: Stylize, size: tuple[int, int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Activations of one picture and Gram matrices of another."""
    with torch.no_grad():
        taps = network.taps(random_image(64, 80, seed=2), settings.style_layers)
        content = network.taps(random_image(*size, seed=1), settings.content_layers)
    return content, {name: gram_matrix(tap) for name, tap in taps.items()}


@given(
    height_px=st.integers(16, 300),
    width_px=st.integers(16, 300),
    tile_px=st.integers(16, 400),
    halo=st.sampled_from([0, 16, 64, 80]),
)
def test_cores_cover_the_image_once_and_windows_hold_their_surroundings(
    height_px: int, width_px: int, tile_px: int, halo: int
) -> None:
    covered = np.zeros((height_px, width_px), int)
    for tile in tiles(height_px, width_px, tile_px, halo):
        covered[tile.core] += 1
        for core, window, side_px in zip(tile.core, tile.window, (height_px, width_px), strict=True):
            assert 0 < core.stop - core.start < tile_px + 16
            assert core.start % 16 == window.start % 16 == 0
            assert window.start == max(0, core.start - halo)
            assert window.stop == min(side_px, core.stop + halo)
    assert (covered == 1).all()


@pytest.mark.parametrize("layers", [["relu1_1"], ["relu2_2", "relu1_1"], ["relu3_3"], ["relu4_2"], ["relu5_3"]])
def test_the_halo_is_what_the_deepest_layer_sees_and_no_more(network: VGG16, layers: list[str]) -> None:
    """Measured by the gradient of positions in the middle; nothing cancels, and pooling takes what is farther left."""
    for parameter in network.parameters():
        parameter.data.abs_()
    network = network.requires_grad_(False).double()
    image = torch.linspace(2, 1, 320, dtype=torch.float64).expand(1, 3, 16, 320).requires_grad_()
    deepest = max(layers)
    stride = 2 ** (int(deepest[4]) - 1)
    tap = network.taps(image, layers)[deepest]
    (seen,) = torch.autograd.grad(tap[..., 160 // stride :].sum(), image)
    reach_px = 160 - int(seen.sum(dim=(0, 1, 2)).nonzero().min())
    assert reach_px <= halo_px(layers) < reach_px + stride


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tile_px", [16, 32, 60, 1000])
def test_losses_and_gradient_are_those_of_the_whole_image(
    network: VGG16, settings: Stylize, size: tuple[int, int], tile_px: int
) -> None:
    network = network.requires_grad_(False).double()
    content, grams = targets(network, settings, size)
    image = random_image(*size).requires_grad_()
    taps = network.taps(image, {*settings.content_layers, *settings.style_layers})
    near, style = content_loss(taps, content), style_loss(taps, grams)
    weighted = settings.content_weight * near + settings.style_weight * style
    (expected,) = torch.autograd.grad(weighted, image)

    tiled_near, tiled_style, gradient = tiled_losses(network, image, content, grams, settings, tile_px)
    torch.testing.assert_close(tiled_near, near.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(tiled_style, style.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


@pytest.mark.parametrize("size", SIZES)
def test_taps_and_gram_matrices_are_those_of_the_whole_image(
    network: VGG16, settings: Stylize, size: tuple[int, int]
) -> None:
    network = network.double()
    image = random_image(*size)
    with torch.no_grad():
        taps = network.taps(image, settings.style_layers)
    assembled = tiled_taps(network, image, settings.style_layers, tile_px=32)
    grams = tiled_grams(network, image, settings.style_layers, tile_px=32)
    assert assembled.keys() == grams.keys() == taps.keys()
    for name, tap in taps.items():
        torch.testing.assert_close(assembled[name], tap)
        torch.testing.assert_close(grams[name], gram_matrix(tap))
