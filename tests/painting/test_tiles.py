from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pipeline.painting.losses import content_loss, gram_matrix
from pipeline.painting.tiles import taps_and_grams
from pipeline.vgg import VGG16

LAYERS = ("relu4_2", "relu5_2")
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
SIZES = [(83, 131), (131, 83), (64, 96), (32, 301), (257, 33)]


def random_image(height_px: int, width_px: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height_px, width_px, generator=generator, dtype=torch.float64)


def whole(network: VGG16, image: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    taps = network.taps(image, {*LAYERS, *STYLE_LAYERS})
    return {name: taps[name] for name in LAYERS}, {name: gram_matrix(taps[name]) for name in STYLE_LAYERS}


def pull(taps: dict[str, Tensor], grams: dict[str, Tensor]) -> Tensor:
    """A loss whose gradient is of another value at every activation."""
    near = content_loss(taps, {name: tap.detach().roll(1) for name, tap in taps.items()})
    style = torch.stack([(gram - gram.detach().roll(1)).square().sum() for gram in grams.values()]).sum()
    return near + 100 * style


@pytest.fixture
def precise(network: VGG16) -> VGG16:
    return network.requires_grad_(False).double()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tile_area_px", [1, 900, 4000])
def test_all_is_as_the_whole_image_gives_it(precise: VGG16, size: tuple[int, int], tile_area_px: int) -> None:
    image = random_image(*size).requires_grad_()
    expected_taps, expected_grams = whole(precise, image)
    taps, grams = taps_and_grams(precise, image, LAYERS, STYLE_LAYERS, tile_area_px)
    for name, tap in expected_taps.items():
        torch.testing.assert_close(taps[name], tap, rtol=1e-12, atol=1e-12)
    for name, gram in expected_grams.items():
        torch.testing.assert_close(grams[name], gram, rtol=1e-12, atol=1e-12)
    (expected,) = torch.autograd.grad(pull(expected_taps, expected_grams), image)
    (gradient,) = torch.autograd.grad(pull(taps, grams), image)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_an_image_that_fits_is_seen_whole(precise: VGG16) -> None:
    image = random_image(83, 131).requires_grad_()
    outcomes = [whole(precise, image), taps_and_grams(precise, image, LAYERS, STYLE_LAYERS, 83 * 131)]
    gradients = [torch.autograd.grad(pull(*outcome), image)[0] for outcome in outcomes]
    assert torch.equal(*gradients)


@pytest.mark.parametrize("layers", [("relu1_1",), ("relu2_2", "relu1_2"), ("relu3_3",)])
def test_nothing_above_the_highest_layer_is_computed(precise: VGG16, layers: tuple[str, ...]) -> None:
    image = random_image(50, 70)
    expected = precise.taps(image, layers)
    precise.conv5_1 = precise.conv4_1 = None  # type: ignore[assignment]
    taps, grams = taps_and_grams(precise, image, layers, (), 500)
    assert not grams
    assert taps.keys() == expected.keys()
    for name, tap in expected.items():
        torch.testing.assert_close(taps[name], tap)


def saved_bytes(compute: Callable[[], object]) -> int:
    """What autograd keeps between the forward and the backward pass."""
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = compute()  # noqa: F841 what is freed may leave its address to another tensor
    return sum(saved.values())


def test_memory_is_that_of_a_tile_and_of_what_the_blocks_hand_on(precise: VGG16) -> None:
    image = random_image(512, 128).requires_grad_()
    at_once = saved_bytes(lambda: whole(precise, image))
    tiled = saved_bytes(lambda: taps_and_grams(precise, image, LAYERS, STYLE_LAYERS, 128 * 32))
    assert tiled < 0.35 * at_once


def test_a_network_in_bfloat16_has_losses_in_float32(network: VGG16) -> None:
    coarse = network.requires_grad_(False).to(torch.bfloat16)
    image = random_image(96, 80).float().requires_grad_()
    expected_taps, expected_grams = whole(coarse, image)
    taps, grams = taps_and_grams(coarse, image, LAYERS, STYLE_LAYERS, 2000)
    (expected,) = torch.autograd.grad(pull(expected_taps, expected_grams), image)
    (gradient,) = torch.autograd.grad(pull(taps, grams), image)
    assert gradient.dtype == grams["relu1_1"].dtype == torch.float32
    assert (gradient - expected).norm() < 0.02 * expected.norm()
