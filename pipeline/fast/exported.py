"""A :class:`FastNetwork` as ONNX files for devices and browsers: in float32, and with convolutions in 8 bits.

Both take ``image`` (1, 3, H, W), RGB in [0, 1] of any size, and ``weights`` (1, styles), which add up to 1, so that
styles mix on the device; ``painted`` is of the size of the image. The metadata entry ``styles`` names the styles as a
JSON list, and ``network`` is the hash of the network. The same network makes the same bytes.
"""

import io
import json
import logging
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quant_pre_process,
    quantize_static,
)
from torch import Tensor
from torch.export import Dim

from pipeline.console import UserError
from pipeline.fast.network import STRIDE_PX, FastNetwork
from pipeline.files import replacing
from pipeline.vgg import tensors_sha256

OPSET = 18
"""The oldest that torch exports to: devices have old runtimes."""
KEPT_PERCENT = 99.999
"""Of the activations that 8 bits can hold."""
STYLES, NETWORK = "styles", "network"
Inputs = dict[str, NDArray[np.float32]]


def write_float(path: Path, network: FastNetwork) -> None:
    """Write the network in float32."""
    for exporter in ("onnx_ir", "onnxscript"):
        logging.getLogger(exporter).setLevel(logging.WARNING)
    image, weights = torch.zeros(1, 3, 2 * STRIDE_PX, 3 * STRIDE_PX), torch.zeros(1, len(network.names))
    program = torch.onnx.export(
        network,
        (image, weights),
        input_names=["image", "weights"],
        output_names=["painted"],
        dynamic_shapes=({2: Dim("height"), 3: Dim("width")}, None),
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None  # noqa: S101, mypy does not know that only the old exporter returns nothing
    metadata = {STYLES: json.dumps(network.names), NETWORK: tensors_sha256(network.state_dict())}
    _write(path, program.model_proto, metadata)


def write_int8(path: Path, exported: Path, photographs: Tensor) -> None:
    """Write what :func:`write_float` wrote with convolutions of 8 bits; ``photographs`` (N, 3, H, W) are calibrated on.

    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018):
    filters have a scale each and use 7 of the bits, activations one for all, of the range that the photographs give
    them in every style. The scales and shifts of the styles, which change with the weights, stay in float32.
    """
    metadata = read_metadata(exported)
    names = json.loads(metadata[STYLES])
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):  # it prints what it does
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
        quant_pre_process(exported, prepared, skip_symbolic_shape=True)  # it knows no operator for our sizes
        quantize_static(
            prepared,
            quantised,
            _Calibration(photographs, len(names)),
            op_types_to_quantize=["Conv", "Pad"],  # else a border is drawn around float32, four times the bytes
            calibrate_method=CalibrationMethod.Percentile,  # what lies outside is cut off, for finer steps within
            extra_options={
                "CalibPercentile": KEPT_PERCENT,
                "CalibStridedMinMax": len(names),  # of any method: so many passes at a time are held in memory
            },
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # processors without VNNI add two products in 16 bits, which 8 bits of each overflow
        )
        _write(path, onnx.load(quantised), metadata)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of an exported network. Raises :class:`UserError` for another file."""
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        raise UserError(f"{path} is damaged, or no ONNX file; write it again, or delete it") from None
    return {entry.key: entry.value for entry in model.metadata_props}


def style_names(path: Path) -> list[str]:
    """The styles of an exported network, in the order of their weights."""
    names: list[str] = json.loads(read_metadata(path)[STYLES])
    return names


class Session:
    """An exported network, to be run on the CPU."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def paint(self, image: Tensor, weights: Tensor) -> Tensor:
        """Image (1, 3, H, W) and weights (1, styles) to the painted image, as :class:`FastNetwork` does."""
        [painted] = self._session.run(None, _inputs(image, weights))
        return torch.from_numpy(painted)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """Every photograph in every style."""

    def __init__(self, photographs: Tensor, styles: int) -> None:
        self._pairs = list(product(torch.split(photographs, 1), torch.split(torch.eye(styles), 1)))

    def __len__(self) -> int:
        return len(self._pairs)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Go on with these."""
        self._inputs = (_inputs(image, weights) for image, weights in self._pairs[start_index:end_index])

    def get_next(self) -> Inputs | None:
        """The next input, as long as there is one."""
        return next(self._inputs, None)


def _inputs(image: Tensor, weights: Tensor) -> Inputs:
    return {"image": image.numpy(), "weights": weights.numpy()}


def _write(path: Path, model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Without what the exporters say of themselves and of the code that the network came from."""
    graph = model.graph
    used = [each for each in model.opset_import if each.domain in {node.domain for node in graph.node}]
    del model.opset_import[:]
    model.opset_import.extend(used)
    for described in (*graph.node, *graph.input, *graph.output, *graph.initializer, graph):
        del described.metadata_props[:]
    del graph.value_info[:]  # sizes of what lies between, in letters that nobody knows
    for value in (*graph.input[:1], *graph.output):
        for dimension, letter in zip(value.type.tensor_type.shape.dim[2:], ("height", "width"), strict=True):
            dimension.dim_param = letter
    onnx.helper.set_model_props(model, dict(metadata))
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
