import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipeline.fast.folded import fold
from pipeline.fast.network import FastNetwork, Widths, constrain
from tests.fast.test_network import FULL


def trained(widths: Widths, styles: int, seed: int = 0) -> FastNetwork:
    """A network as it may be after training: no two styles alike."""
    torch.manual_seed(seed)
    network = constrain(FastNetwork(widths, [f"style-{number}" for number in range(styles)]))
    with torch.no_grad():
        for style in network.styles:
            style.add_(0.3 * torch.randn_like(style))
    return network.requires_grad_(False)


def noise(height: int, width: int) -> Tensor:
    """A frame of no structure at all, which leaves nothing to chance."""
    return torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def reference(network: FastNetwork, frame: Tensor, weights: Tensor) -> Tensor:
    """What the network itself makes of the frame, 0 to 255."""
    image = frame.permute(2, 0, 1)[None].to(weights.dtype) / 255
    painted: Tensor = network(image, weights[None])
    return 255 * painted[0].permute(1, 2, 0)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    fine=st.integers(1, 5).map(lambda half: 2 * half),
    coarse=st.integers(1, 9),
    blocks=st.integers(0, 3),
    weights=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any),
)
@settings(max_examples=50)
def test_folded_network_paints_what_the_network_does(
    height: int, width: int, fine: int, coarse: int, blocks: int, weights: list[int]
) -> None:
    network = trained(Widths(fine=fine, coarse=coarse, blocks=blocks), len(weights)).double()
    shares = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    frame = noise(height, width)
    painted = fold(network, shares, torch.float64)(frame)
    torch.testing.assert_close(painted, reference(network, frame, shares), rtol=0, atol=1e-9)


def test_reduced_precision_is_within_a_level_on_the_whole() -> None:
    network, frame, shares = trained(FULL, 3), noise(88, 120), torch.tensor([0.5, 0.3, 0.2])
    difference = fold(network, shares, torch.bfloat16)(frame) - reference(network, frame, shares)
    assert difference.abs().mean() < 1
    assert difference.abs().max() < 16
    assert difference.mean().abs() < 0.1


@pytest.mark.parametrize("blocks", [0, 4])
def test_enlarging_after_the_convolution_costs_no_more(blocks: int) -> None:
    network = trained(Widths(fine=32, coarse=80, blocks=blocks), 2)
    folded = fold(network, torch.tensor([0.5, 0.5]), torch.float32)
    with FlopCounterMode(display=False) as counter:
        folded(noise(64, 96))
    counted = counter.get_flop_counts()["Global"][torch.ops.aten.convolution] / 2 / (64 * 96)
    assert counted == pytest.approx(network.multiply_adds())


def test_frame_is_left_as_it_is() -> None:
    frame = noise(16, 24)
    before = frame.clone()
    fold(trained(FULL, 1), torch.ones(1), torch.float32)(frame)
    torch.testing.assert_close(frame, before)
