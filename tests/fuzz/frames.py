"""Finished frames, which a run that goes on trusts."""

from pathlib import Path

import torch

from pipeline.painting.clip import FrameCost, load_frame, load_mark, save_frame

SIZE = (12, 16)


def originals(folder: Path) -> list[bytes]:
    save_frame(folder / "frame.npz", torch.rand(3, *SIZE), FrameCost(20, 1.5), 7)
    return [(folder / "frame.npz").read_bytes()]


def read(path: Path) -> None:
    load_mark(path)
    image, cost = load_frame(path, SIZE)
    assert image.dtype == torch.float32
    assert image.shape == (3, *SIZE)
    assert image.isfinite().all()
    assert cost.iterations >= 0
