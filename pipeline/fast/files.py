"""The file of a :class:`FastNetwork`: safetensors in half precision, which says what it holds."""

import json
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from pipeline.console import UserError
from pipeline.fast.network import FastNetwork, Widths
from pipeline.vgg import load_tensors, save_tensors

FORMAT = "fast-painter"
VERSION = "1"
LARGEST = {"fine": 256, "coarse": 512, "blocks": 16}
"""Of the widths: a file from anywhere may not ask for more memory than that takes."""
MOST_STYLES = 256
STYLE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,199}")
NUMBER = re.compile(r"[1-9][0-9]{0,3}")


def save_fast(path: Path, network: FastNetwork) -> None:
    """Write a relaxed network (see :func:`pipeline.fast.network.relax`), whole or not at all."""
    widths = network.widths
    metadata = {"format": FORMAT, "version": VERSION, "styles": json.dumps(network.names)}
    metadata |= {name: str(getattr(widths, name)) for name in LARGEST}
    save_tensors(path, {name: tensor.half() for name, tensor in network.state_dict().items()}, metadata)


def load_fast(path: Path) -> FastNetwork:
    """The network of a file, in float32 on the CPU, for painting.

    Raises :class:`UserError` for a file that is missing, is none of these, or holds what no training writes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            network = _described(path, file.metadata() or {})
    except OSError:
        raise UserError(f"{path} cannot be read; `dvc repro distill` makes such a file") from None
    except SafetensorError:
        raise UserError(f"{path} is not a safetensors file; `dvc repro distill` makes one") from None
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    tensors = load_tensors(path, shapes, "the network that it describes")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return network.requires_grad_(False).eval()


def _described(path: Path, metadata: dict[str, str]) -> FastNetwork:
    """A network without values, of the kind that ``metadata`` speaks of."""
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path} is no network for painting in one pass; `dvc repro distill` makes one")
    if metadata.get("version") != VERSION:
        raise UserError(f"{path} is of another version than {VERSION}; `dvc repro distill` makes one of this")
    try:
        names = json.loads(metadata["styles"])
        sizes = {name: metadata[name] for name in LARGEST}
    except (KeyError, ValueError, RecursionError):
        raise UserError(f"{path} does not say which styles and widths it has; make it anew") from None
    known = isinstance(names, list) and all(isinstance(name, str) and STYLE_NAME.fullmatch(name) for name in names)
    if not known or not 0 < len(set(names)) == len(names) <= MOST_STYLES:
        raise UserError(f"{path} names no styles, too many, or one of them twice; make it anew")
    if not all(NUMBER.fullmatch(size) and int(size) <= LARGEST[name] for name, size in sizes.items()):
        raise UserError(f"{path} is wider than any such network, or has no width; make it anew")
    widths = {name: int(size) for name, size in sizes.items()}
    if widths["fine"] % 2:
        raise UserError(f"{path} has an odd number of channels where it should be even; make it anew")
    with torch.device("meta"):  # values come from the file
        return FastNetwork(Widths(**widths), names)
