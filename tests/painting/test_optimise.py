import pytest
import torch
from torch import Tensor

from pipeline.painting.optimise import DivergedError, Stop, minimise


def quadratic(target: Tensor, scale: float = 1e4) -> object:
    return lambda image: scale * (image - target).square().mean()


def test_a_quadratic_is_solved() -> None:
    target = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    image, _ = minimise(torch.full_like(target, 0.5), quadratic(target), Stop(60, 0.0, 10))  # type: ignore[arg-type]
    torch.testing.assert_close(image, target, atol=1e-5, rtol=0)


def test_it_stops_when_the_loss_hardly_changes() -> None:
    target = torch.rand(1, 3, 8, 8)

    def flat_bottom(image: Tensor) -> Tensor:
        return (image - target).square().mean() + 1.0

    _, iterations = minimise(torch.rand(1, 3, 8, 8), flat_bottom, Stop(500, 1e-3, 10))
    assert 10 < iterations < 60


def test_the_result_is_an_image() -> None:
    image, _ = minimise(torch.full((1, 3, 4, 4), 0.5), lambda x: (x - 3).square().sum(), Stop(30, 0.0, 10))
    assert image.min() >= 0
    assert image.max() <= 1


def test_a_step_that_lands_far_off_is_taken_back() -> None:
    target = torch.full((1, 3, 4, 4), 0.25)
    calls = 0

    def treacherous(image: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        loss = 1e3 * (image - target).square().mean()
        return loss * float("nan") if calls == 4 else loss

    image, _ = minimise(torch.full((1, 3, 4, 4), 0.75), treacherous, Stop(40, 0.0, 10))
    torch.testing.assert_close(image, target, atol=1e-3, rtol=0)


def test_a_loss_that_never_is_a_number_is_an_error() -> None:
    with pytest.raises(DivergedError):
        minimise(torch.rand(1, 3, 4, 4), lambda x: (x * float("nan")).sum(), Stop(10, 0.0, 5))


def test_even_a_single_step_leads_somewhere() -> None:
    target = torch.full((1, 3, 4, 4), 0.25)
    start = torch.full((1, 3, 4, 4), 0.75)
    image, _ = minimise(start, lambda x: 1e3 * (x - target).square().mean(), Stop(1, 0.0, 10))
    assert (image - target).abs().mean() < (start - target).abs().mean()
