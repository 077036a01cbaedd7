import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom  # type: ignore[import-untyped]
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error

from pipeline import scores
from pipeline.predictions import Predictions
from pipeline.scores import (
    Estimates,
    calibration_curve,
    figures,
    figures_left_out,
    measure,
    measure_left_out,
    measure_sources,
)

ANSWERS = st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.sampled_from("abc")), min_size=1, max_size=40)
"""Scores, of which many are equal, whether it is a painting, and the source."""


def predictions(probabilities: list[float], paintings: list[bool], sources: str | list[str] = "museum") -> Predictions:
    names = [sources] * len(paintings) if isinstance(sources, str) else sources
    return Predictions(
        paths=np.array([f"{index}.jpg" for index in range(len(paintings))]),
        sources=np.array(names),
        labels=np.array(["painting" if painting else "photo" for painting in paintings]),
        probabilities=np.array(probabilities, dtype=np.float64),
    )


def answered(answers: list[tuple[int, bool, str]]) -> Predictions:
    # 37 is prime, so that no score lies on the border of a bin or on 0.5, where roundings differ
    numbers, paintings, sources = zip(*answers, strict=True)
    return predictions([(number + 0.25) / 37 for number in numbers], list(paintings), list(sources))


def values(estimates: Estimates) -> dict[str, float]:
    return {name: each.value for name, each in estimates.items()}


def reference_auroc(scores: NDArray[np.float64], targets: NDArray[np.bool_]) -> float:
    """The chance that a painting scores higher than a photograph, ties counting half."""
    difference = scores[targets][:, None] - scores[~targets][None]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def reference_calibration_error(scores: NDArray[np.float64], targets: NDArray[np.bool_], bins: int) -> float:
    index = np.minimum((scores * bins).astype(int), bins - 1)
    inside = [index == each for each in range(bins)]
    return float(sum(abs(targets[mask].sum() - scores[mask].sum()) for mask in inside) / len(scores))


@given(ANSWERS)
def test_figures_equal_their_formulas(answers: list[tuple[int, bool, str]]) -> None:
    images = answered(answers)
    targets, given_ = images.labels == "painting", images.probabilities
    assume(targets.any() and not targets.all())
    found = {name: value for name, (value,) in figures(images, 10, np.ones((1, len(images)))).items()}
    right = (given_ > 0.5) == targets
    assert found == pytest.approx(
        {
            "accuracy": right.mean(),
            "balanced_accuracy": (right[targets].mean() + right[~targets].mean()) / 2,
            "auroc": reference_auroc(given_, targets),
            "calibration_error": reference_calibration_error(given_, targets, 10),
            "loss": -np.where(targets, np.log(given_), np.log(1 - given_)).mean(),
            "recall_painting": right[targets].mean(),
            "recall_photo": right[~targets].mean(),
        }
    )


@given(ANSWERS, st.data())
def test_weights_count_an_image_so_many_times(answers: list[tuple[int, bool, str]], data: st.DataObject) -> None:
    images = answered(answers)
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(images), max_size=len(images)))
    repeated = images.at(np.repeat(np.arange(len(images)), counts))
    assume(
        set(zip(repeated.sources, repeated.labels, strict=True)) == set(zip(images.sources, images.labels, strict=True))
    )
    weights = np.array([np.ones(len(images)), counts])
    for statistic in (figures, figures_left_out):
        weighted, expected = statistic(images, 10, weights), statistic(repeated, 10, np.ones((1, len(repeated))))
        assert weighted.keys() == expected.keys()
        assert {name: value[1] for name, value in weighted.items()} == pytest.approx(
            {name: value for name, (value,) in expected.items()}
        )


def test_torchmetrics_agrees() -> None:
    random = np.random.default_rng(0)
    images = predictions(
        (random.integers(99, size=300) / 100 + 0.0013).tolist(), (random.uniform(size=300) < 0.4).tolist()
    )
    found = values(measure(images, 15, 100))
    answers = torch.from_numpy(images.probabilities), torch.from_numpy((images.labels == "painting").astype(int))
    assert found["auroc"] == pytest.approx(float(binary_auroc(*answers)), abs=1e-6)
    assert found["calibration_error"] == pytest.approx(float(binary_calibration_error(*answers, n_bins=15)), abs=1e-6)


def test_certain_and_wrong_has_a_finite_loss() -> None:
    found = values(measure(predictions([0.0, 1.0, 1.0], [True, False, True]), 2, 100))
    assert found["loss"] == pytest.approx(2 / 3 * -np.log(5e-7))
    assert found["accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("right", [100, 160, 199, 200])
def test_the_interval_of_a_recall_is_the_binomial_one(right: int) -> None:
    """To draw n images with replacement and count those that are right is to draw from a binomial distribution."""
    estimate = measure(predictions([0.9] * right + [0.2] * (200 - right), [True] * 200), 10, 4000)["recall_painting"]
    assert estimate.value == right / 200
    expected = binom.ppf([0.025, 0.975], 200, right / 200) / 200
    assert [estimate.low, estimate.high] == pytest.approx(expected, abs=1.01 / 200)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    held = dict.fromkeys(("accuracy", "auroc", "loss"), 0)
    truth: dict[str, float] = {}
    for size, repetitions in ((40_000, 1), (120, 150)):
        for _ in range(repetitions):
            paintings = random.permutation(size) < size // 2
            chance = 1 / (1 + np.exp(-(random.normal(size=size) * 2 + 3 * paintings - 1.5)))
            estimates = measure(predictions(chance.tolist(), paintings.tolist()), 10, 200 if repetitions > 1 else 1)
            truth = truth or values(estimates)
            for name in held:
                held[name] += repetitions > 1 and estimates[name].low <= truth[name] <= estimates[name].high
    assert all(0.9 * 150 <= times <= 0.99 * 150 for times in held.values()), held


def test_intervals_are_the_same_every_time_whatever_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    images = predictions([0.1, 0.4, 0.6, 0.9, 0.7], [True] * 5)
    first = measure(images, 10, 250)
    monkeypatch.setattr(scores, "BLOCK", 35)
    assert measure(images, 10, 250) == first


def test_no_draw_lacks_a_class_of_a_source() -> None:
    images = predictions([0.9, 0.4, 0.8], [True, False, False], ["a", "a", "b"])
    estimates = measure_left_out(images, 10, 200)
    assert (estimates["mean_recall_photo"].low, estimates["mean_recall_photo"].high) == (0.5, 0.5)
    assert not any(np.isnan([each.low, each.high]).any() for each in estimates.values())


def test_sources_count_the_same_however_many_images_they_have() -> None:
    images = predictions(
        [0.9, 0.9, 0.2, 0.9] + [0.1] * 8 + [0.7, 0.3],
        [True] * 4 + [False] * 10,
        ["a"] * 3 + ["b"] + ["c"] * 8 + ["d"] * 2,
    )
    found = values(measure_left_out(images, 10, 100))
    assert found["mean_recall_painting"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["mean_recall_photo"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["mean_balanced_accuracy"] == pytest.approx((5 / 6 + 3 / 4) / 2)
    pooled = values(measure(images, 10, 100))
    assert {name: found[name] for name in ("auroc", "calibration_error", "loss")} == {
        name: pooled[name] for name in ("auroc", "calibration_error", "loss")
    }


def test_what_needs_a_class_that_is_missing_is_left_out() -> None:
    images = predictions([0.9, 0.4], [True, True], ["a", "b"])
    assert measure_left_out(images, 10, 100).keys() == {"mean_recall_painting", "calibration_error", "loss"}
    by_source = measure_sources(images, 10, 100)
    assert list(by_source) == ["a", "b"]
    assert by_source["b"].keys() == {"accuracy", "balanced_accuracy", "calibration_error", "loss", "recall_painting"}
    assert values(by_source["b"])["balanced_accuracy"] == 0


def test_bins_hold_every_image_once() -> None:
    images = predictions([0.0, 0.24, 0.25, 0.5, 0.99, 1.0], [False, True, False, True, True, False])
    first, second, third, last = calibration_curve(images, 4)
    assert first == {"lower": 0, "upper": 0.25, "images": 2, "mean_probability": 0.12, "share_of_paintings": 0.5}
    assert [row["images"] for row in (second, third, last)] == [1, 1, 2]
    assert calibration_curve(images.at(images.probabilities < 0.3), 4)[2:] == [
        {"lower": 0.5, "upper": 0.75, "images": 0},
        {"lower": 0.75, "upper": 1, "images": 0},
    ]
