from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipeline.stages.styles as styles
from pipeline.console import UserError

SOURCE = Path("data/raw/sample/painting/plate-expressionist.png")


def paint(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1] // 10, size[0] // 10, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).convert(mode)


def prepare(picture: Image.Image, path: Path = SOURCE) -> Image.Image:
    path.parent.mkdir(parents=True)
    picture.save(path)
    styles.main(["expressionist"])
    with Image.open("data/styles/expressionist.png") as style:
        style.load()
        return style


def test_a_picture_within_the_limit_keeps_every_pixel(workspace: Path) -> None:
    picture = paint((300, 200))
    style = prepare(picture)
    assert (style.format, style.mode) == ("PNG", "RGB")
    np.testing.assert_array_equal(np.asarray(style), np.asarray(picture))
    assert [path.name for path in (workspace / "data/styles").iterdir()] == ["expressionist.png"]


@pytest.mark.parametrize(("size", "expected"), [((3000, 1200), (1500, 600)), ((800, 2000), (600, 1500))])
@pytest.mark.usefixtures("workspace")
def test_a_large_picture_is_reduced(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert prepare(paint(size)).size == expected


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
@pytest.mark.usefixtures("workspace")
def test_a_picture_of_any_mode_becomes_rgb(mode: str) -> None:
    assert prepare(paint((100, 80), mode)).mode == "RGB"


def test_mistakes_are_told_in_one_sentence_and_leave_nothing(workspace: Path) -> None:
    with pytest.raises(UserError, match="no style 'cubist'; it has expressionist"):
        styles.main(["cubist"])
    with pytest.raises(UserError, match=r"plate-expressionist\.png"):
        styles.main(["expressionist"])
    SOURCE.parent.mkdir(parents=True)
    SOURCE.write_text("<html>")
    with pytest.raises(UserError, match=r"plate-expressionist\.png"):
        styles.main(["expressionist"])
    assert not list(workspace.glob("data/styles/*"))
