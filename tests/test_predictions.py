from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.console import UserError
from pipeline.predictions import (
    PAINTING,
    Numbers,
    Predictions,
    calibrate_across,
    read_compared,
    read_finetuned,
    unseen_temperature,
)
from pipeline.probe import TEMPERATURES
from pipeline.tables import read_table, write_table

FINETUNED, COMPARED = Path("finetune.csv"), Path("compare.csv")
METHODS = ("probe", "ours")
ACCEPTED = [
    {"path": f"{source}/{label}-{split}.jpg", "source": source, "label": label, "split": split}
    for source in ("a", "b")
    for label in ("painting", "photo")
    for split in ("train", "validation", "test")
]
Rows = list[dict[str, str]]
LEFT_OUT = st.lists(
    st.tuples(st.integers(0, 1000), st.sampled_from(["painting", "photo"]), st.sampled_from("abc")), max_size=40
)
"""Thousandths of a probability, label and source."""


@pytest.fixture
def tables(workspace: Path) -> None:
    """Predictions as they should be; each probability tells its row."""
    finetuned = [image | {"probability": f"0.{i:06}"} for i, image in enumerate(ACCEPTED) if image["split"] != "train"]
    write_table(FINETUNED, finetuned[0], reversed(finetuned))
    compared = [
        image | {"method": method, "left_out": source, "probability": f"0.{i}{METHODS.index(method)}"}
        for i, image in enumerate(ACCEPTED)
        for method in METHODS
        for source in ("", image["source"])
        if source or (method != "ours" and image["split"] == "test")
    ]
    write_table(COMPARED, compared[0], compared)


def edit(table: Path, change: Callable[[Rows], Rows]) -> None:
    rows = change(read_table(table))
    write_table(table, rows[0] if rows else ["path"], rows)


@pytest.mark.usefixtures("tables")
def test_predictions_are_in_the_order_of_the_images() -> None:
    splits = read_finetuned(FINETUNED, ACCEPTED)
    assert splits["validation"].paths.tolist() == [row["path"] for row in ACCEPTED if row["split"] == "validation"]
    assert splits["validation"].probabilities.tolist() == [0.000001, 0.000004, 0.000007, 0.00001]
    assert splits["test"].labels.tolist() == ["painting", "photo"] * 2
    random, left_out = read_compared(COMPARED, ACCEPTED, METHODS, "ours")
    assert list(random) == ["probe"]
    assert random["probe"].sources.tolist() == ["a", "a", "b", "b"]
    assert random["probe"].probabilities.tolist() == [0.20, 0.50, 0.80, 0.110]
    assert left_out["ours"].paths.tolist() == [row["path"] for row in ACCEPTED]
    assert left_out["ours"].probabilities.tolist()[:3] == [0.01, 0.11, 0.21]


@pytest.mark.usefixtures("tables")
def test_sources_that_could_not_be_left_out_are_not_missed() -> None:
    edit(COMPARED, lambda rows: [row for row in rows if row["left_out"] != "b"])
    assert read_compared(COMPARED, ACCEPTED, METHODS, "ours")[1]["probe"].sources.tolist() == ["a"] * 6
    edit(COMPARED, lambda rows: [row for row in rows if not row["left_out"]])
    random, left_out = read_compared(COMPARED, ACCEPTED, METHODS, "ours")
    assert (list(random), left_out) == (["probe"], {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], "does not judge every image: b/photo-test.jpg"),
        (lambda rows: [*rows, rows[0] | {"path": "c.jpg"}], "judges an image that it should not: c.jpg"),
        (lambda rows: [*rows, rows[0]], "judges an image twice"),
        (lambda rows: [rows[0] | {"probability": "nan"}, *rows[1:]], "gives b/photo-test.jpg a probability of nan"),
        (lambda rows: [rows[0] | {"probability": "1.5"}, *rows[1:]], "gives b/photo-test.jpg a probability of 1.5"),
        (lambda rows: [rows[0] | {"probability": ""}, *rows[1:]], "gives b/photo-test.jpg a probability of "),
        (lambda rows: [{"path": row["path"]} for row in rows], "does not hold path, split, probability of any image"),
        (lambda rows: [], "does not hold path, split, probability of any image"),
    ],
)
@pytest.mark.usefixtures("tables")
def test_what_is_wrong_with_a_table_is_one_sentence(change: Callable[[Rows], Rows], message: str) -> None:
    edit(FINETUNED, change)
    with pytest.raises(UserError) as error:
        read_finetuned(FINETUNED, ACCEPTED)
    assert str(error.value) == f"{FINETUNED} {message}; run `dvc repro finetune`"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: [row for row in rows if (row["method"], row["left_out"]) != ("probe", "")],
            "lacks predictions by probe on the test split",
        ),
        (
            lambda rows: [row for row in rows if (row["method"], row["left_out"]) != ("ours", "b")],
            "lacks predictions by ours trained without b",
        ),
        (
            lambda rows: [*rows, rows[0] | {"method": "guess"}],
            "has unexpected predictions by guess on the test split",
        ),
        (lambda rows: rows[:-1], "does not judge every image: b/photo-test.jpg"),
        (
            lambda rows: rows + [row | {"left_out": "c"} for row in rows if row["left_out"] == "a"],
            "judges an image twice",
        ),
    ],
)
@pytest.mark.usefixtures("tables")
def test_what_a_comparison_lacks_is_one_sentence(change: Callable[[Rows], Rows], message: str) -> None:
    edit(COMPARED, lambda rows: change(sorted(rows, key=lambda row: row["left_out"])))
    with pytest.raises(UserError) as error:
        read_compared(COMPARED, ACCEPTED, METHODS, "ours")
    assert str(error.value) == f"{COMPARED} {message}; run `dvc repro compare`"


@pytest.mark.usefixtures("tables")
def test_a_table_that_was_cut_off_in_a_line_is_one_sentence() -> None:
    FINETUNED.write_text(FINETUNED.read_text()[: -len(",0.000001\n")])
    with pytest.raises(UserError, match="is not a whole table; delete it"):
        read_finetuned(FINETUNED, ACCEPTED)


def predicted(images: list[tuple[int, str, str]]) -> Predictions:
    return Predictions(
        paths=np.arange(len(images)).astype(str),
        sources=np.array([source for _, _, source in images], str),
        labels=np.array([label for _, label, _ in images], str),
        probabilities=np.array([thousandths / 1000 for thousandths, _, _ in images]),
    )


def cross_entropy(predictions: Predictions, temperature: float) -> float:
    """Of the logits divided by ``temperature``: the mean over classes of the mean over sources of the mean."""
    losses: dict[str, list[float]] = {}
    for label, source in sorted({*zip(predictions.labels, predictions.sources, strict=True)}):
        group = predictions.at((predictions.labels == label) & (predictions.sources == source))
        given_ = group.probabilities.clip(5e-7, 1 - 5e-7)
        logits: Numbers = np.log(given_ / (1 - given_)) * (1 if label == PAINTING else -1)
        losses.setdefault(label, []).append(float(np.logaddexp(0, -logits / temperature).mean()))
    return float(np.mean([np.mean(of_class) for of_class in losses.values()]))


@settings(max_examples=40)
@given(LEFT_OUT)
@example([(1000, "photo", "a"), (0, "painting", "a"), (600, "painting", "b")])  # certain, and wrong
@example([(900, "painting", "a"), *[(300, "painting", "b")] * 30, (200, "photo", "c")])
def test_unseen_temperature_is_the_best_of_a_fine_grid(images: list[tuple[int, str, str]]) -> None:
    predictions = predicted(images)
    found = unseen_temperature(predictions)
    if len({*predictions.labels}) < 2:
        assert found == 1
        return
    assert TEMPERATURES[0] <= found <= TEMPERATURES[1]
    grid = np.geomspace(*TEMPERATURES, 300)
    assert cross_entropy(predictions, found) <= min(cross_entropy(predictions, each) for each in grid) + 1e-5


def test_no_images_have_the_temperature_1() -> None:
    assert unseen_temperature(predicted([])) == 1


@pytest.mark.parametrize("probability", [700, 1000])
def test_source_of_many_images_does_not_decide_the_temperature_alone(probability: int) -> None:
    few = [(probability, "painting", "a"), (400, "photo", "a"), (200, "painting", "b"), (100, "photo", "b")]
    many = [image for image in few for _ in range(50 if image[2] == "b" else 1)]
    assert unseen_temperature(predicted(many)) == pytest.approx(unseen_temperature(predicted(few)), rel=1e-3)


@settings(max_examples=40)
@given(LEFT_OUT)
def test_calibration_keeps_what_is_judged_and_the_order_within_a_source(images: list[tuple[int, str, str]]) -> None:
    before = predicted(images)
    after = calibrate_across(before)
    assert (after.paths.tolist(), after.sources.tolist(), after.labels.tolist()) == (
        before.paths.tolist(),
        before.sources.tolist(),
        before.labels.tolist(),
    )
    assert after.judged.tolist() == before.judged.tolist()
    for source, calibrated in after.by_source().items():
        given_ = before.probabilities[before.sources == source]
        ranks = [np.unique(each, return_inverse=True)[1].tolist() for each in (given_, calibrated.probabilities)]
        assert ranks[0] == ranks[1], "which is what the AUROC depends on"


def test_each_source_has_the_temperature_of_the_others() -> None:
    random = np.random.default_rng(0)
    images = [
        (round(1000 / (1 + np.exp(-sureness * random.normal(1 if label == PAINTING else -1)))), label, source)
        for source, sureness in (("a", 4.0), ("b", 6.0), ("c", 8.0))
        for label in ("painting", "photo") * 40
    ]
    before = predicted(images)
    after = calibrate_across(before)
    found = {}
    for source in "abc":
        of_source = before.sources == source
        given_, calibrated = (
            np.log(each[of_source] / (1 - each[of_source]))
            for each in (before.probabilities.clip(5e-7, 1 - 5e-7), after.probabilities)
        )
        expected = unseen_temperature(before.at(~of_source))
        np.testing.assert_allclose(calibrated * expected, given_, atol=1e-6)
        found[source] = expected
    assert found["a"] > found["b"] > found["c"], "the surer the others, the more it is divided by"
    assert cross_entropy(after, 1) < cross_entropy(before, 1)


def test_calibration_uses_nothing_of_the_source_itself() -> None:
    random = np.random.default_rng(1)
    images = [(int(random.integers(1001)), label, source) for source in "abc" for label in ("painting", "photo") * 10]
    changed = [(1000 - n if source == "b" and label == "photo" else n, label, source) for n, label, source in images]
    one, other = (calibrate_across(predicted(each)) for each in (images, changed))
    same = one.probabilities == other.probabilities
    untouched = np.array([image == after for image, after in zip(images, changed, strict=True)])
    assert same[untouched & (one.sources == "b")].all()
    assert not same[one.sources != "b"].any()


def test_lone_source_is_left_as_it_is() -> None:
    before = predicted([(900, "painting", "a"), (950, "photo", "a"), (0, "photo", "a")])
    assert calibrate_across(before).probabilities.tolist() == pytest.approx([0.9, 0.95, 5e-7])
