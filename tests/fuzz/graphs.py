"""The ONNX graph that carries VGG16's weights."""

from pathlib import Path

import torch

from pipeline.vgg import CONVOLUTIONS
from pipeline.weights import from_onnx
from tests.test_weights import write_onnx


def originals(folder: Path) -> list[bytes]:
    tensors = {}
    for name in CONVOLUTIONS:
        tensors[f"{name}.weight"] = torch.randn(4, 3 if name == "conv1_1" else 4, 3, 3)
        tensors[f"{name}.bias"] = torch.randn(4)
    write_onnx(folder / "graph.onnx", tensors)
    return [(folder / "graph.onnx").read_bytes()]


def read(path: Path) -> None:
    from_onnx(path)
