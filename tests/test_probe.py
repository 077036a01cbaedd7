import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize  # type: ignore[import-untyped]
from scipy.special import expit  # type: ignore[import-untyped]

from pipeline.probe import LEAST_STD, TEMPERATURES, fit_probe, fit_temperature

Numbers = NDArray[np.float64]


def best_logits(features: Numbers, targets: Numbers, weights: Numbers, l2: float) -> Numbers:
    """Of the penalised logistic regression, in float64 and by another method."""
    shares = weights / weights.sum()
    mean = shares @ features
    standardised = (features - mean) / (np.sqrt(shares @ (features - mean) ** 2) + LEAST_STD)
    design = np.column_stack([standardised, np.ones(len(features))])
    penalty = np.append(np.full(features.shape[1], 2 * l2), 0.0)

    def loss(x: Numbers) -> float:
        logits = design @ x
        return float(shares @ (np.logaddexp(0, logits) - targets * logits) + penalty @ x**2 / 2)

    def gradient(x: Numbers) -> Numbers:
        return np.asarray(design.T @ (shares * (expit(design @ x) - targets)) + penalty * x)

    def hessian(x: Numbers) -> Numbers:
        certain = expit(design @ x)
        return np.asarray(design.T @ ((shares * certain * (1 - certain))[:, None] * design) + np.diag(penalty))

    start = np.zeros(design.shape[1])
    found = minimize(loss, start, jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-10})
    return np.asarray(design @ found.x)


def problem(count: int, size: int) -> tuple[Numbers, Numbers, Numbers]:
    """Features of very different sizes, one of which never changes; targets that overlap; weights, some of them 0."""
    random = np.random.default_rng(0)
    features = np.log1p(random.exponential(random.uniform(0.01, 5, size), (count, size)))
    features[:, 0] = 0.3
    score = features @ random.normal(size=size)
    targets = score + random.normal(size=count) > np.median(score)
    return features, targets.astype(np.float64), np.maximum(0, random.uniform(-0.2, 1, count))


@pytest.mark.parametrize("l2", [1e-3, 1.0])
def test_probe_is_the_penalised_logistic_regression(l2: float) -> None:
    features, targets, weights = problem(400, 30)
    x, y, w = (torch.from_numpy(each).float() for each in (features, targets, weights))
    weight, bias = fit_probe(x, y, w, l2)
    assert (weight.shape, bias.shape) == ((30,), (1,))
    logits = features @ weight.double().numpy() + bias.double().numpy()
    expected = best_logits(features, targets, weights, l2)
    assert np.abs(expected).max() > 0.3
    np.testing.assert_allclose(logits, expected, atol=2e-3)


def test_row_of_weight_two_counts_as_two_rows() -> None:
    features, targets, _ = (torch.from_numpy(each).float() for each in problem(100, 5))
    twice = torch.cat([features, features[:40]]), torch.cat([targets, targets[:40]])
    weights = torch.cat([torch.full((40,), 2.0), torch.ones(60)])
    expected = fit_probe(*twice, torch.ones(140), 0.1)
    torch.testing.assert_close(fit_probe(features, targets, weights, 0.1), expected, atol=1e-3, rtol=1e-3)


@settings(max_examples=25)
@given(
    logits=st.lists(st.floats(-30, 30), min_size=4, max_size=30),
    mistakes=st.floats(0.1, 0.4),
    seed=st.integers(0),
    weighted=st.booleans(),
)
def test_temperature_is_where_the_gradient_vanishes(
    logits: list[float], mistakes: float, seed: int, weighted: bool
) -> None:
    random = np.random.default_rng(seed)
    values = np.array(logits)
    targets = ((values > 0) != (random.uniform(size=len(values)) < mistakes)).astype(np.float64)
    weights = random.uniform(0.01, 1, len(values)) if weighted else np.ones(len(values))

    def slope(sharpness: float) -> float:
        return float(values @ (weights * (expit(sharpness * values) - targets)))

    lowest, highest = (1 / temperature for temperature in TEMPERATURES[::-1])
    expected = highest if slope(highest) < 0 else lowest if slope(lowest) > 0 else brentq(slope, lowest, highest)
    given_ = (torch.from_numpy(values).float(), torch.from_numpy(targets).float())
    found = fit_temperature(*given_, *([torch.from_numpy(weights)] if weighted else []))

    def loss(sharpness: float) -> float:
        return float(np.mean(weights * (np.logaddexp(0, sharpness * values) - sharpness * values * targets)))

    assert TEMPERATURES[0] <= found <= TEMPERATURES[1]
    assert loss(1 / found) == pytest.approx(loss(expected), rel=1e-4, abs=1e-5)


def test_overconfident_logits_are_divided_by_how_much_they_are() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, 20_000)
    targets = random.uniform(size=len(logits)) < expit(logits)
    assert fit_temperature(torch.from_numpy(5 * logits), torch.from_numpy(targets)) == pytest.approx(5, rel=0.05)


@pytest.mark.parametrize(
    ("logits", "expected"), [([900.0, -900.0], None), ([0.1, -0.1], TEMPERATURES[0]), ([-9.0, 9.0], TEMPERATURES[1])]
)
def test_temperature_stays_within_reason(logits: list[float], expected: float | None) -> None:
    found = fit_temperature(torch.tensor(logits), torch.tensor([1.0, 0.0]))
    assert TEMPERATURES[0] <= found <= TEMPERATURES[1]
    assert expected is None or found == pytest.approx(expected, rel=1e-3)
