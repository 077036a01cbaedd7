from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.fast.exported import write_float, write_int8
from pipeline.fast.files import load_fast, save_fast
from pipeline.fast.int8 import Int8Painter, load_quickest_painter
from pipeline.fast.network import FastNetwork, relax
from pipeline.fast.painter import FastPainter
from pipeline.installed import FAST_PRETRAINED
from pipeline.motion import Frame
from tests.fast.test_network import tiny_network
from tests.pictures import textured

NAME = FAST_PRETRAINED.name


def psnr_db(one: Frame, other: Frame) -> float:
    return float(10 * np.log10(255**2 / max(1e-6, np.square(one.astype(float) - other).mean())))


def write(folder: Path, network: FastNetwork) -> Path:
    """A network, and its 8 bits beside it."""
    save_fast(folder / NAME, network)
    write_float(folder / "float.onnx", load_fast(folder / NAME))
    write_int8(folder / "fast-int8.onnx", folder / "float.onnx", torch.rand(2, 3, 64, 64))
    return folder / NAME


def test_without_openvino_torch_paints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.fast.int8.find_spec", lambda _: None)
    assert type(load_quickest_painter(FAST_PRETRAINED)) is FastPainter


def test_the_8_bits_of_an_earlier_network_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.fast.int8.find_spec", lambda _: True)
    monkeypatch.setattr("pipeline.fast.int8.compile_for", None)  # nothing is compiled before it paints
    path = write(tmp_path, relax(tiny_network()))
    assert isinstance(load_quickest_painter(path), Int8Painter)
    save_fast(path, relax(tiny_network(seed=1)))
    assert type(load_quickest_painter(path)) is FastPainter


def test_the_installed_network_paints_in_8_bits_much_as_it_does_in_float() -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO: pip install '.[int8]'")
    frame = np.tile(textured(0), (2, 2, 1))
    int8, float32 = load_quickest_painter(FAST_PRETRAINED), FastPainter(load_fast(FAST_PRETRAINED), torch.device("cpu"))
    assert isinstance(int8, Int8Painter)
    for name in int8.names:
        for painter in (int8, float32):
            painter.mix({name: 1.0}, 0.9)
        assert psnr_db(int8.paint(frame), float32.paint(frame)) > 30
        assert int8.paint(frame[:50, :70]).shape == (50, 70, 3)  # sizes change, as those of streams do
