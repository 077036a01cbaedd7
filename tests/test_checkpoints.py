import errno
import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.checkpoints import WholeCheckpoints, finished_epochs, load_checkpoint, load_state
from pipeline.console import UserError
from tests.disks import limited_files


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

    whole = checkpoint.read_bytes()
    for damaged in (whole[:100], whole[:-1], b"", b"<html>"):
        checkpoint.write_bytes(damaged)
        assert finished_epochs(checkpoint, "a") == 0
    torch.save({"state_dict": {}}, checkpoint)
    assert finished_epochs(checkpoint, "a") == 0
    torch.save(
        {"callbacks": {"History": {"fingerprint": "a", "rows": [{}, {}]}}, "x": Planted(tmp_path / "run")}, checkpoint
    )
    assert finished_epochs(checkpoint, "a") == 0
    assert not (tmp_path / "run").exists()
    assert caplog.text.count("training starts anew") == 6


def test_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    before = path.read_bytes()
    with limited_files(len(before) + 1000), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        WholeCheckpoints().save_checkpoint({"epoch": 2, "weights": torch.ones(9999)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def other(name: str, value: object) -> dict[str, object]:
    """The state of a linear layer (2, 3) under ``network.``, with another value."""
    return {"network.weight": torch.ones(2, 3), "network.bias": torch.ones(2)} | {f"network.{name}": value}


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        {},
        {"network.weight": torch.ones(2, 3)},
        other("more", torch.ones(1)),
        other("bias", torch.ones(3)),
        other("bias", torch.ones(())),
        other("bias", torch.ones(1).expand(10**9)),
        other("bias", torch.ones(2, dtype=torch.int64)),
        other("bias", torch.ones(2).to_sparse()),
        other("bias", torch.full((2,), torch.nan)),
        other("bias", [1.0, 1.0]),
    ],
)
def test_checkpoint_of_another_network_is_refused(tmp_path: Path, state: object) -> None:
    path, module = tmp_path / "best.ckpt", nn.Linear(3, 2)
    torch.save({"state_dict": other("bias", torch.full((2,), 3.0))}, path)
    load_state(module, path, "network.")
    torch.save({"state_dict": state}, path)
    with pytest.raises(UserError, match=r"best\.ckpt (is of another network, or of none|cannot be read); delete"):
        load_state(module, path, "network.")
    assert module.bias.tolist() == [3, 3]


@pytest.mark.parametrize("kind", ["pickle", "legacy", "zip", "tensor", "changed"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    path, planted = tmp_path / "last.ckpt", Planted(tmp_path / "run")
    if kind == "pickle":
        path.write_bytes(pickle.dumps(planted))
    elif kind == "tensor":
        torch.save(torch.ones(3), path)
    elif kind == "changed":
        torch.save({"state_dict": {"x": torch.zeros(999)}}, path)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        torch.save({"state_dict": planted}, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(UserError, match=r"last\.ckpt cannot be read; delete"):
        load_checkpoint(path)
    assert finished_epochs(path, "a") == 0
    assert "training starts anew" in caplog.text
    assert not (tmp_path / "run").exists()
