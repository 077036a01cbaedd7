from typing import Any

import pytest

from pipeline.params import Retrain
from pipeline.retraining.gate import Comparison

SETTINGS = Retrain(
    min_balanced_accuracy=0.8,
    max_source_loss=0.05,
    max_calibration_error=0.1,
    repro_timeout_h=1,
    push_timeout_h=1,
)


def judged(accuracy: float, calibration: float = 0.05, **sources: float) -> dict[str, Any]:
    def figures(value: float) -> dict[str, float]:
        return {"images": 10, "balanced_accuracy": value, "calibration_error": calibration}

    return {"all": figures(accuracy), "sources": {name: figures(value) for name, value in sources.items()}}


@pytest.mark.parametrize(
    ("new", "service", "complaints"),
    [
        (judged(0.8, 0.1, a=0.1), None, []),
        (judged(0.799, a=0.9), None, ["balanced accuracy is 0.799, less than 0.8"]),
        (judged(0.9, 0.11, a=0.9), None, ["calibration error is 0.110, more than 0.1"]),
        (judged(0.9, a=0.85, b=0.9), judged(0.9, a=0.9, b=0.8), []),
        (judged(0.95, a=0.84, b=1.0), judged(0.9, a=0.9, b=0.8), ["balanced accuracy of a is 0.840 instead of 0.900"]),
        (judged(0.7, a=0.7, b=0.7), judged(0.9, 0.2, a=0.9, b=0.9), ["is 0.700, less", "of a is", "of b is"]),
    ],
)
def test_every_source_counts_by_itself(
    new: dict[str, Any], service: dict[str, Any] | None, complaints: list[str]
) -> None:
    found = Comparison(new, service).complaints(SETTINGS)
    assert len(found) == len(complaints)
    assert all(part in said for part, said in zip(complaints, found, strict=True))


def test_figures_that_are_none_do_not_pass() -> None:
    assert Comparison(judged(float("nan")), None).complaints(SETTINGS)


def test_it_is_told_source_by_source() -> None:
    text = Comparison(judged(0.9, a=0.8), judged(0.7, a=0.6)).describe()
    assert text.splitlines() == [
        "all: balanced accuracy 0.900 (was 0.700), calibration error 0.050 (was 0.050), 10 frozen images",
        "a: balanced accuracy 0.800 (was 0.600), calibration error 0.050 (was 0.050), 10 frozen images",
    ]
