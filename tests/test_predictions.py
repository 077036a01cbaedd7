from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.console import UserError
from pipeline.predictions import read_compared, read_finetuned
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
    with pytest.raises(UserError, match="a probability of None; run"):
        read_finetuned(FINETUNED, ACCEPTED)
