from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline import training, vgg
from pipeline.caching import open_features
from pipeline.console import UserError
from pipeline.finetuning import Rows
from pipeline.params import Finetune
from pipeline.probe import fit_probe, fit_temperature
from pipeline.training import Task, calibrate, finetune, pool_features, predict_logits, scale_head, start_head
from pipeline.vgg import VGG16
from tests.networks import SMALL, random_network, write_features, write_images

SETTINGS = Finetune(
    probe_l2=0.1,
    imitation_share=0.5,
    learning_rate=1e-4,
    weight_decay=0.01,
    dropout=0.1,
    batch_size=4,
    max_epochs=2,
    patience_epochs=2,
    seed=1,
)


@pytest.fixture
def network(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> VGG16:
    """Block 5 and head with random weights."""
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    monkeypatch.setattr(training, "network_dtype", lambda _: torch.float32)
    network = VGG16(0.1, first_block=5)
    network.load_state_dict(random_network().trainable())
    return network


@pytest.fixture
def task(network: VGG16) -> Task:
    write_features(Path("cache"), write_images(Path("accepted.csv"), {"train": 6, "validation": 3}))
    cache = open_features(Path("cache"))
    rows = Rows.of(cache)
    return Task(
        features=cache.features,
        rows=rows,
        train=rows.splits == "train",
        validation=rows.splits == "validation",
        folder=Path("checkpoints"),
        fingerprint="a",
        description="a test",
    )


def features(task: Task) -> Tensor:
    return torch.from_numpy(np.load(task.features)).float()


def test_features_are_pooled_and_judged_in_the_order_asked_for(
    network: VGG16, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "BATCH", 4)
    rows = np.random.default_rng(0).permutation(len(task.rows.targets))
    network.eval()
    with torch.no_grad():
        pooled, logits = network.pool(features(task)[rows]), network.classify(features(task)[rows])
    torch.testing.assert_close(pool_features(network.train(), task.features, rows), pooled)
    torch.testing.assert_close(predict_logits(network.train(), task.features, rows), logits)


def test_features_that_are_not_numbers_are_refused(network: VGG16, task: Task) -> None:
    cached = np.load(task.features)
    cached[5, 3, 1, 1] = np.nan
    np.save(task.features, cached)
    with pytest.raises(UserError, match=r"^cache/features\.npy has values that are not numbers; delete cache and run"):
        pool_features(network, task.features, np.arange(8))


def test_head_starts_as_the_probe_of_the_rows_that_are_trained_on(network: VGG16, task: Task) -> None:
    pooled = pool_features(network, task.features, np.arange(len(task.rows.targets)))
    start_head(network, task, pooled, SETTINGS)
    shares = torch.from_numpy(task.rows.shares(task.train, SETTINGS.imitation_share)).float()
    targets = torch.from_numpy(task.rows.targets)
    weight, bias = fit_probe(pooled[task.train], targets[task.train], shares[task.train], SETTINGS.probe_l2)
    logits = predict_logits(network, task.features, np.arange(len(targets)))
    torch.testing.assert_close(logits, pooled @ weight + bias, rtol=1e-4, atol=1e-4)
    assert ((logits > 0) == (targets == 1)).float().mean() > 0.9


def test_calibration_divides_the_logits_of_the_validation_rows(network: VGG16, task: Task) -> None:
    judged = np.flatnonzero(task.validation)
    before = predict_logits(network, task.features, judged)
    temperature = calibrate(network, task)
    after = predict_logits(network, task.features, judged)
    torch.testing.assert_close(after, before / temperature, rtol=1e-4, atol=1e-5)
    assert temperature == fit_temperature(before, torch.from_numpy(task.rows.targets[judged]))
    scale_head(network, 2.0)
    torch.testing.assert_close(predict_logits(network, task.features, judged), after / 2)


def train(network: VGG16, task: Task, settings: Finetune = SETTINGS) -> list[dict[str, float]]:
    pooled = pool_features(network, task.features, np.arange(len(task.rows.targets)))
    return finetune(network, task, pooled, settings)


def test_network_is_that_of_the_best_epoch(network: VGG16, task: Task) -> None:
    write_features(
        task.features.parent, write_images(Path("accepted.csv"), {"train": 6, "validation": 3}), turned="validation"
    )
    curve = train(network, task, replace(SETTINGS, max_epochs=4, learning_rate=1e-3, patience_epochs=1))
    losses = [row["validation_loss"] for row in curve]
    assert losses.index(min(losses)) < len(losses) - 1
    judged = np.flatnonzero(task.validation)
    logits = predict_logits(network, task.features, judged)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(task.rows.targets[judged]))
    assert loss.item() == pytest.approx(min(losses), rel=1e-4)


def test_other_fingerprint_begins_anew_and_damage_is_named(
    network: VGG16, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    train(network, task)
    (task.folder / ".last.0123abcd.ckpt").write_text("of a run that was killed while it wrote")
    train(network, replace(task, description="the same"))
    assert not list(task.folder.glob(".*"))
    assert "the same: continuing after epoch 2" in caplog.text
    train(network, replace(task, fingerprint="b", description="another"))
    assert "another: continuing" not in caplog.text
    task.best.write_bytes(task.best.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"^checkpoints/best\.ckpt cannot be read; delete checkpoints and run this"):
        train(network, replace(task, fingerprint="b"))


def test_class_that_is_missing_is_named(network: VGG16, task: Task) -> None:
    paintings = task.rows.targets == 1
    with pytest.raises(UserError, match=r"only images of class photo to train on \(a test\)"):
        train(network, replace(task, train=task.train & (~paintings | task.rows.imitations)))
    with pytest.raises(UserError, match=r"only images of class painting to validate on \(a test\)"):
        train(network, replace(task, validation=task.validation & paintings))
    assert not task.folder.exists()


def test_checkpoint_of_another_network_is_not_gone_on_from(network: VGG16, task: Task) -> None:
    train(network, task)
    checkpoint = torch.load(task.last, weights_only=True)
    checkpoint["state_dict"]["network.head.weight"] = torch.ones(1, 7)
    torch.save(checkpoint, task.last)
    with pytest.raises(UserError, match=r"^checkpoints/last\.ckpt is of another network; delete checkpoints and run"):
        train(network, task)
