import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.console import UserError
from pipeline.images import load_rgb
from pipeline.params import load_params
from pipeline.predictions import calibrate_across, read_compared
from pipeline.scores import measure_left_out
from pipeline.stages.evaluate import (
    ACCEPTED,
    CALIBRATION,
    COMPARED,
    CONFUSION,
    FINETUNED,
    METHODS,
    METRICS,
    MODEL_CARD,
    PER_SOURCE,
    ROC,
    TITLES,
    WORST,
    WORST_SHEET,
    main,
)
from pipeline.tables import read_table, write_table
from tests.networks import set_params
from tests.pictures import scene

SPLITS = ("train", "validation", "test", "test")
BOTH = ("painting", "photo")


def images(source: str, labels: Sequence[str]) -> Iterator[dict[str, str]]:
    for label in labels:
        for index, split in enumerate(SPLITS):
            path = Path(f"data/images/{source}/{label}-{index}.jpg")
            yield {"path": str(path), "source": source, "label": label, "split": split, "is_gray": "False"}


def write_inputs(sources: dict[str, Sequence[str]], left_out: Sequence[str]) -> None:
    """Images, and predictions that are right but for the last image of each source and class."""
    accepted = [image for source, labels in sources.items() for image in images(source, labels)]
    for image in accepted:
        Path(image["path"]).parent.mkdir(parents=True, exist_ok=True)
        scene().save(image["path"])
    write_table(ACCEPTED, accepted[0], accepted)

    def judged(image: dict[str, str]) -> dict[str, str]:
        index = int(image["path"][-5])
        belief = 0.9 + index / 100 if index < 3 else {"painting": 0.2, "photo": 0.22}[image["label"]]
        return image | {"probability": f"{belief if image['label'] == 'painting' else 1 - belief:.6f}"}

    finetuned = [judged(image) for image in accepted if image["split"] != "train"]
    write_table(FINETUNED, finetuned[0], finetuned)
    compared = [
        judged(image) | {"method": method, "left_out": source}
        for method in TITLES
        for source in ("", *left_out)
        for image in accepted
        if (image["source"] == source or (not source and image["split"] == "test" and method != "ours"))
    ]
    write_table(COMPARED, compared[0], compared)


def metrics() -> dict[str, Any]:
    contents: dict[str, Any] = json.loads(METRICS.read_text())
    return contents


@pytest.fixture
def three_sources(workspace: Path) -> None:
    """One of both classes, and one of either; each was left out."""
    set_params({"evaluate.worst_images": 2, "evaluate.calibration_bins": 4, "evaluate.bootstrap_samples": 100})
    write_inputs({"mixed": BOTH, "museum": BOTH[:1], "nature": BOTH[1:]}, ["mixed", "museum", "nature"])


@pytest.mark.usefixtures("three_sources")
def test_figures_of_the_random_split_and_of_sources_left_out() -> None:
    main([])
    random, left_out = metrics()["random"], metrics()["left_out"]
    assert (random["test"]["images"], random["validation"]["images"]) == (8, 4)
    assert (random["test"]["accuracy"], random["validation"]["accuracy"]) == (0.5, 1)
    assert random["test"]["intervals"].keys() == random["test"].keys() - {"images", "intervals"}
    assert random["validation"].keys() == random["test"].keys() - {"intervals"}
    assert (left_out["images"], left_out["sources"]) == (16, 3)
    assert left_out["mean_balanced_accuracy"] == left_out["worst_source"] == 0.75
    assert left_out["worst_source_name"] == "mixed"
    for figures in (random["test"], left_out):
        for name, interval in figures["intervals"].items():
            assert interval["low"] <= interval["high"], name
            assert name == "calibration_error" or interval["low"] <= figures[name] <= interval["high"]


@pytest.mark.usefixtures("three_sources")
def test_tables_and_plots_agree_with_the_figures() -> None:
    main([])
    test = metrics()["random"]["test"]
    confusion = read_table(CONFUSION)
    assert sum(row["actual"] == row["predicted"] for row in confusion) == test["accuracy"] * len(confusion) == 4
    roc = [(float(row["false_positive_rate"]), float(row["true_positive_rate"])) for row in read_table(ROC)]
    area = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(roc))
    assert area == pytest.approx(test["auroc"], abs=1e-6)

    bins = read_table(CALIBRATION)
    assert [row["protocol"] for row in bins] == ["random split"] * 4 + ["left out"] * 4
    for rows, figures in ((bins[:4], test), (bins[4:], metrics()["left_out"])):
        filled = [row for row in rows if row["mean_probability"]]
        assert sum(int(row["images"]) for row in filled) == figures["images"]
        gaps = (
            abs(float(row["mean_probability"]) - float(row["share_of_paintings"])) * int(row["images"])
            for row in filled
        )
        assert sum(gaps) / figures["images"] == pytest.approx(figures["calibration_error"], abs=1e-5)


@pytest.mark.usefixtures("three_sources")
def test_sources_are_kept_apart() -> None:
    main([])
    rows = read_table(PER_SOURCE)
    groups = [("mixed", "painting"), ("mixed", "photo"), ("mixed", "both"), ("museum", "painting"), ("nature", "photo")]
    assert [(row["source"], row["label"]) for row in rows] == groups * 2
    assert [row["images"] for row in rows] == ["2", "2", "4", "2", "2", "4", "4", "8", "4", "4"]
    assert {(row["protocol"], row["recall"]) for row in rows} == {("random split", "0.5"), ("left out", "0.75")}
    for row in rows:
        assert float(row["low"]) <= float(row["recall"]) <= float(row["high"])
        assert all(bool(row[name]) == (row["label"] == "both") for name in ("auroc", "calibration_error", "loss"))


@pytest.mark.usefixtures("three_sources")
def test_methods_stand_beside_each_other() -> None:
    probe = [row | {"probability": "0.700000"} if row["method"] == "original" else row for row in read_table(COMPARED)]
    write_table(COMPARED, probe[0], probe)
    main([])
    rows = {row["method"]: row for row in read_table(METHODS)}
    assert {name: row["title"] for name, row in rows.items()} == TITLES
    assert [rows["ours"][key] for key in ("random_accuracy", "left_out_mean_balanced_accuracy")] == ["0.5", "0.75"]
    original = rows["original"]
    assert [original[f"left_out_{key}"] for key in ("worst_source", "worst_source_name", "auroc")] == [
        "0.0",
        "nature",
        "0.5",
    ]
    for row in rows.values():
        for figure in ("random_accuracy", "left_out_mean_balanced_accuracy"):
            assert float(row[f"{figure}_low"]) <= float(row[figure]) <= float(row[f"{figure}_high"])
    for name, row in metrics()["methods"].items():
        assert {key: str(value) for key, value in row.items()} | {"method": name, "title": TITLES[name]} == rows[name]


@pytest.mark.usefixtures("three_sources")
def test_our_model_has_on_each_source_left_out_the_temperature_of_the_others() -> None:
    main([])
    _, left_out = read_compared(COMPARED, read_table(ACCEPTED), list(TITLES), "ours")
    calibrated = calibrate_across(left_out["ours"])
    assert np.abs(calibrated.probabilities - left_out["ours"].probabilities).max() > 0.05
    found, settings = metrics(), load_params().evaluate
    as_they_are, expected = (
        measure_left_out(predictions, settings.calibration_bins, settings.bootstrap_samples)
        for predictions in (left_out["ours"], calibrated)
    )
    for name in ("auroc", "calibration_error", "loss", "mean_balanced_accuracy"):
        assert found["left_out"][name] == pytest.approx(expected[name].value, abs=1e-6)
    original, ours = (found["methods"][method]["left_out_calibration_error"] for method in ("original", "ours"))
    assert original == pytest.approx(as_they_are["calibration_error"].value, abs=1e-6), "the others are as trained"
    assert ours != original
    by_path = dict(zip(calibrated.paths.tolist(), calibrated.probabilities.tolist(), strict=True))
    assert [float(row["probability"]) for row in read_table(WORST)] == pytest.approx(
        [by_path[row["path"]] for row in read_table(WORST)], abs=1e-6
    )


@pytest.mark.usefixtures("three_sources")
def test_the_sheet_has_the_worst_images_of_each_source() -> None:
    main([])
    rows = read_table(WORST)
    assert [row["source"] for row in rows] == ["mixed", "mixed", "museum", "museum", "nature", "nature"]
    assert [row["path"] for row in rows if row["source"] != "nature"] == [
        "data/images/mixed/painting-3.jpg",
        "data/images/mixed/photo-3.jpg",
        "data/images/museum/painting-3.jpg",
        "data/images/museum/painting-0.jpg",
    ]
    sheet = load_rgb(WORST_SHEET)
    assert sheet.width > 6 * 192
    assert 3 * 192 < sheet.height < 4 * 192


def test_the_card_with_sources_left_out(three_sources: None) -> None:
    main([])
    card = MODEL_CARD.read_text()
    accuracy = metrics()["random"]["test"]["intervals"]["accuracy"]
    assert f"| accuracy | 0.500 ({accuracy['low']:.3f} to {accuracy['high']:.3f}) | 1.000 |" in card
    for expected in (
        "4 images to train on and 4 to validate on, from: mixed, museum, nature (",
        "For each of 3 sources in turn",
        "from 100 draws",
        "| worst source (mixed) | 0.750 (",
        "| left out | nature | photo | 4 | 0.750 (",
        "| Linear probe | 0.500 (",
        "over 4 bins",
        "CC BY 4.0",
    ):
        assert expected in card
    assert "None" not in card
    assert "never to be" not in card


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [({"sample": BOTH}, "this run has one."), ({"museum": BOTH[:1], "nature": BOTH[1:]}, "the others alone would not")],
)
def test_without_sources_left_out_their_figures_are_absent(
    workspace: Path, sources: dict[str, Sequence[str]], sentence: str
) -> None:
    write_inputs(sources, [])
    main([])
    assert metrics()["left_out"] is None
    assert metrics()["methods"]["ours"]["left_out_mean_balanced_accuracy"] is None
    assert {row["protocol"] for row in (*read_table(PER_SOURCE), *read_table(CALIBRATION))} == {"random split"}
    assert read_table(WORST)[0]["source"] == min(sources)
    card = MODEL_CARD.read_text()
    assert sentence in card
    assert "None" not in card
    assert "worst source" not in card
    assert ("never to be" in card) == ("sample" in sources)


def test_sources_left_out_of_one_class_have_no_figures_that_need_both(workspace: Path) -> None:
    write_inputs({"mixed": BOTH, "nature": BOTH[1:]}, ["nature"])
    main([])
    left_out = metrics()["left_out"]
    assert [name for name, value in left_out.items() if value is None] == [
        "mean_balanced_accuracy",
        "mean_recall_painting",
        "auroc",
    ]
    assert left_out["mean_recall_photo"] == left_out["worst_source"] == 0.75
    assert "| mean balanced accuracy | \N{EN DASH} |" in MODEL_CARD.read_text()


@pytest.mark.usefixtures("three_sources")
def test_a_second_run_gives_the_same_bytes() -> None:
    main([])
    first = {path: path.read_bytes() for path in (METRICS, PER_SOURCE, METHODS, WORST_SHEET, MODEL_CARD)}
    main([])
    assert {path: path.read_bytes() for path in first} == first


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.usefixtures("three_sources")
def test_a_split_without_a_class_is_one_sentence(split: str) -> None:
    rows = [row for row in read_table(ACCEPTED) if (row["split"], row["label"]) != (split, "photo")]
    write_table(ACCEPTED, rows[0], rows)
    with pytest.raises(UserError, match=rf"accepted\.csv has no photo in its {split} split; raise crawl\.per_class"):
        main([])


@pytest.mark.usefixtures("three_sources")
def test_predictions_of_other_images_are_one_sentence() -> None:
    rows = read_table(ACCEPTED)
    write_table(ACCEPTED, rows[0], rows[:-1])
    with pytest.raises(UserError, match=r"finetune\.csv judges an image that it should not: .*; run `dvc repro finet"):
        main([])
    FINETUNED.unlink()
    with pytest.raises(UserError, match=r"^data/predictions/finetune\.csv is missing; `dvc repro` makes it$"):
        main([])


@pytest.mark.usefixtures("three_sources")
def test_an_image_that_vanished_is_one_sentence() -> None:
    gone = Path("data/images/museum/painting-3.jpg")
    gone.unlink()
    with pytest.raises(UserError, match=f"{gone} cannot be read"):
        main([])
    assert not METRICS.exists()
