import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import vgg
from pipeline.caching import open_features
from pipeline.console import UserError
from pipeline.finetuning import Rows
from pipeline.predictions import read_compared
from pipeline.stages import compare
from pipeline.stages.compare import FOLDER, PREDICTIONS, WEIGHTS, WORK, Fold, find_folds, main
from pipeline.tables import read_table
from tests.conftest import ROOT
from tests.disks import limited_files
from tests.networks import SMALL, set_params, write_features, write_images, write_random_weights

ACCEPTED = Path("accepted.csv")
SPLITS = {"train": 3, "validation": 1, "test": 1}
METHODS = ("linear-probe", "head-only", "original", "ours")


@pytest.fixture
def images(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Two sources with both classes, and all that the stage reads."""
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    monkeypatch.setattr("pipeline.classification.loader_workers", lambda: 0)
    set_params(
        {
            "finetune.batch_size": 4,
            "finetune.max_epochs": 1,
            "compare.head_epochs": 1,
            "compare.original_epochs": 1,
        }
    )
    write_random_weights(WEIGHTS)
    images = write_images(ACCEPTED, SPLITS, sources=("louvre", "prado"))
    write_features(FOLDER, images)
    return images


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is trained from here on: the method, or both methods, and the source that is left out."""
    found: list[str] = []

    def note(name: str) -> None:
        training: Callable[..., Any] = getattr(compare, name)

        def noted(*arguments: Any) -> Any:
            fold = next(each for each in arguments if isinstance(each, Fold))
            found.append(f"{name} {fold.left_out}".strip())
            return training(*arguments)

        monkeypatch.setattr(compare, name, noted)

    for name in ("train_probe", "train_originals", "train_ours"):
        note(name)
    return found


def test_every_method_judges_the_test_split_and_each_source_left_out(images: list[dict[str, str]]) -> None:
    main([])
    test, unseen = read_compared(PREDICTIONS, images, METHODS, "ours")  # which checks that every image is judged once
    assert {name: len(predictions.paths) for name, predictions in test.items()} == dict.fromkeys(METHODS[:3], 4)
    assert {name: len(predictions.paths) for name, predictions in unseen.items()} == dict.fromkeys(METHODS, 20)
    for name in ("linear-probe", "ours"):
        assert (unseen[name].judged == unseen[name].labels).mean() > 0.8
    assert not WORK.exists()


def test_what_is_left_out_is_not_trained_on(images: list[dict[str, str]]) -> None:
    rows = Rows.of(open_features(FOLDER))
    folds = find_folds(rows)
    assert [fold.left_out for fold in folds] == ["", "louvre", "prado"]
    for fold in folds:
        train, validation, judged = fold.train(rows), fold.validation(rows), fold.judged(rows)
        used = set(rows.paths[train]) | set(rows.paths[validation])
        assert not used & set(rows.paths[judged])
        assert rows.imitations[train].any()
        assert rows.plain[validation].all()
        assert rows.plain[judged].all()
        lent = rows.lenders == fold.left_out if fold.left_out else rows.lenders != ""
        assert lent.any()
        assert (rows.lenders[train] == fold.left_out).any() == (not fold.left_out)
        assert set(rows.kinds[train]) >= {"image", "filtered"}
    assert set(rows.splits[folds[1].judged(rows)]) == {"train", "validation", "test"}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["train", "test"]), st.sampled_from(["", *"abc"]))))
def test_source_left_out_lends_no_style(entries: list[tuple[str, str, str]]) -> None:
    sources, splits, lenders = (np.array([entry[part] for entry in entries], str) for part in range(3))
    rows = Rows(
        paths=np.arange(len(entries)).astype(str),
        sources=sources,
        splits=splits,
        targets=np.ones(len(entries), np.float32),
        plain=lenders == "",
        kinds=np.where(lenders == "", "image", "styled"),
        lenders=lenders,
    )
    assert Fold("").train(rows).tolist() == [split == "train" for _, split, _ in entries]
    for left_out in "abc":
        expected = [split == "train" and left_out not in (source, lender) for source, split, lender in entries]
        assert Fold(left_out).train(rows).tolist() == expected


def test_source_that_a_class_needs_is_not_left_out(
    images: list[dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    kept = [image for image in images if (image["source"], image["label"]) != ("prado", "photo")]
    write_features(FOLDER, kept)
    main([])
    assert {row["left_out"] for row in read_table(PREDICTIONS)} == {"", "prado"}
    assert "louvre is not left out: without it a class has no images" in caplog.text


def test_one_source_gives_the_random_split_alone(images: list[dict[str, str]]) -> None:
    write_features(FOLDER, [image for image in images if image["source"] == "louvre"])
    main([])
    answers = read_table(PREDICTIONS)
    assert {row["left_out"] for row in answers} == {""}
    assert {row["method"] for row in answers} == set(METHODS[:3])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_empty_class_is_one_sentence(images: list[dict[str, str]], trained: list[str], split: str) -> None:
    write_features(FOLDER, [image for image in images if (image["split"], image["label"]) != (split, "painting")])
    with pytest.raises(UserError, match=rf"only images of class photo in the {split} split; raise crawl\.per_class"):
        main([])
    assert not trained


def test_sigkill_costs_the_training_that_was_under_way(images: list[dict[str, str]], trained: list[str]) -> None:
    main([])
    undisturbed, order = PREDICTIONS.read_text(), list(trained)
    PREDICTIONS.unlink()

    # Not by a fork: what autograd has started in this process by then, a child of it could not use.
    command = [sys.executable, "-m", "tests.stages.small", "compare", "--die-in-task", "without louvre"]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not PREDICTIONS.exists()
    trained.clear()
    main([])
    assert trained == order[order.index("train_ours louvre") :]
    assert PREDICTIONS.read_text() == undisturbed


def stop_before(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(compare, name, stopped)
        with pytest.raises(KeyboardInterrupt):
            main([])


def test_other_parameters_train_anew_and_old_trainings_go(
    images: list[dict[str, str]], trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_before(monkeypatch, "train_ours")
    assert trained == ["train_probe", "train_originals", "train_probe louvre", "train_originals louvre"]
    (before,) = {path.parent for path in WORK.glob("*/linear-probe-*.csv")}
    set_params({"compare.head_epochs": 2})
    trained.clear()
    monkeypatch.setattr(compare, "cache_features", lambda *_, **__: None)  # these features are as they should be
    stop_before(monkeypatch, "train_ours")
    assert len(trained) == 4
    assert not before.exists()
    assert len(list(WORK.iterdir())) == 2


def test_full_disk_leaves_no_part_that_is_half_written(images: list[dict[str, str]], trained: list[str]) -> None:
    with limited_files(200), pytest.raises(OSError, match="File too large"):
        main([])
    assert not list(WORK.rglob("*.csv"))
    assert not PREDICTIONS.exists()


def test_damaged_features_are_refused(images: list[dict[str, str]], trained: list[str]) -> None:
    features = np.load(FOLDER / "features.npy")
    features[2] += 1
    np.save(FOLDER / "features.npy", features)
    with pytest.raises(UserError, match=r"row 2 of data/features/features\.npy is not what was written"):
        main([])
    assert not trained
