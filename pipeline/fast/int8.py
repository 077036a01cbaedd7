"""Paint by the network in 8 bits with OpenVINO, where that is installed: twice as fast on processors without bfloat16.

The file is that of :func:`pipeline.fast.exported.write_int8`, beside the network's own.
"""

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.device import pick_device
from pipeline.fast.clip import AT_ONCE
from pipeline.fast.files import load_fast
from pipeline.fast.painter import FastPainter
from pipeline.vgg import tensors_sha256

SIZES = 2
"""Of frames, that stay compiled: that of a video, and that of the previews of ``paint stream``."""


class Int8Painter(FastPainter):
    """A :class:`FastPainter` whose convolutions multiply in 8 bits; the file takes the weights with each frame."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._device = torch.device("cpu")
        self._requests = threading.local()
        self._compiled = lru_cache(SIZES)(lambda height, width: compile_for(path, height, width))
        self.mix(dict.fromkeys(self.names, 1.0))

    def _fold(self, shares: Tensor) -> Callable[[Tensor], Tensor]:
        weights = shares[None].numpy()

        def painted(frame: Tensor) -> Tensor:
            result = self._request(frame.shape[0], frame.shape[1]).infer(
                {"image": frame[None].numpy(), "weights": weights}
            )
            return torch.from_numpy(result[0][0]).mul_(255)

        return painted

    def _request(self, height: int, width: int) -> Any:
        """One of this thread's own, for frames of a size."""
        compiled = self._compiled(height, width)
        if getattr(self._requests, "compiled", None) is not compiled:
            self._requests.compiled, self._requests.request = compiled, compiled.create_infer_request()
        return self._requests.request


def compile_for(path: Path, height: int, width: int) -> Any:
    """The network for frames (1, height, width, 3), uint8, painted by a thread each; what it paints is in [0, 1]."""
    openvino = import_module("openvino")
    steps = import_module("openvino.preprocess").PrePostProcessor(openvino.Core().read_model(path))
    image, rows, channels = steps.input("image"), openvino.Layout("NHWC"), openvino.Layout("NCHW")
    image.tensor().set_element_type(openvino.Type.u8).set_layout(rows).set_shape([1, height, width, 3])
    image.model().set_layout(channels)
    image.preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    steps.output().model().set_layout(channels)
    steps.output().tensor().set_layout(rows)
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": AT_ONCE}
    return openvino.compile_model(steps.build(), "CPU", hints)


def load_quickest_painter(path: Path) -> FastPainter:
    """The painter of a network's file: in 8 bits where OpenVINO and such a file are there and no GPU, else by torch."""
    network, int8, device = load_fast(path), path.with_name(f"{path.stem}-int8.onnx"), pick_device()
    if device.type == "cpu" and find_spec("openvino") and int8.exists():
        from pipeline.fast.exported import NETWORK, read_metadata  # which takes a second to load

        if read_metadata(int8).get(NETWORK) == tensors_sha256(network.state_dict()):  # else of an earlier network
            return Int8Painter(int8, network.names)
    return FastPainter(network, device)
