"""Minimise a loss over the pixels of one image with L-BFGS, until the loss hardly changes any more."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.painting.losses import PIXEL_RANGE

HISTORY = 20
"""Pairs of steps and gradient changes that L-BFGS keeps; Ruder 2016 keeps 100, for five times the memory."""
OVERSHOT = 10
"""A loss so many times the best one is no use to go on from."""


@dataclass(frozen=True)
class Stop:
    """When to stop: after ``iterations``, or once the loss changed by less than ``relative_change`` over ``window``."""

    iterations: int
    relative_change: float
    window: int


class DivergedError(Exception):
    """The loss is not a finite number, whatever the step."""


def minimise(
    start: Tensor,
    objective: Callable[[Tensor], Tensor],
    stop: Stop,
    on_iteration: Callable[[], object] = lambda: None,
) -> tuple[Tensor, int]:
    """Minimise ``objective`` from ``start``, an image (1, 3, H, W) in [0, 1] of float32 or float64.

    Returns the best image met, clamped to [0, 1], and the number of iterations.
    Raises :class:`DivergedError` if already the first loss is not finite.
    """
    # The first step of L-BFGS has an L1 norm of 1. In this unit it changes each value by one of 255 levels, enough for
    # a network in bfloat16 to notice; a smaller one would leave the first guess of the curvature to rounding errors.
    unit = start.numel() / PIXEL_RANGE
    pixels = (start.detach() / unit).contiguous().requires_grad_()
    # L-BFGS reads gradients as flat vectors, so they are collected in a contiguous tensor of ours: the network's
    # own are channels-last.
    pixels.grad = torch.zeros_like(pixels)
    optimiser = _lbfgs(pixels)
    best, best_loss = pixels.detach(), math.inf
    recent: deque[float] = deque(maxlen=stop.window + 1)

    def evaluate() -> Tensor:
        optimiser.zero_grad(set_to_none=False)
        loss = objective(pixels * unit)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    iterations = 0
    while iterations < stop.iterations:
        iterations += 1
        before = pixels.detach().clone()
        loss = float(optimiser.step(evaluate))  # type: ignore[no-untyped-call]
        if loss < best_loss:
            best, best_loss = before, loss
        elif math.isinf(best_loss):
            raise DivergedError
        elif not loss < OVERSHOT * best_loss:
            # Steps are taken without a line search, as in Ruder 2016; the odd one lands far off.
            pixels.data.copy_(best)
            optimiser = _lbfgs(pixels)
        on_iteration()
        recent.append(loss)
        if len(recent) > stop.window and abs(recent[0] - loss) < stop.relative_change * recent[0]:
            break
    with torch.no_grad():  # the last step led to an image that no evaluation has seen yet
        if float(objective(pixels * unit)) < best_loss:
            best = pixels.detach()
    return (best * unit).clamp(0, 1), iterations


def _lbfgs(pixels: Tensor) -> torch.optim.LBFGS:
    return torch.optim.LBFGS([pixels], max_iter=1, history_size=HISTORY, tolerance_grad=0, tolerance_change=0)
