import errno
import os
from pathlib import Path

import pytest
import torch

from pipeline.checkpoints import WholeCheckpoints, finished_epochs
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
