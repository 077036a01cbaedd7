from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.console import UserError
from pipeline.painting.mask import load_mask, read_masks, under_mask

SIZE = (48, 64)


def half(path: Path, *, right: bool) -> Path:
    """A picture that is white on one half."""
    pixels = np.zeros((36, 48), np.uint8)
    pixels[:, 24:] = 255
    Image.fromarray(pixels if right else 255 - pixels).save(path)
    return path


def test_what_is_black_stays(tmp_path: Path) -> None:
    content, painted = torch.rand(2, 3, *SIZE)
    mask = load_mask(half(tmp_path / "mask.png", right=True), SIZE)
    assert mask.shape == SIZE
    seen = under_mask(painted, content, mask)
    torch.testing.assert_close(seen[..., :28], content[..., :28])
    torch.testing.assert_close(seen[..., 36:], painted[..., 36:])


def test_a_picture_is_the_mask_of_every_frame(tmp_path: Path) -> None:
    path = half(tmp_path / "mask.png", right=True)
    for mask in islice(read_masks(path, slice(5, 8), SIZE), 3):
        assert torch.equal(mask, load_mask(path, SIZE))


def test_a_folder_has_a_mask_for_each_frame(tmp_path: Path) -> None:
    for i in range(4):
        half(tmp_path / f"{i}.png", right=i == 2)
    masks = list(read_masks(tmp_path, slice(1, 4), SIZE))
    assert [bool(mask[0, -1] > mask[0, 0]) for mask in masks] == [False, True, False]
    assert all(mask.shape == SIZE for mask in masks)


def test_masks_that_end_early_are_an_error(tmp_path: Path) -> None:
    half(tmp_path / "0.png", right=True)
    with pytest.raises(UserError, match="too few"):
        list(read_masks(tmp_path, slice(0, 2), SIZE))
