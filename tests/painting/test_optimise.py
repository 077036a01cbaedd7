from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.painting.optimise import LBFGS, DivergedError, Evaluate, Stop, coarse_first, minimise


def of(objective: Callable[[Tensor], Tensor]) -> Evaluate:
    """The objective and its gradient."""

    def evaluate(image: Tensor) -> tuple[Tensor, Tensor]:
        pixels = image.detach().requires_grad_()
        loss = objective(pixels)
        (gradient,) = torch.autograd.grad(loss, pixels)
        return loss.detach(), gradient

    return evaluate


def test_a_quadratic_is_solved() -> None:
    target = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    start = torch.full_like(target, 0.5)
    image, _ = minimise(start, of(lambda x: 1e4 * (x - target).square().mean()), Stop(150, 0.0, 10))
    torch.testing.assert_close(image, target, atol=1e-4, rtol=0)


@given(seed=st.integers(0, 1000), history=st.integers(1, 12))
def test_steps_are_those_of_torch(seed: int, history: int) -> None:
    """On a convex function, in float64: there every step has curvature."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(20, generator=generator, dtype=torch.float64)
    mixing = torch.rand(20, 20, generator=generator, dtype=torch.float64)

    def objective(x: Tensor) -> Tensor:
        return torch.nn.functional.softplus(4 * (mixing - 0.5) @ x).sum() + 0.5 * x.square().sum()

    reference = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([reference], max_iter=1, history_size=history, tolerance_grad=0, tolerance_change=0)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = objective(reference)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    x, ours = start, LBFGS(history, lambda vector: vector)
    for _ in range(8):
        optimiser.step(closure)  # type: ignore[no-untyped-call]
        x = x + ours.step(of(objective)(x)[1])
        torch.testing.assert_close(x, reference.detach(), rtol=1e-6, atol=1e-8)


@given(seed=st.integers(0, 1000))
def test_a_precondition_is_another_unit_of_each_variable(seed: int) -> None:
    """L-BFGS from the guess U'U of the inverse Hessian takes the steps of plain L-BFGS in z, where x = U'z."""
    generator = torch.Generator().manual_seed(seed)
    start, units = torch.rand(2, 20, generator=generator, dtype=torch.float64)
    units = 0.5 + units

    def small(x: Tensor) -> Tensor:  # so that the first step, whose length is limited in either unit, is whole
        return 1e-3 * (torch.nn.functional.softplus(x).sum() + x.square().sum())

    x, ours = start, LBFGS(5, lambda vector: units**2 * vector)
    z, plain = start / units, LBFGS(5, lambda vector: vector)
    for _ in range(8):
        x = x + ours.step(of(small)(x)[1])
        z = z + plain.step(of(lambda each: small(units * each))(z)[1])
        torch.testing.assert_close(x, units * z, rtol=1e-9, atol=1e-12)


@given(height=st.integers(2, 9), width=st.integers(2, 9))
def test_coarse_structures_come_first(height: int, width: int) -> None:
    """The precondition is a symmetric positive definite matrix that leaves the mean as it is and fades out stripes."""
    n = 3 * height * width
    precondition = coarse_first((height, width), torch.device("cpu"))
    matrix = torch.stack([precondition(row) for row in torch.eye(n)])
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-6)
    assert torch.linalg.eigvalsh(matrix.double()).min() > 0
    even, stripes = torch.ones(n), torch.ones(3, height, width)
    torch.testing.assert_close(precondition(even), even)
    stripes[:, 1::2] = -1
    assert precondition(stripes.flatten()).norm() < 0.5 * stripes.norm()


def test_it_stops_when_the_loss_hardly_changes() -> None:
    target = torch.rand(1, 3, 8, 8)

    def flat_bottom(image: Tensor) -> Tensor:
        return (image - target).square().mean() + 1.0

    _, iterations = minimise(torch.rand(1, 3, 8, 8), of(flat_bottom), Stop(500, 1e-3, 10))
    assert 10 < iterations < 60


def test_the_result_is_an_image() -> None:
    image, _ = minimise(torch.full((1, 3, 4, 4), 0.5), of(lambda x: (x - 3).square().sum()), Stop(30, 0.0, 10))
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

    image, _ = minimise(torch.full((1, 3, 4, 4), 0.75), of(treacherous), Stop(40, 0.0, 10))
    torch.testing.assert_close(image, target, atol=1e-3, rtol=0)


def test_a_loss_that_never_is_a_number_is_an_error() -> None:
    with pytest.raises(DivergedError):
        minimise(torch.rand(1, 3, 4, 4), of(lambda x: (x * float("nan")).sum()), Stop(10, 0.0, 5))


def test_even_a_single_step_leads_somewhere() -> None:
    target = torch.full((1, 3, 4, 4), 0.25)
    start = torch.full((1, 3, 4, 4), 0.75)
    image, _ = minimise(start, of(lambda x: 1e3 * (x - target).square().mean()), Stop(1, 0.0, 10))
    assert (image - target).abs().mean() < (start - target).abs().mean()
