from pathlib import Path

import pytest
import torch
from PIL import Image

from pipeline.console import UserError
from pipeline.fast.photographs import find_photographs, show
from tests.networks import write_images


def test_only_photographs_of_the_split_are_found(workspace: Path) -> None:
    write_images(Path("accepted.csv"), {"train": 3, "validation": 2})
    found = find_photographs(Path("accepted.csv"), "train")
    assert [path.name for path in found] == ["train-1.png", "train-3.png", "train-5.png"]
    assert {path.parent.name for path in found} == {"photo"}
    with pytest.raises(UserError, match=r"accepted\.csv names no photographs of the test split; raise crawl"):
        find_photographs(Path("accepted.csv"), "test")


def test_samples_are_the_same_as_photographs_come_and_go(workspace: Path) -> None:
    paths = [Path(f"{number}.png") for number in range(6)]
    for path in paths:
        Image.new("RGB", (40, 32), (int(path.stem), 0, 0)).save(path)
    shown = show(paths, 4, 32)
    assert shown.shape == (4, 3, 32, 32)
    assert torch.equal(show(reversed(paths), 4, 32), shown)
    kept = {round(float(picture[0].mean()) * 255) for picture in shown}
    fewer = {round(float(picture[0].mean()) * 255) for picture in show(paths[1:], 4, 32)}
    assert len(kept & fewer) >= 3
