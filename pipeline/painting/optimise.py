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
LEAST_CURVATURE = 1e-10
"""Of a step, below which it tells nothing about the loss (as in torch.optim.LBFGS)."""
OVERSHOT = 10
"""A loss so many times the best one is no use to go on from."""
SOFTENING_CYCLES_PER_PX = 0.02
"""Spatial frequencies below it count about the same: of what is larger than 50 pixels there is little in a picture."""

Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Of an image: the loss, of no dimension, and its gradient, of the shape of the image."""

Precondition = Callable[[Tensor], Tensor]
"""Times a symmetric positive definite matrix, a guess of the inverse Hessian: of a vector (n,), a vector (n,)."""


@dataclass(frozen=True)
class Stop:
    """When to stop: after ``iterations``, or once the loss changed by less than ``relative_change`` over ``window``."""

    iterations: int
    relative_change: float
    window: int


class DivergedError(Exception):
    """The loss is not a finite number, whatever the step."""


class LBFGS:
    """The direction of each step (Nocedal and Wright, "Numerical Optimization", 2nd ed., algorithm 7.4).

    The steps of ``torch.optim.LBFGS`` without a line search, but the device never waits for a number to reach the CPU,
    and the inverse Hessian is first guessed as ``precondition`` says, where torch takes the identity. A step that met
    no curvature takes the place of another one here, and tells nothing.
    """

    def __init__(self, history: int, precondition: Precondition) -> None:
        self.precondition = precondition
        self.pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=history)
        """Step s, change of the gradient y, and 1 / (y s), or 0 where the curvature y s is not positive."""
        self.scale: Tensor
        """Of the first guess, for the size of the steps to be right (equation 7.20)."""
        self.last: tuple[Tensor, Tensor] | None = None
        """Gradient and step."""

    def step(self, gradient: Tensor) -> Tensor:
        """The step to take where the gradient is this one, both of shape (n,)."""
        if self.last is None:
            self.scale = gradient.new_ones(())
            step = -self.precondition(gradient)
            step /= step.abs().sum().clamp_min(1)
        else:
            self._remember(gradient, *self.last)
            step = self._apply_inverse_hessian(gradient).neg_()
        self.last = gradient, step
        return step

    def _remember(self, gradient: Tensor, before: Tensor, s: Tensor) -> None:
        y = gradient - before
        curvature = torch.dot(y, s)
        useful = curvature > LEAST_CURVATURE
        self.pairs.append((s, y, torch.where(useful, 1 / curvature, 0)))
        self.scale = torch.where(useful, curvature / torch.dot(y, self.precondition(y)), self.scale)

    def _apply_inverse_hessian(self, gradient: Tensor) -> Tensor:
        q = gradient.clone()
        alphas = []
        for s, y, rho in reversed(self.pairs):
            alphas.append(rho * torch.dot(s, q))
            q.addcmul_(y, alphas[-1], value=-1)
        q = self.precondition(q) * self.scale
        for (s, y, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            q.addcmul_(s, alpha - rho * torch.dot(y, q))
        return q


def coarse_first(size: tuple[int, int], device: torch.device) -> Precondition:
    """Larger steps for coarser structures of an image (1, 3, H, W), flattened, whose ``size`` is (H, W).

    Amplitudes of a spatial frequency f are multiplied by 1 / f, which is how those of natural images fall (Field 1987,
    "Relations between the statistics of natural images and the response properties of cortical cells").
    """
    height, width = size
    along_y, along_x = torch.fft.fftfreq(height, device=device), torch.fft.rfftfreq(width, device=device)
    frequency = torch.hypot(along_y[:, None], along_x)
    gain = SOFTENING_CYCLES_PER_PX / (frequency + SOFTENING_CYCLES_PER_PX)

    def precondition(vector: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(vector.view(-1, height, width))
        changed: Tensor = torch.fft.irfft2(spectrum * gain, s=size)
        return changed.flatten()

    return precondition


def minimise(
    start: Tensor, evaluate: Evaluate, stop: Stop, on_iteration: Callable[[], object] = lambda: None
) -> tuple[Tensor, int]:
    """Minimise the loss of :data:`Evaluate` from ``start``, an image (1, 3, H, W) in [0, 1], float32 or float64.

    Returns the best image met, clamped to [0, 1], and the number of iterations.
    Raises :class:`DivergedError` if already the first loss is not finite.
    """
    # The first step of L-BFGS has an L1 norm of 1. In this unit it changes each value by one of 255 levels, enough for
    # a network in bfloat16 to notice; a smaller one would leave the first guess of the curvature to rounding errors.
    unit = start.numel() / PIXEL_RANGE
    precondition = coarse_first((start.shape[2], start.shape[3]), start.device)
    image, optimiser = start.detach(), LBFGS(HISTORY, precondition)
    best, best_loss = image, math.inf
    recent: deque[float] = deque(maxlen=stop.window + 1)
    iterations = 0
    while iterations < stop.iterations:
        iterations += 1
        value, gradient = evaluate(image)
        loss = float(value)  # the one time that the device is waited for
        if loss < best_loss:
            best, best_loss = image, loss
        elif math.isinf(best_loss):
            raise DivergedError
        elif not loss < OVERSHOT * best_loss:
            # Steps are taken without a line search, as in Ruder 2016; the odd one lands far off.
            image, optimiser = best, LBFGS(HISTORY, precondition)
            value, gradient = evaluate(image)
        image = image + unit * optimiser.step(unit * gradient.flatten()).view_as(image)
        on_iteration()
        recent.append(loss)
        if len(recent) > stop.window and abs(recent[0] - loss) < stop.relative_change * recent[0]:
            break
    if float(evaluate(image)[0]) < best_loss:  # the last step led to an image that no evaluation has seen yet
        best = image
    return best.clamp(0, 1), iterations
