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
    """The direction of each step, from the steps before: limited-memory BFGS in its compact form.

    Byrd, Nocedal and Schnabel, "Representations of quasi-Newton matrices and their use in limited memory methods"
    (1994), solved by the substitutions of the two-loop recursion (Nocedal and Wright, "Numerical Optimization", 2nd
    ed., algorithm 7.4) for all pairs at once: the steps of ``torch.optim.LBFGS`` without a line search, but in a few
    products instead of four a pair, and the device never waits for a number to reach the CPU. The inverse Hessian is
    first guessed as ``precondition`` says, where torch takes the identity. A step that met no curvature takes the place
    of another one here, and tells nothing.
    """

    def __init__(self, history: int, precondition: Precondition) -> None:
        self._history = history
        self._precondition = precondition
        self._count = 0
        """Pairs met; number i is in row i modulo ``history``."""
        self._last: tuple[Tensor, Tensor] | None = None
        """Gradient and step."""
        self._s: Tensor
        """Steps, (history, n)."""
        self._y: Tensor
        """Changes of the gradient, (history, n)."""
        self._products: Tensor
        """s_i y_j, (history, history), wherever the pair i is not younger than j."""
        self._scale: Tensor
        """Of the first guess, for the size of the steps to be right (equation 7.20)."""

    def step(self, gradient: Tensor) -> Tensor:
        """The step to take where the gradient is this one, both of shape (n,)."""
        if self._last is None:
            self._scale = gradient.new_ones(())
            self._s, self._y = gradient.new_empty(2, self._history, len(gradient)).unbind()
            self._products = gradient.new_zeros(self._history, self._history)
            step = -self._precondition(gradient)
            step /= step.abs().sum().clamp_min(1)
        else:
            self._remember(gradient, *self._last)
            step = self._apply_inverse_hessian(gradient).neg_()
        self._last = gradient, step
        return step

    def _remember(self, gradient: Tensor, before: Tensor, s: Tensor) -> None:
        y = gradient - before
        curvature = torch.dot(y, s)
        useful = curvature > LEAST_CURVATURE
        row = self._count % self._history
        self._s[row], self._y[row] = torch.where(useful, s, 0), torch.where(useful, y, 0)
        self._count += 1
        kept = min(self._count, self._history)
        self._products[:kept, row] = self._s[:kept] @ self._y[row]
        self._products[row, row] = torch.where(useful, curvature, 1)  # what all else is divided by
        self._scale = torch.where(useful, curvature / torch.dot(y, self._precondition(y)), self._scale)

    def _apply_inverse_hessian(self, gradient: Tensor) -> Tensor:
        kept = min(self._count, self._history)
        s, y = self._s[:kept], self._y[:kept]
        oldest = self._count % kept  # the rows from it on, then those before it, are in the order of age
        upper = self._products[:kept, :kept].roll((-oldest, -oldest), (0, 1))

        def by_age(values: Tensor) -> Tensor:
            return values.roll(-oldest)[:, None]

        def by_row(values: Tensor) -> Tensor:
            return values[:, 0].roll(oldest)

        alpha = torch.linalg.solve_triangular(upper, by_age(s @ gradient), upper=True)
        q = torch.addmv(gradient, y.T, by_row(alpha), alpha=-1)
        r = self._precondition(q) * self._scale
        change = upper.diagonal()[:, None] * alpha - by_age(y @ r)
        return torch.addmv(r, s.T, by_row(torch.linalg.solve_triangular(upper.T, change, upper=False)))


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
