"""Two processes on the CPU that train together, as they are started for real."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import SequentialSampler

from pipeline import vgg
from pipeline.console import UserError
from pipeline.fast.files import load_fast
from pipeline.parallel import Share, SharedBatches
from pipeline.params import Machine
from pipeline.stages import distill, finetune
from pipeline.tables import read_table
from pipeline.vgg import save_tensors
from tests.conftest import ROOT
from tests.networks import SMALL, set_params, write_features, write_images, write_random_weights
from tests.stages.test_distill import SETTINGS, give_styles

TWO = Machine(devices=2)


def run(stage: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "tests.stages.small", stage, "--float32", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PL_")}
    return subprocess.run(
        command, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300, check=False
    )


def losses(path: Path) -> list[list[float]]:
    """Every figure of a curve but the seconds."""
    return [[float(value) for name, value in row.items() if name != "seconds"] for row in read_table(path)]


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What ``finetune`` and ``distill`` start from."""
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    for module in ("training", "painting.frame"):
        monkeypatch.setattr(f"pipeline.{module}.network_dtype", lambda _: torch.float32)
    images = write_images(distill.ACCEPTED, {"train": 9, "validation": 3, "test": 1})
    odd = [image for image in images if "-0" not in image["path"]]  # a painting less of each split
    write_features(finetune.FOLDER, odd)
    network = write_random_weights(finetune.WEIGHTS)
    save_tensors(distill.CLASSIFIER, network.trainable(), {})
    give_styles("expressionist", "wave", "scream")
    values = SETTINGS | {"checkpoint_steps": 2, "styles": ["wave", "scream"], "batch_size": 2}
    set_params({f"distill.{name}": value for name, value in values.items()})
    set_params({"finetune.batch_size": 8, "finetune.max_epochs": 3, "finetune.learning_rate": 1e-4})
    set_params({"features.crop_px": 32})
    return workspace


def test_two_processes_finetune_as_one_does(project: Path) -> None:
    """The last batch of an epoch has 1 row, and of validation 5; one of the processes dies in the second epoch."""
    finetune.main([])
    curve, model = losses(finetune.CURVE), load_file(finetune.MODEL)
    for path in (finetune.CURVE, finetune.MODEL, finetune.PREDICTIONS):
        path.unlink()
    set_params({"machine.devices": 2})

    died = run("finetune", "--die-in-epoch", "1")
    assert died.returncode == 1
    assert died.stderr.splitlines()[-1].startswith("error: a process that trained along has died")
    assert "Traceback" not in died.stderr
    assert not finetune.MODEL.exists()

    together = run("finetune")
    assert together.returncode == 0, together.stderr
    assert "continuing after epoch 1" in together.stderr
    assert together.stderr.count("17 images to train on") == 1
    assert losses(finetune.CURVE) == [pytest.approx(row, rel=1e-5) for row in curve]
    for name, values in load_file(finetune.MODEL).items():
        torch.testing.assert_close(values, model[name], rtol=1e-4, atol=1e-6)
    assert len(read_table(finetune.PREDICTIONS)) == 6
    assert not list(Path().rglob(".*.ckpt"))


def test_two_processes_distill_as_one_does(project: Path) -> None:
    distill.main([])
    curve, network = losses(distill.CURVE), load_fast(distill.MODEL).state_dict()
    distill.MODEL.unlink()
    set_params({"machine.devices": 2, "machine.strategy": "ddp"})
    together = run("distill")
    assert together.returncode == 0, together.stderr
    assert losses(distill.CURVE) == [pytest.approx(row, rel=1e-4) for row in curve]
    for name, values in load_fast(distill.MODEL).state_dict().items():
        torch.testing.assert_close(values, network[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", [1, 11, 12, 14, 24])
def test_processes_share_every_batch(rows: int, processes: int) -> None:
    """In each step, the mean over processes of the mean over their rows is that over the batch."""
    order = SequentialSampler(range(rows))
    whole = [batch for (batch,) in steps(order, 1)]
    for batch, shares in zip(whole, steps(order, processes), strict=True):
        assert len({len(share) for share in shares}) == 1
        assert sorted(row for share in shares for row in share) in (batch, sorted(batch * processes))
    validated = [list(shared(order, processes, rank, trained=False)) for rank in range(processes)]
    assert sorted(row for share in validated for batch in share for row in batch) == list(range(rows))
    assert all(all(share) for share in validated)


def shared(order: SequentialSampler, processes: int, rank: int, *, trained: bool) -> SharedBatches:
    batches = SharedBatches(order, 12, Share(Machine(devices=processes), rank), trained=trained)
    assert len(batches) == len(list(batches))
    return batches


def steps(order: SequentialSampler, processes: int) -> list[tuple[list[int], ...]]:
    """The rows of each process, step by step."""
    return list(zip(*(shared(order, processes, rank, trained=True) for rank in range(processes)), strict=True))


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, 0),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, 0),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0"}, 1),
        ({"NODE_RANK": "1"}, 2),
        ({"LOCAL_RANK": "1", "NODE_RANK": "1"}, 3),
        ({"RANK": "3", "LOCAL_RANK": "1", "GROUP_RANK": "1"}, 3),
    ],
)
def test_rank_is_told_by_the_environment(
    environment: dict[str, str], rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pipeline.parallel.pick_device", lambda: torch.device("cpu"))
    monkeypatch.setattr("pipeline.parallel.logging.getLogger", lambda _=None: logging.Logger("quiet"))
    share = Share.of(Machine(devices=2, num_nodes=2))
    assert (share.rank, share.leads, share.processes) == (rank, rank == 0, 4)
    assert Share.of(Machine()).leads


def test_more_gpus_than_there_are_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.parallel.pick_device", lambda: torch.device("cuda"))
    monkeypatch.setattr("pipeline.parallel.torch.cuda.device_count", lambda: 1)
    with pytest.raises(UserError, match=r"machine\.devices is 2, and there are 1 GPUs here"):
        Share.of(TWO)


def test_batch_that_cannot_be_shared_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"^distill\.batch_size is 3, which 2 processes cannot share evenly; change it"):
        Share(TWO).check(3, "distill.batch_size")
