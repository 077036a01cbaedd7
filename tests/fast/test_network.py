import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from pipeline.fast.network import (
    LEAST_DEVIATION,
    FastNetwork,
    Plain,
    Standardised,
    Widths,
    constrain,
    relax,
    standardise,
)

FULL = Widths(fine=32, coarse=80, blocks=4)
TINY = Widths(fine=4, coarse=6, blocks=2)


def tiny_network(names: tuple[str, ...] = ("a", "b"), seed: int = 0) -> FastNetwork:
    """A network as it may be after training: no two styles alike."""
    torch.manual_seed(seed)
    network = constrain(FastNetwork(TINY, names))
    with torch.no_grad():
        for style in network.styles:
            style.add_(0.3 * torch.randn_like(style))
    return network.requires_grad_(False)


def images(count: int = 1, height: int = 24, width: int = 32) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@given(height=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=25)
def test_images_of_any_size_keep_it(height: int, width: int) -> None:
    painted = tiny_network()(images(2, height, width), torch.eye(2))
    assert painted.shape == (2, 3, height, width)
    assert painted.isfinite().all()
    assert painted.min() >= 0
    assert painted.max() <= 1


def test_a_new_network_paints_the_image_itself_almost() -> None:
    """What training starts from: an image that is a picture already, in which a stroke is worth what it adds."""
    network, image = constrain(FastNetwork(TINY, ("a",))), images(1, 48, 64)
    painted, itself = network(image, torch.ones(1, 1)), standardise(image).sigmoid()
    assert 0 < (painted - itself).abs().mean() < 0.2 * itself.std()


def test_size_that_is_no_multiple_of_8_changes_nothing_far_from_the_border() -> None:
    network, image = tiny_network(), torch.cat([images(1, 80, 160)] * 2, dim=2)
    image[:, :, ::4, ::4] = 0.5 + 0.3 * torch.arange(40).remainder(2) - 0.15  # the same exposure, whatever is cut off
    whole, part = (network(each, torch.tensor([[1.0, 0.0]])) for each in (image, image[:, :, :157, :157]))
    torch.testing.assert_close(part[:, :, :40, :40], whole[:, :, :40, :40])


def test_what_is_far_away_changes_nothing_but_the_exposure() -> None:
    """No statistics of activations: a style that hangs on them flickers when something enters at the other side."""
    network, image = tiny_network(), images(1, 16, 320)
    other = image.clone()
    other[..., :32] = image[..., :32].flip(2, 3).roll((1, 1), (2, 3))  # the same pixels count for the exposure
    torch.testing.assert_close(other[..., ::4, ::4].mean(), image[..., ::4, ::4].mean())
    one, two = (network(each, torch.tensor([[1.0, 0.0]])) for each in (image, other))
    torch.testing.assert_close(one[..., 200:], two[..., 200:])
    assert not torch.allclose(one[..., :32], two[..., :32])


@given(gains=st.tuples(*[st.floats(0.3, 1)] * 3), black=st.floats(0, 0.3))
@settings(max_examples=25)
def test_exposure_and_tint_change_nothing(gains: tuple[float, float, float], black: float) -> None:
    network, image = tiny_network().double(), images(2).double()
    changed = 0.7 * image * torch.tensor(gains).view(3, 1, 1) + black
    torch.testing.assert_close(*(network(each, torch.eye(2).double()) for each in (changed, image)))


def test_noise_of_a_dark_frame_is_not_blown_up() -> None:
    assert standardise(0.01 * images()).std() < 0.01 / LEAST_DEVIATION


@given(colour=st.tuples(*[st.floats(0, 1)] * 3), share=st.floats(0, 1))
@settings(max_examples=25)
def test_a_plain_image_is_painted_plain(colour: tuple[float, float, float], share: float) -> None:
    """Neither a checkerboard nor a frame along the border."""
    plain = torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 20, 28)
    painted = tiny_network()(plain, torch.tensor([[share, 1 - share]]))
    torch.testing.assert_close(painted, painted[:, :, :1, :1].expand_as(painted), rtol=0, atol=1e-5)


def test_each_image_has_its_own_mixture() -> None:
    network, image = tiny_network(), images()
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.3, 0.7]])
    together = network(image.expand(3, -1, -1, -1), weights)
    for painted, each in zip(together, weights, strict=True):
        torch.testing.assert_close(painted, network(image, each[None])[0])
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_styles_mix_by_their_parameters_and_continuously() -> None:
    network, image = tiny_network(), images()
    mean = copy.deepcopy(network)
    mean.add_style("mean")
    torch.testing.assert_close(mean(image, torch.tensor([[0, 0, 1.0]])), network(image, torch.tensor([[0.5, 0.5]])))
    steps = [network(image, torch.tensor([[share, 1 - share]])) for share in torch.linspace(0, 1, 101)]
    changes = [float((after - before).abs().max()) for before, after in pairwise(steps)]
    assert 0 < max(changes) < 0.05


def test_relaxed_network_paints_the_same_with_plain_convolutions() -> None:
    network, image = tiny_network(), images()
    before = network(image, torch.tensor([[0.5, 0.5]]))
    relax(network)
    torch.testing.assert_close(network(image, torch.tensor([[0.5, 0.5]])), before)
    assert set(network.state_dict()) == set(FastNetwork(TINY, ("a", "b")).state_dict())
    assert set(relax(network).state_dict()) == set(network.state_dict())


@given(gain=st.floats(0.01, 100))
@settings(max_examples=10)
def test_standardised_filters_keep_the_variance(gain: float) -> None:
    torch.manual_seed(0)
    weight = Standardised()(gain * (torch.randn(8, 16, 3, 3) + 1))
    noise = torch.randn(4, 16, 40, 40) + 5  # of whatever mean
    assert conv2d(noise, weight).var().item() == pytest.approx(1, abs=0.1)
    assert conv2d(noise, weight).mean().item() == pytest.approx(0, abs=0.1)


def test_subpixels_of_a_colour_answer_plain_areas_alike() -> None:
    weight = torch.randn(12, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    sums = Plain()(weight).sum(dim=(2, 3)).view(3, 4, 5)
    torch.testing.assert_close(sums, sums[:, :1].expand(3, 4, 5))
    torch.testing.assert_close(sums.mean(dim=1), weight.sum(dim=(2, 3)).view(3, 4, 5).mean(dim=1))
    torch.testing.assert_close(Plain()(Plain()(weight)), Plain()(weight))


@pytest.mark.parametrize("widths", [FULL, TINY])
def test_multiply_adds_are_those_that_torch_counts(widths: Widths) -> None:
    network = FastNetwork(widths, ("a",))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images(1, 64, 96), torch.ones(1, 1))
    counted = counter.get_flop_counts()["Global"][torch.ops.aten.convolution] / 2 / (64 * 96)
    assert network.multiply_adds() == pytest.approx(counted)


def test_full_size_is_within_what_two_cores_and_two_megabytes_hold() -> None:
    network = FastNetwork(FULL, [str(number) for number in range(8)])
    assert network.multiply_adds() < 12_000
    assert sum(parameter.numel() for parameter in network.parameters()) * 2 < 2e6


def test_every_parameter_takes_part() -> None:
    network = tiny_network().requires_grad_(True)
    network(images(), torch.tensor([[0.5, 0.5]])).square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert all(gradient is not None and gradient.any() for gradient in gradients.values()), gradients.keys()
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == len(network.convolutions())
