import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline import vgg
from pipeline.console import UserError
from pipeline.images import load_rgb
from pipeline.model_card import render_model_card
from pipeline.params import load_params
from pipeline.stages.evaluate import (
    ACCEPTED,
    CALIBRATION,
    CONFUSION,
    METRICS,
    MODEL,
    MODEL_CARD,
    PER_SOURCE,
    PREDICTIONS,
    ROC,
    WEIGHTS,
    WORST,
    Prediction,
    by_source,
    main,
    measure,
)
from pipeline.tables import read_table
from pipeline.vgg import VGG16, load_network, save_tensors
from tests.networks import SMALL, set_params, write_images, write_random_weights


def predictions(scores: list[float], paintings: list[bool], source: str = "museum") -> list[Prediction]:
    labels = ["painting" if painting else "photo" for painting in paintings]
    pairs = enumerate(zip(scores, labels, strict=True))
    return [Prediction(f"{i}.jpg", source, label, "test", score) for i, (score, label) in pairs]


@pytest.fixture
def network(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> VGG16:
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    set_params({"evaluate.worst_images": 3, "evaluate.calibration_bins": 4})
    write_images(ACCEPTED, {"train": 1, "validation": 2, "test": 4})
    network = write_random_weights(WEIGHTS)
    save_tensors(MODEL, network.trainable(), {"crop_px": "32"})
    return load_network(WEIGHTS, MODEL)


def test_tables_plots_and_card_agree(network: VGG16) -> None:
    main([])
    rows = read_table(PREDICTIONS)
    expected = [image for image in read_table(ACCEPTED) if image["split"] != "train"]
    assert [row["path"] for row in rows] == [image["path"] for image in expected]
    for row in rows:
        pixels = np.asarray(load_rgb(Path(row["path"])).resize((32, 32), Image.Resampling.BILINEAR)) / 255
        with torch.no_grad():
            logit = network(torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None])
        # bfloat16 on machines that have it
        assert float(row["probability"]) == pytest.approx(float(logit.sigmoid()), abs=0.05)

    test = [row for row in rows if row["split"] == "test"]
    right = [(float(row["probability"]) >= 0.5) == (row["label"] == "painting") for row in test]
    metrics = json.loads(METRICS.read_text())
    assert metrics["test"]["images"] == 8
    assert metrics["validation"]["images"] == 4
    assert metrics["test"]["accuracy"] == pytest.approx(sum(right) / 8)
    confusion = read_table(CONFUSION)
    assert [row["actual"] == row["predicted"] for row in confusion] == right
    assert sum(int(row["images"]) * float(row["accuracy"]) for row in read_table(PER_SOURCE)) == sum(right)
    assert sum(int(row["images"]) for row in read_table(CALIBRATION)) == 8
    assert len(read_table(CALIBRATION)) == 4
    roc = [(float(row["false_positive_rate"]), float(row["true_positive_rate"])) for row in read_table(ROC)]
    area = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(roc))
    assert area == pytest.approx(metrics["test"]["auroc"])
    assert load_rgb(WORST).width > 6 * 192
    card = MODEL_CARD.read_text()
    assert f"| accuracy | {metrics['test']['accuracy']:.4f} | {metrics['validation']['accuracy']:.4f} |" in card
    assert "2 images to train on and 4 to validate on" in card
    assert "never to be" in card


def reference_auroc(scores: NDArray[np.float64], targets: NDArray[np.bool_]) -> float:
    """The chance that a painting scores higher than a photograph, ties counting half."""
    difference = scores[targets][:, None] - scores[~targets][None]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def reference_calibration_error(scores: NDArray[np.float64], targets: NDArray[np.bool_], bins: int) -> float:
    index = np.minimum((scores * bins).astype(int), bins - 1)
    inside = [index == each for each in range(bins)]
    return float(sum(abs(targets[mask].sum() - scores[mask].sum()) for mask in inside) / len(scores))


@given(answers=st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=2, max_size=60))
def test_metrics_equal_their_formulas(answers: list[tuple[int, bool]]) -> None:
    # 1009 is prime, so that no score lies on the border of a bin or on 0.5, where roundings differ
    scores = np.array([(score + 0.25) / 1009 for score, _ in answers])
    targets = np.array([painting for _, painting in answers])
    assume(targets.any() and not targets.all())
    found = measure(predictions(scores.tolist(), targets.tolist()), bins=10)

    right = (scores > 0.5) == targets
    assert found["images"] == len(answers)
    assert found["accuracy"] == pytest.approx(right.mean())
    assert found["recall_painting"] == pytest.approx(right[targets].mean())
    assert found["recall_photo"] == pytest.approx(right[~targets].mean())
    assert found["balanced_accuracy"] == pytest.approx((right[targets].mean() + right[~targets].mean()) / 2)
    assert found["loss"] == pytest.approx(-np.where(targets, np.log(scores), np.log(1 - scores)).mean())
    assert found["auroc"] == pytest.approx(reference_auroc(scores, targets), abs=1e-6)
    assert found["calibration_error"] == pytest.approx(reference_calibration_error(scores, targets, 10), abs=1e-6)


def test_certain_and_wrong_has_a_finite_loss() -> None:
    found = measure(predictions([0.0, 1.0, 1.0], [True, False, True]), bins=2)
    assert np.isfinite(found["loss"])
    assert found["accuracy"] == pytest.approx(1 / 3)


def test_split_with_one_class_is_one_sentence() -> None:
    with pytest.raises(UserError, match="without paintings or without photographs"):
        measure(predictions([0.2, 0.8], [True, True]), bins=2)


def test_sources_are_kept_apart() -> None:
    rows = by_source(predictions([0.9, 0.2, 0.4], [True, True, False], "a") + predictions([0.75], [False], "b"))
    assert rows == [
        {"source": "a", "label": "painting", "images": 2, "accuracy": 0.5, "mean_probability": 0.55},
        {"source": "a", "label": "photo", "images": 1, "accuracy": 1.0, "mean_probability": 0.4},
        {"source": "b", "label": "photo", "images": 1, "accuracy": 0.0, "mean_probability": 0.75},
    ]


def test_card_warns_of_sample_figures_alone(workspace: Path) -> None:
    scores = measure(predictions([0.2, 0.8], [False, True]), bins=2)
    metrics = {"test": scores, "validation": scores}
    for source, warned in (("sample", True), ("museum", False)):
        accepted = [{"source": source, "split": split} for split in ("train", "validation", "test")]
        rows = by_source(predictions([0.2, 0.8], [False, True], source))
        card = render_model_card(load_params(), metrics, rows, accepted)
        assert ("never to be" in card) == warned
        assert "CC BY 4.0" in card
        assert f"| {source} | photo | 1 | 1.0000 | 0.2000 |" in card


@pytest.mark.usefixtures("workspace")
def test_card_names_and_warns_of_a_source_without_test_images() -> None:
    scores = measure(predictions([0.2, 0.8], [False, True]), bins=2)
    accepted = [{"source": source, "split": "train"} for source in ("sample", "museum")]
    rows = by_source(predictions([0.2, 0.8], [False, True], "museum"))
    card = render_model_card(load_params(), {"test": scores, "validation": scores}, rows, accepted)
    assert "from: museum, sample (" in card
    assert "never to be" in card


def test_image_that_vanished_is_one_sentence(network: VGG16) -> None:
    gone = Path(read_table(ACCEPTED)[-1]["path"])
    gone.unlink()
    with pytest.raises(UserError, match=f"{gone} cannot be read"):
        main([])
    assert not METRICS.exists()
