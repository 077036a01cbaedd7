import tracemalloc
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import vgg
from pipeline.caching import open_features
from pipeline.console import UserError
from pipeline.finetuning import (
    FeatureRows,
    Finetuner,
    RandomRows,
    Rows,
    describe_predictions,
    load_rows,
)
from pipeline.params import Finetune
from pipeline.vgg import VGG16
from tests.networks import SMALL, write_features, write_images


@pytest.fixture(autouse=True)
def _small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)


PARAMS = Finetune(
    probe_l2=1.0,
    imitation_share=0.5,
    learning_rate=1e-3,
    weight_decay=0.1,
    dropout=0.0,
    batch_size=2,
    max_epochs=1,
    patience_epochs=1,
    seed=0,
)


IMAGES = ("painting", "photo")


def make_rows(entries: list[tuple[str, str]]) -> Rows:
    """Rows of these sources, each with what it is: a painting, a photo, or a kind of imitation."""
    kinds = np.array([kind for _, kind in entries])
    return Rows(
        paths=np.array([f"{number}.jpg" for number in range(len(entries))]),
        sources=np.array([source for source, _ in entries]),
        splits=np.full(len(entries), "train"),
        targets=(kinds != "photo").astype(np.float32),
        plain=np.isin(kinds, IMAGES),
        kinds=np.where(np.isin(kinds, IMAGES), "image", kinds),
        lenders=np.full(len(entries), ""),
    )


@given(data=st.data(), imitation_share=st.floats(0, 0.9))
def test_shares_favour_no_class_and_keep_large_sources_small(data: st.DataObject, imitation_share: float) -> None:
    entry = st.tuples(st.sampled_from("abc"), st.sampled_from([*IMAGES, "filtered", "styled"]))
    rows = make_rows(data.draw(st.lists(entry, min_size=2, max_size=40)))
    count = len(rows.targets)
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    assume(set(rows.targets[chosen & ~rows.imitations]) == {0.0, 1.0})
    shares = rows.shares(chosen, imitation_share)
    assert shares.sum() == pytest.approx(1)
    assert shares[rows.targets == 1].sum() == pytest.approx(0.5)
    assert not shares[~chosen].any()
    made = set(rows.kinds[chosen & rows.imitations])
    for kind in made:
        assert shares[rows.kinds == kind].sum() == pytest.approx(imitation_share / 2 / len(made))
    for target, kind in ((0.0, "image"), (1.0, "image"), (1.0, "filtered"), (1.0, "styled")):
        group = chosen & (rows.targets == target) & (rows.kinds == kind)
        sources, counts = np.unique(rows.sources[group], return_counts=True)
        totals = [shares[group & (rows.sources == source)].sum() for source in sources]
        assert totals == pytest.approx(np.sqrt(counts) / np.sqrt(counts).sum() * sum(totals))
        assert all(np.ptp(shares[group & (rows.sources == source)]) == 0 for source in sources)


def test_rows_are_those_of_the_index(workspace: Path) -> None:
    write_features(Path("cache"), write_images(Path("accepted.csv"), {"train": 2, "test": 1}))
    rows = Rows.of(open_features(Path("cache")))
    assert rows.targets.tolist() == [1, 1, 0, 0, 1] * 2 + [1, 0]
    assert rows.plain.tolist() == [True, False, True, False, False] * 2 + [True, True]
    assert rows.kinds.tolist() == [*["image"] * 4, "filtered", *["image"] * 4, "styled", *["image"] * 2]
    assert rows.lenders.tolist() == [*[""] * 9, "sample", *[""] * 2]
    assert rows.imitations.tolist() == [False, False, False, False, True] * 2 + [False, False]
    assert rows.splits.tolist() == ["train"] * 10 + ["test"] * 2
    assert set(rows.sources) == {"sample"}
    assert rows.paths[10] == "data/images/sample/painting/test-0.png"


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([("a", "painting"), ("a", "painting")], "only images of class painting"),
        ([("a", "photo"), ("a", "filtered"), ("a", "styled")], "only images of class photo"),  # no paintings
        ([("a", "styled")], "no images"),
    ],
)
def test_missing_class_is_named(entries: list[tuple[str, str]], found: str) -> None:
    rows = make_rows(entries)
    with pytest.raises(UserError, match=rf"^there are {found} to train on; raise crawl\.per_class"):
        rows.require_both_classes(np.ones(len(entries), bool), "to train on")


def test_predictions_say_of_which_image_they_are() -> None:
    rows = make_rows([("a", "painting"), ("b", "photo"), ("c", "painting")])
    described = list(describe_predictions(rows, np.array([2, 1]), torch.tensor([0.25, 1e-9])))
    assert described == [
        {"path": "2.jpg", "source": "c", "label": "painting", "split": "train", "probability": "0.250000"},
        {"path": "1.jpg", "source": "b", "label": "photo", "split": "train", "probability": "0.000000"},
    ]


def save_features(path: Path, count: int, side: int = 2) -> NDArray[np.float16]:
    array = np.random.default_rng(0).normal(size=(count, 8, side, side)).astype(np.float16)
    np.save(path, array)
    return array


def test_rows_are_read_as_cached(tmp_path: Path) -> None:
    array = save_features(tmp_path / "features.npy", 5)
    rows = FeatureRows(tmp_path / "features.npy", np.array([4, 0, 3]), np.array([1, 0, 1], np.float32))
    assert len(rows) == 3
    (features, target), (first, _) = rows.__getitems__([2, 0])
    assert torch.equal(features, torch.from_numpy(array[3]))
    assert torch.equal(first, torch.from_numpy(array[4]))
    assert target == 1.0


def test_features_are_in_memory_a_batch_at_a_time(tmp_path: Path) -> None:
    array = save_features(tmp_path / "features.npy", 256, side=32)
    loader = load_rows(tmp_path / "features.npy", np.arange(256)[::-1], np.zeros(256, np.float32), 8, None)
    tracemalloc.start()
    try:
        read = sum(len(features) for features, _ in loader)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == 256
    assert peak_bytes < array.nbytes / 4


def test_other_processes_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = save_features(tmp_path / "features.npy", 10)
    monkeypatch.setattr("pipeline.finetuning.pick_device", lambda: torch.device("cuda"))
    targets = np.arange(10).astype(np.float32)
    loader = load_rows(tmp_path / "features.npy", np.arange(10), targets, 4, None)
    assert loader.num_workers > 0
    found = list(loader)
    assert torch.cat([features for features, _ in found]).equal(torch.from_numpy(array))
    assert torch.cat([target for _, target in found]).tolist() == targets.tolist()


def test_rows_are_drawn_as_often_as_their_shares_say() -> None:
    shares = np.array([0.5, 0.0, 0.3, 0.2])
    sampler = RandomRows(shares, 10_000, seed=1)
    drawn = Counter(sampler)
    assert len(sampler) == drawn.total() == 10_000
    for row, share in enumerate(shares):
        assert abs(drawn[row] - 10_000 * share) <= 4 * np.sqrt(10_000 * share * (1 - share))


def test_draw_depends_on_seed_and_epoch_alone() -> None:
    shares = np.full(50, 1 / 50)
    sampler = RandomRows(shares, 50, seed=1)
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert list(sampler) == list(RandomRows(shares, 50, 1, epoch)) == epochs[-1]
    assert len({tuple(rows) for rows in [*epochs, list(RandomRows(shares, 50, seed=2))]}) == 4


def test_loss_is_the_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Finetuner(VGG16(first_block=5), PARAMS, 4)
    logged: dict[str, float] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    features, targets = 100 * torch.rand(4, 8, 2, 2), torch.tensor([1.0, 0, 1, 0])
    monkeypatch.setattr(Finetuner, "global_step", 0)
    loss = module.training_step((features, targets), 0)
    p = module.network.classify(features).double().sigmoid()
    expected = -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert logged["train_loss"] == loss


def test_module_holds_block_5_and_the_head_alone() -> None:
    names = {name.removeprefix("network.") for name, _ in Finetuner(VGG16(first_block=5), PARAMS, 4).named_parameters()}
    assert names == {f"{m}.{k}" for m in ("conv5_1", "conv5_2", "conv5_3", "head") for k in ("weight", "bias")}


def test_learning_rate_rises_and_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Finetuner(VGG16(first_block=5), PARAMS, 4)
    monkeypatch.setattr(Finetuner, "trainer", SimpleNamespace(estimated_stepping_batches=20))
    configured: Any = module.configure_optimizers()
    schedule = configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(20):
        rates.append(configured["optimizer"].param_groups[0]["lr"])
        configured["optimizer"].step()
        if len(rates) < 20:
            schedule.step()
    assert max(rates) == pytest.approx(PARAMS.learning_rate, rel=0.02)
    assert rates[0] < max(rates) / 10
    assert rates[-1] < max(rates) / 1000
