"""The accepted photographs of a split, and a few of them to look at or to measure on."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.augmentation import plain_view
from pipeline.console import UserError
from pipeline.images import load_rgb
from pipeline.tables import read_table
from pipeline.tensors import to_tensor


def find_photographs(accepted: Path, split: str) -> list[Path]:
    """Those of a split in the table of accepted images; raises :class:`UserError` if there are none."""
    rows = [row for row in read_table(accepted) if (row["split"], row["label"]) == (split, "photo")]
    if not rows:
        raise UserError(f"{accepted} names no photographs of the {split} split; raise crawl.per_class")
    return [Path(row["path"]) for row in rows]


def show(photographs: Iterable[Path], count: int, side_px: int) -> Tensor:
    """The middle of a few photographs, drawn by a hash so that they change little: (N, 3, H, W)."""
    drawn = sorted(photographs, key=lambda path: hashlib.sha256(str(path).encode()).digest())[:count]
    return torch.stack([to_tensor(plain_view(np.array(load_rgb(path)), side_px)) for path in drawn])
