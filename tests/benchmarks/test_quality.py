import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality
from pipeline.painting.frame import Painter
from pipeline.params import default_params
from pipeline.tensors import to_tensor
from pipeline.vgg import VGG16


class Alone:
    """Work, as far as what is painted is measured."""

    def __init__(self, painter: Painter) -> None:
        self.painter = painter


def test_what_does_not_change_is_steady_and_a_short_clip_has_no_long_error() -> None:
    rng = np.random.default_rng(0)
    still, flicker = rng.integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    frames = [still] * 3
    first = to_tensor(still)
    settings = default_params().stylize
    painter = Painter(VGG16().requires_grad_(False), [first], settings, first=first, device=first.device)
    steady = quality.measure(Alone(painter), frames, frames)  # type: ignore[arg-type]
    assert steady[0] == pytest.approx(0, abs=1e-9)
    assert math.isnan(steady[1])
    assert steady[3:] == pytest.approx([0, 0], abs=1e-6)  # its own style and content
    assert quality.measure(Alone(painter), frames, [still, flicker, still])[0] > 0.1  # type: ignore[arg-type]


def test_the_sheet_has_a_row_for_each_way_to_paint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [np.zeros((32, 48, 3), np.uint8)] * 5
    quality.write_sheet(tmp_path / "sheet.png", [(frames, "clip"), (frames, "weight 50")])
    quality.show("weight 50", np.array([0.1, 0.5, 1.0, 1.0, 1.0]), 2.0)
    assert (tmp_path / "sheet.png").exists()
    assert capsys.readouterr().out.split() == ["weight", "50", "0.1", "0.5", "1", "1", "1", "2"]
