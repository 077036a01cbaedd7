import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.painting.losses import (
    closest_first,
    content_loss,
    gram_matrix,
    in_equal_shares,
    style_loss,
    temporal_loss,
    total_variation,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gram_matrix_is_the_mean_product_of_channels() -> None:
    features = random(2, 3, 4, 5)
    expected = np.einsum("nihw,njhw->nij", features.numpy(), features.numpy()) / (3 * 4 * 5)
    np.testing.assert_allclose(gram_matrix(features).numpy(), expected, rtol=1e-12)


def test_gram_matrix_of_a_tiled_picture_is_that_of_the_tile() -> None:
    tile = random(1, 3, 4, 4)
    torch.testing.assert_close(gram_matrix(tile.repeat(1, 1, 3, 2)), gram_matrix(tile))


def test_content_and_style_losses_sum_over_layers() -> None:
    taps = {"a": random(1, 2, 3, 3), "b": random(1, 4, 2, 2, seed=1)}
    targets = {"a": random(1, 2, 3, 3, seed=2), "b": random(1, 4, 2, 2, seed=3)}
    expected = sum(np.mean((taps[name].numpy() - targets[name].numpy()) ** 2) for name in taps)
    assert float(content_loss(taps, targets)) == pytest.approx(expected, rel=1e-12)

    grams = {name: gram_matrix(target) for name, target in targets.items()}
    expected = sum(np.mean((gram_matrix(taps[n]).numpy() - grams[n].numpy()) ** 2) for n in taps)
    assert float(style_loss({n: gram_matrix(tap) for n, tap in taps.items()}, grams)) == pytest.approx(
        expected, rel=1e-12
    )


def test_temporal_loss_counts_only_what_can_be_relied_on() -> None:
    warped = random(1, 3, 4, 4)
    image = warped.clone()
    image[..., 0, 0] += 0.5
    reliability = torch.ones(4, 4, dtype=torch.float64)
    # One of sixteen pixels is off by 0.5 of the range of 255.
    assert float(temporal_loss(image, warped, reliability)) == pytest.approx((0.5 * 255) ** 2 / 16)
    reliability[0, 0] = 0
    assert float(temporal_loss(image, warped, reliability)) == 0


def test_a_farther_frame_has_a_say_only_in_what_no_closer_one_shows() -> None:
    near, middle, far = torch.tensor([[1.0, 0.6, 0, 0]]), torch.tensor([[1.0, 0.5, 0.3, 0]]), torch.ones(1, 4)
    left = closest_first([near, middle, far])
    # Ruder 2016, eq. 9, by hand: far loses the sum of both closer ones.
    expected = [near, torch.tensor([[0.0, 0, 0.3, 0]]), torch.tensor([[0.0, 0, 0.7, 1]])]
    torch.testing.assert_close(torch.stack(left), torch.stack(expected))
    assert closest_first([]) == []


def test_equal_shares_add_up_to_no_more_than_one() -> None:
    maps = [torch.tensor([[1.0, 0.5, 0.2]]), torch.tensor([[1.0, 1.0, 0.3]])]
    shares = in_equal_shares(maps)
    torch.testing.assert_close(torch.stack(shares), torch.tensor([[[0.5, 1 / 3, 0.2]], [[0.5, 2 / 3, 0.3]]]))
    assert in_equal_shares([]) == []


def test_total_variation_of_a_ramp() -> None:
    ramp = torch.linspace(0, 1, 5, dtype=torch.float64).expand(1, 3, 4, 5)
    assert float(total_variation(ramp)) == pytest.approx((255 / 4) ** 2)


@pytest.mark.parametrize("name", ["content", "style", "temporal", "tv"])
def test_gradients_match_finite_differences_in_float64(name: str) -> None:
    """Losses are taken of a small smooth network, so that every path of the gradient is walked."""
    convolution = torch.nn.Conv2d(3, 4, 3, padding=1, dtype=torch.float64).requires_grad_(False)
    target = torch.tanh(convolution(random(1, 3, 4, 5, seed=1)))
    reliability = random(4, 5, seed=2)

    def taps(image: Tensor) -> dict[str, Tensor]:
        return {"layer": torch.tanh(convolution(image))}

    losses = {
        "content": lambda image: content_loss(taps(image), {"layer": target}),
        "style": lambda image: style_loss({"layer": gram_matrix(taps(image)["layer"])}, {"layer": gram_matrix(target)}),
        "temporal": lambda image: temporal_loss(image, random(1, 3, 4, 5, seed=3), reliability),
        "tv": total_variation,
    }
    torch.autograd.gradcheck(losses[name], random(1, 3, 4, 5, seed=4).requires_grad_())


def test_the_gradient_in_bfloat16_is_that_in_float64() -> None:
    features = random(1, 16, 12, 10) - 0.3
    target = gram_matrix(random(1, 16, 12, 10, seed=1))
    gradients = []
    for dtype in (torch.float64, torch.bfloat16):
        leaf = features.detach().clone().to(dtype).requires_grad_()
        style_loss({"a": gram_matrix(leaf)}, {"a": target.to(gram_matrix(leaf).dtype)}).backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        gradients.append(leaf.grad.double())
    assert (gradients[0] - gradients[1]).norm() < 0.02 * gradients[0].norm()


def test_losses_of_a_bfloat16_network_are_in_float32() -> None:
    features = random(1, 4, 8, 8).to(torch.bfloat16)
    assert gram_matrix(features).dtype == torch.float32
    assert content_loss({"a": features}, {"a": features}).dtype == torch.float32
