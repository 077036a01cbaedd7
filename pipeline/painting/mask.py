"""Masks: where a picture is white there is paint, where it is black the content shows through."""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import torch
from torch import Tensor

from pipeline.images import PICTURE_SUFFIXES, load_rgb
from pipeline.painting.frame import resize
from pipeline.tensors import to_tensor
from pipeline.video import read_frames


def load_mask(path: Path, size: tuple[int, int]) -> Tensor:
    """The mask of one picture, of a size (H, W): (H, W), in [0, 1]."""
    return _fitted(to_tensor(load_rgb(path)), size)


def read_masks(path: Path, frames: slice, size: tuple[int, int]) -> Iterator[Tensor]:
    """The mask of each of ``frames`` of a clip, of a size (H, W): (H, W), in [0, 1].

    A picture is that of every frame. A video or a folder of pictures, of the clip's length, has one for each frame.
    Raises :class:`UserError` for a file that is broken or too short.
    """
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return repeat(load_mask(path, size))
    return (_fitted(to_tensor(frame), size) for frame in read_frames(path, frames))


def under_mask(painted: Tensor, content: Tensor, mask: Tensor) -> Tensor:
    """What is seen of a ``painted`` image (3, H, W), in [0, 1], where a mask (H, W) lets the ``content`` through."""
    return torch.lerp(content, painted, mask)


def _fitted(picture: Tensor, size: tuple[int, int]) -> Tensor:
    return resize(picture, size).clamp(0, 1)[0]
