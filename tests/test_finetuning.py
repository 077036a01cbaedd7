from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline import vgg
from pipeline.finetuning import FeatureRows, Finetuner, RandomViews, finished_epochs
from pipeline.params import Finetune
from pipeline.vgg import VGG16
from tests.networks import SMALL


@pytest.fixture(autouse=True)
def _small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)


PARAMS = Finetune(
    learning_rate=1e-3, weight_decay=0.1, dropout=0.0, batch_size=2, max_epochs=1, patience_epochs=1, seed=0
)


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=20), seed=st.integers(0, 2**31), epoch=st.integers(0, 99))
def test_every_image_is_seen_once_an_epoch(sizes: list[int], seed: int, epoch: int) -> None:
    starts = np.cumsum([0, *sizes])
    images = [list(range(start, start + size)) for start, size in zip(starts, sizes, strict=False)]
    sampler = RandomViews(images, seed)
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert len(sampler) == len(drawn)
    assert sorted(next(i for i, rows in enumerate(images) if row in rows) for row in drawn) == list(range(len(sizes)))
    assert list(RandomViews(images, seed, epoch)) == drawn


def test_views_and_order_change_with_the_epoch() -> None:
    sampler = RandomViews([[3 * i, 3 * i + 1, 3 * i + 2] for i in range(50)], seed=1)
    views: Counter[int] = Counter()
    orders = set()
    for epoch in range(30):
        sampler.set_epoch(epoch)
        rows = list(sampler)
        views.update(row % 3 for row in rows)
        orders.add(tuple(row // 3 for row in rows))
    assert len(orders) == 30
    assert all(400 < views[view] < 600 for view in range(3))  # 500 expected, standard deviation 18


def test_rows_are_read_as_cached(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, 512, 2, 2)).astype(np.float16)
    np.save(tmp_path / "features.npy", array)
    rows = FeatureRows(tmp_path / "features.npy", [1.0, 0.0, 1.0])
    features, target = rows[2]
    assert len(rows) == 3
    assert torch.equal(features, torch.from_numpy(array[2]))
    assert float(target) == 1.0


def test_loss_is_the_weighted_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Finetuner(VGG16(first_block=5), PARAMS, positive_weight=3.0)
    logged: dict[str, float] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    features, targets = 100 * torch.rand(4, 8, 2, 2), torch.tensor([1.0, 0, 1, 0])
    monkeypatch.setattr(Finetuner, "global_step", 0)
    loss = module.training_step((features, targets))
    p = module.network.classify(features).double().sigmoid()
    expected = -(3 * targets * p.log() + (1 - targets) * (1 - p).log()).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert logged["train_loss"] == loss


def test_module_holds_block_5_and_the_head_alone() -> None:
    names = {
        name.removeprefix("network.") for name, _ in Finetuner(VGG16(first_block=5), PARAMS, 1.0).named_parameters()
    }
    assert names == {f"{m}.{k}" for m in ("conv5_1", "conv5_2", "conv5_3", "head") for k in ("weight", "bias")}


class Planted:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_only_a_whole_checkpoint_of_the_same_run_is_resumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = tmp_path / "last.ckpt"
    assert finished_epochs(checkpoint, "a") == 0
    torch.save(
        {"callbacks": {"History": {"fingerprint": "a", "rows": [{}, {}]}}, "state_dict": {"x": torch.ones(9)}},
        checkpoint,
    )
    assert finished_epochs(checkpoint, "a") == 2
    assert finished_epochs(checkpoint, "b") == 0
    assert not caplog.records

    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    assert finished_epochs(checkpoint, "a") == 0
    torch.save(
        {"callbacks": {"History": {"fingerprint": "a", "rows": [{}, {}]}}, "x": Planted(tmp_path / "run")}, checkpoint
    )
    assert finished_epochs(checkpoint, "a") == 0
    assert not (tmp_path / "run").exists()
    assert caplog.text.count("training starts anew") == 2


def test_learning_rate_rises_and_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Finetuner(VGG16(first_block=5), PARAMS, 1.0)
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
