import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import vgg
from pipeline.console import UserError
from pipeline.finetuning import History
from pipeline.params import load_params
from pipeline.stages import finetune
from pipeline.stages.finetune import BEST, CURVE, FEATURES, INDEX, LAST, METRICS, MODEL, WEIGHTS, main
from pipeline.tables import read_table, write_table
from pipeline.vgg import load_metadata, load_network
from pipeline.weights import from_safetensors
from tests.networks import SMALL, set_params, write_random_weights

ROOT = Path(__file__).parent.parent.parent
KILLED_IN_EPOCH_2 = """
import os, signal
from pipeline import vgg
from pipeline.finetuning import History
from pipeline.stages.finetune import main
from tests.networks import SMALL
def die(self, trainer, *_):
    if trainer.current_epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
History.on_train_batch_end = die
vgg.CHANNELS = SMALL
main([])
"""


def write_features(*, turned_validation: bool = False) -> None:
    """Ten training images of two views and four to validate on; paintings excite the even channels."""
    random = np.random.default_rng(0)
    index: list[dict[str, object]] = []
    rows: list[NDArray[np.float16]] = []
    for image in range(14):
        label = ("painting", "photo")[image % 2]
        split = "train" if image < 10 else "validation"
        like_painting = (label == "painting") != (turned_validation and split == "validation")
        for view in range(2 if split == "train" else 1):
            features = random.uniform(0, 1, (8, 2, 2))
            features[int(not like_painting) :: 2] *= 3
            entry = {"row": len(rows), "path": f"{image}.jpg", "split": split, "label": label, "view": view}
            index.append(entry | {"crc32": f"{image:08x}"})
            rows.append(features.astype(np.float16))
    FEATURES.parent.mkdir(parents=True, exist_ok=True)
    np.save(FEATURES, np.stack(rows))
    write_table(INDEX, index[0], index)


@pytest.fixture
def trainable(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    set_params(
        {
            "finetune.batch_size": 4,
            "finetune.max_epochs": 3,
            "finetune.patience_epochs": 3,
            "finetune.learning_rate": 1e-4,
            "features.crop_px": 32,
        }
    )
    write_random_weights(WEIGHTS)
    write_features()
    return workspace


def curve() -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read_table(CURVE)]


def results() -> tuple[dict[str, Tensor], list[dict[str, str]]]:
    return from_safetensors(MODEL), curve()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[n], other[n], rtol=1e-5, atol=1e-7) for n in one)


def test_undisturbed_killed_and_forced_runs_agree(trainable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_before = WEIGHTS.read_bytes()
    main([])
    undisturbed, undisturbed_curve = results()
    start = load_network(WEIGHTS)
    assert WEIGHTS.read_bytes() == weights_before
    assert set(undisturbed) == set(start.trainable())
    assert not any(torch.equal(undisturbed[name], start.get_parameter(name)) for name in undisturbed)
    assert load_network(WEIGHTS, MODEL).get_parameter("conv4_3.weight").equal(start.get_parameter("conv4_3.weight"))
    assert [row["epoch"] for row in undisturbed_curve] == ["1", "2", "3"]
    metrics = json.loads(METRICS.read_text())
    best = min(undisturbed_curve, key=lambda row: float(row["validation_loss"]))
    assert metrics["best_epoch"] == int(best["epoch"])
    assert metrics["validation_loss"] == float(best["validation_loss"])
    assert metrics["epochs"] == 3
    assert load_metadata(MODEL) == {"crop_px": "32", "positive": "painting", "epoch": best["epoch"]}
    assert BEST.exists()
    assert not LAST.exists()

    shutil.rmtree("data/models")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_EPOCH_2], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert LAST.exists()
    assert not MODEL.exists()
    assert curve() == undisturbed_curve[:1]

    epochs: list[int] = []
    started = History.on_train_epoch_start

    def note(self: History, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        epochs.append(trainer.current_epoch)
        started(self, trainer, module)

    monkeypatch.setattr(History, "on_train_epoch_start", note)
    main([])
    assert epochs == [1, 2]
    resumed, resumed_curve = results()
    assert same(resumed, undisturbed)
    for one, other in zip(resumed_curve, undisturbed_curve, strict=True):
        assert {n: float(v) for n, v in one.items()} == pytest.approx({n: float(v) for n, v in other.items()}, rel=1e-4)

    epochs.clear()
    main([])  # a finished run that is forced trains anew
    assert epochs == [0, 1, 2]
    assert same(results()[0], undisturbed)


def test_run_that_stopped_early_does_not_go_on(trainable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_features(turned_validation=True)
    set_params({"finetune.max_epochs": 9, "finetune.patience_epochs": 1, "finetune.learning_rate": 1e-3})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finetune, "save_tensors", killed)
        with pytest.raises(KeyboardInterrupt):
            main([])
    stopped = curve()
    losses = [float(row["validation_loss"]) for row in stopped]
    assert len(stopped) < 9
    assert losses[-1] >= min(losses[:-1])
    assert not MODEL.exists()
    main([])
    assert curve() == stopped
    assert load_metadata(MODEL)["epoch"] == str(1 + losses.index(min(losses)))


def test_sigterm_ends_with_143_and_no_model(trainable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "on_train_batch_end", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 143
    assert not MODEL.exists()


def test_loss_that_is_not_a_number_is_one_sentence(trainable: Path) -> None:
    set_params({"finetune.learning_rate": 1e30})
    with pytest.raises(UserError, match=r"the loss of epoch 1 is not a number; lower finetune\.learning_rate"):
        main([])
    assert not MODEL.exists()
    assert not LAST.exists()


@pytest.mark.parametrize(
    ("split", "label", "message"),
    [
        ("train", "photo", "only images of class painting in its train split"),
        ("validation", "painting", "only images of class photo in its validation split"),
    ],
)
def test_class_without_images_is_one_sentence(trainable: Path, split: str, label: str, message: str) -> None:
    index = read_table(INDEX)
    for entry in index:
        if (entry["split"], entry["label"]) == (split, label):
            entry["split"] = "test"
    write_table(INDEX, index[0], index)
    with pytest.raises(UserError, match=message):
        main([])


def test_features_that_do_not_fit_the_index_are_refused(trainable: Path) -> None:
    np.save(FEATURES, np.load(FEATURES)[:-1])
    with pytest.raises(UserError, match="does not hold the 24 rows"):
        main([])
    FEATURES.write_bytes(FEATURES.read_bytes()[:-1])
    with pytest.raises(UserError, match="does not hold the 24 rows"):
        main([])


def test_fingerprint_changes_with_parameters_and_features(trainable: Path) -> None:
    params = load_params()
    before = finetune.fingerprint(params)
    assert finetune.fingerprint(load_params()) == before
    set_params({"finetune.weight_decay": 0.02})
    changed = finetune.fingerprint(load_params())
    INDEX.write_text(INDEX.read_text().replace("00000003", "00000004"))
    assert len({before, changed, finetune.fingerprint(params)}) == 3
