from pathlib import Path

import torch

from benchmarks.runtimes import STYLES, runtimes
from tests.fast.test_folded import noise, trained
from tests.fast.test_network import TINY


def test_all_runtimes_paint_the_same(tmp_path: Path) -> None:
    frame = noise(24, 40)
    painted = {name: run() for name, run in runtimes(trained(TINY, STYLES).eval(), frame, 1, tmp_path)}
    assert {"torch float32", "ONNX Runtime fast", "OpenVINO fast-int8 f32"} <= painted.keys()
    for name, image in painted.items():
        pixels = 255 * image[0].permute(1, 2, 0) if image.dtype == torch.float32 else image
        assert (pixels.float() - painted["torch float32"].float()).abs().mean() < 5, name
