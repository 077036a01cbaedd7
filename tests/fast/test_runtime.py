from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pipeline.console import UserError
from pipeline.fast.exported import write_float, write_int8
from pipeline.fast.files import load_fast, save_fast
from pipeline.fast.int8 import Int8Network
from pipeline.fast.network import relax
from pipeline.fast.painter import FastPainter, torch_painter
from pipeline.fast.runtime import load_fast_painter
from tests.fast.test_network import tiny_network
from tests.pictures import textured


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A network, and its 8 bits beside it."""
    path = tmp_path / "fast.safetensors"
    save(path, seed=0)
    write_float(tmp_path / "float.onnx", load_fast(path))
    write_int8(tmp_path / "fast-int8.onnx", tmp_path / "float.onnx", torch.rand(2, 3, 64, 64))
    return path


def save(path: Path, seed: int) -> None:
    save_fast(path, relax(tiny_network(seed=seed)))


def paints_in_8_bits(painter: FastPainter) -> bool:
    return isinstance(getattr(painter.fold, "__self__", None), Int8Network)


def test_8_bits_paint_on_the_processor(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert paints_in_8_bits(load_fast_painter(path))
    monkeypatch.setattr("pipeline.fast.runtime.pick_device", lambda: torch.device("meta"))
    assert not paints_in_8_bits(load_fast_painter(path))


def test_the_8_bits_of_an_earlier_network_are_left_alone(path: Path) -> None:
    save(path, seed=1)
    assert not paints_in_8_bits(load_fast_painter(path))


def test_without_8_bits_torch_paints(path: Path) -> None:
    path.with_name("fast-int8.onnx").unlink()
    painter, frame = load_fast_painter(path), textured(0)
    assert not paints_in_8_bits(painter)
    assert painter.names == ("a", "b")
    expected = torch_painter(tiny_network(), torch.device("cpu")).paint(frame)
    assert np.abs(painter.paint(frame).astype(int) - expected).max() <= 12


def test_damaged_8_bits_are_named(path: Path) -> None:
    int8 = path.with_name("fast-int8.onnx")
    whole = int8.read_bytes()
    int8.write_bytes(whole[:-1000])
    with pytest.raises(UserError, match=r"fast-int8\.onnx is damaged"):
        load_fast_painter(path)
    model = onnx.load_from_string(whole)
    del model.graph.node[5:]
    int8.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=r"fast-int8\.onnx holds no network that paints"):
        load_fast_painter(path).paint(textured(0))
