import errno
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
from safetensors.torch import load_file
from torch import Tensor

from pipeline import vgg
from pipeline.caching import open_features
from pipeline.console import UserError
from pipeline.finetuning import PREDICTION_COLUMNS, History
from pipeline.params import load_params
from pipeline.stages import finetune
from pipeline.stages.finetune import CHECKPOINTS, CURVE, FOLDER, METRICS, MODEL, PREDICTIONS, WEIGHTS, main
from pipeline.tables import read_table, write_table
from pipeline.training import fingerprint, predict_logits
from pipeline.vgg import load_metadata, load_network, load_top
from tests.conftest import ROOT
from tests.disks import limited_files
from tests.networks import SMALL, set_params, write_features, write_images, write_random_weights

BEST, LAST = CHECKPOINTS / "best.ckpt", CHECKPOINTS / "last.ckpt"
RUNNING = CHECKPOINTS / "training.csv"
INDEX = FOLDER / "index.csv"
SPLITS = {"train": 5, "validation": 2, "test": 1}


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
    write_features(FOLDER, write_images(Path("accepted.csv"), SPLITS))
    return workspace


def curve(path: Path = CURVE) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read_table(path)]


def results() -> tuple[dict[str, Tensor], list[dict[str, str]]]:
    return load_file(MODEL), curve()


def assert_model_says_what_is_predicted(temperature: float) -> None:
    answers = read_table(PREDICTIONS)
    assert tuple(answers[0]) == PREDICTION_COLUMNS
    index = open_features(FOLDER).index
    judged = [row for row, entry in enumerate(index) if entry["split"] != "train"]
    assert [a["path"] for a in answers] == [index[row]["path"] for row in judged]
    assert [a["split"] for a in answers] == [index[row]["split"] for row in judged]
    network = load_top(WEIGHTS)
    network.load_state_dict(load_file(MODEL))
    logits = predict_logits(network, FOLDER / "features.npy", np.array(judged))
    assert [float(a["probability"]) for a in answers] == pytest.approx(logits.sigmoid().tolist(), abs=1e-5)
    state = torch.load(BEST, weights_only=True)["state_dict"]
    expected = state["network.head.weight"] / temperature
    torch.testing.assert_close(load_file(MODEL)["head.weight"], expected, rtol=1e-3, atol=0)


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
    assert_model_says_what_is_predicted(metrics["temperature"])
    assert load_metadata(MODEL) == {"crop_px": "32", "positive": "painting", "epoch": best["epoch"]}
    assert BEST.exists()
    assert not LAST.exists()

    shutil.rmtree("data/models")
    CURVE.unlink()

    # Not by a fork: what autograd has started in this process by then, a child of it could not use.
    command = [sys.executable, "-m", "tests.stages.small", "finetune", "--die-in-epoch", "1", "--rank", "0"]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert LAST.exists()
    assert not MODEL.exists()
    assert curve(RUNNING) == undisturbed_curve[:1]

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
    write_features(FOLDER, write_images(Path("accepted.csv"), SPLITS), turned="validation")
    set_params({"finetune.max_epochs": 9, "finetune.patience_epochs": 1, "finetune.learning_rate": 1e-3})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finetune, "save_tensors", killed)
        with pytest.raises(KeyboardInterrupt):
            main([])
    stopped = curve(RUNNING)
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
        ("train", "photo", "only images of class painting to train on"),
        ("validation", "painting", "only images of class photo to validate on"),
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


def test_damaged_features_are_refused(trainable: Path) -> None:
    whole = (FOLDER / "features.npy").read_bytes()
    (FOLDER / "features.npy").write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"features\.npy does not hold the 31 rows"):
        main([])
    (FOLDER / "features.npy").write_bytes(whole[:-100] + b"\xff" + whole[-99:])
    with pytest.raises(UserError, match=r"row 29 of data/features/features\.npy is not what was written; delete"):
        main([])
    assert not CHECKPOINTS.exists()


def test_full_disk_ends_with_what_can_be_gone_on_from(trainable: Path) -> None:
    main([])
    undisturbed, _ = results()
    shutil.rmtree("data/models")
    with limited_files(1000), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        main([])
    assert not MODEL.exists()
    main([])
    assert same(results()[0], undisturbed)


def test_fingerprint_changes_with_parameters_features_and_weights(trainable: Path) -> None:
    params, cache = load_params(), open_features(FOLDER)
    before = fingerprint(cache, load_top(WEIGHTS), params.finetune)
    assert fingerprint(cache, load_top(WEIGHTS), load_params().finetune) == before
    set_params({"finetune.weight_decay": 0.02})
    changed = fingerprint(cache, load_top(WEIGHTS), load_params().finetune)
    write_features(FOLDER, write_images(Path("accepted.csv"), SPLITS), seed=1)
    other = fingerprint(open_features(FOLDER), load_top(WEIGHTS), params.finetune)
    write_random_weights(WEIGHTS, seed=1)
    assert len({before, changed, other, fingerprint(cache, load_top(WEIGHTS), params.finetune)}) == 4
