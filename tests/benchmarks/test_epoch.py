import re
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import epoch
from pipeline.vgg import VGG16


def test_both_sides_train_the_same(
    workspace: Path, network: VGG16, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("pipeline.finetuning", "pipeline.classification", "benchmarks.epoch"):
        monkeypatch.setattr(f"{name}.loader_workers", lambda: 1)
    monkeypatch.setattr(epoch, "network_dtype", lambda _: torch.float32)
    monkeypatch.setattr(sys, "argv", ["epoch", "--images", "10", "--crop", "32", "--batch", "4"])
    epoch.main()
    printed = capsys.readouterr().out
    losses = {line[:12]: re.findall(r"\d\.\d{4}", line) for line in printed.splitlines() if "loss" in line}
    full, cached = ([float(loss) for loss in losses[side]] for side in ("full forward", "from cache  "))
    assert len(full) == 2
    assert full[0] != full[1]
    assert cached == pytest.approx(full, rel=2e-3)
    assert "ratio" in printed
    assert "limit" in printed
