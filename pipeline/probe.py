"""Convex fits on what a network computes: logistic regression on its features, temperature of its logits."""

import math

import torch
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

MAX_ITERATIONS = 100
LEAST_STD = 0.02
"""Of a feature: one that hardly ever changes is not blown up to the size of the others."""
TEMPERATURES = (1 / 4, 20.0)
"""The lowest and the highest that is believed: logits without a mistake have no best one."""


def fit_probe(features: Tensor, targets: Tensor, weights: Tensor, l2: float) -> tuple[Tensor, Tensor]:
    """Weighted logistic regression of ``targets`` (n,), 0 or 1, on ``features`` (n, d): weight (d,) and bias (1,).

    The penalty is ``l2`` times the squared norm of the weight on standardised features; the result takes the features
    as they are.
    """
    shares = (weights / weights.sum())[:, None]
    mean = (shares * features).sum(dim=0)
    std = (shares * (features - mean).square()).sum(dim=0).sqrt() + LEAST_STD
    standardised = (features - mean) / std
    weight = torch.zeros(features.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        errors = binary_cross_entropy_with_logits(standardised @ weight + bias, targets, shares[:, 0], reduction="sum")
        value = errors + l2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    weight_there = weight.detach() / std
    return weight_there, bias.detach() - weight_there @ mean


def fit_temperature(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> float:
    """The divisor of ``logits`` (n,) that gives the least, weighted cross-entropy (Guo et al. 2017, section 4.2)."""

    def loss(log_temperature: float) -> float:
        divided = logits.double() / math.exp(log_temperature)
        return float(binary_cross_entropy_with_logits(divided, targets.double(), weights))

    found = minimize_scalar(loss, bounds=[math.log(limit) for limit in TEMPERATURES], method="bounded")
    return math.exp(found.x)
