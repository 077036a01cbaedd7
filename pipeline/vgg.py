"""The one network: VGG16 with a frozen trunk (blocks 1 to 4), a trained block 5, a small head and named taps.

Images are RGB in [0, 1], shape (N, 3, H, W). The network itself works on the scale its weights were trained on,
0 to 255 less the mean (Simonyan and Zisserman 2014), so losses on its taps have the magnitudes of the papers.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pipeline.console import UserError
from pipeline.files import replacing

MEAN_RGB = (123.68, 116.779, 103.939)
CHANNELS = {1: (64, 2), 2: (128, 2), 3: (256, 3), 4: (512, 3), 5: (512, 3)}
"""Block: output channels and number of convolutions."""
CONVOLUTIONS = tuple(f"conv{block}_{i}" for block, (_, depth) in CHANNELS.items() for i in range(1, depth + 1))
TRUNK_STRIDE_PX = 16
"""Side of the square of pixels that one position of the trunk's output stands for."""
FLOATS = {"F32", "F16", "BF16"}
"""As safetensors calls what a network's file holds."""


class VGG16(nn.Module):
    """VGG16 as a binary classifier: positive logits mean painting.

    The head takes log(1 + mean over positions of relu5_3), dropout, and one linear layer. With ``first_block=5`` the
    trunk is left out, and :meth:`classify` takes features that were computed before.
    """

    mean: Tensor

    def __init__(self, dropout: float = 0.0, *, first_block: int = 1) -> None:
        super().__init__()
        channels_in = 3 if first_block == 1 else CHANNELS[first_block - 1][0]
        for block in range(first_block, 6):
            channels, depth = CHANNELS[block]
            for i in range(1, depth + 1):
                self.add_module(f"conv{block}_{i}", nn.Conv2d(channels_in, channels, 3, padding=1))
                channels_in = channels
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels_in, 1)
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(3, 1, 1), persistent=False)

    def preprocess(self, images: Tensor) -> Tensor:
        """RGB in [0, 1] to the input of ``conv1_1``, in the precision of the weights."""
        pixels = images * 255 - self.mean
        return pixels.to(self.get_parameter("conv1_1.weight").dtype, memory_format=torch.channels_last)

    def block(self, number: int, x: Tensor) -> Tensor:
        """The convolutions of one block, without its pooling."""
        for i in range(1, CHANNELS[number][1] + 1):
            x = self.get_submodule(f"conv{number}_{i}")(x).relu_()
        return x

    def trunk(self, images: Tensor) -> Tensor:
        """Blocks 1 to 4 with their pooling: images (N, 3, H, W) to features (N, 512, H // 16, W // 16)."""
        x = self.preprocess(images)
        for block in range(1, 5):
            x = torch.max_pool2d(self.block(block, x), 2)
        return x

    def pool(self, features: Tensor) -> Tensor:
        """Block 5 and what the head sees of it: features (N, 512, h, w) to (N, 512), 0 or more."""
        # The logarithm keeps a few strongly excited channels from outvoting the rest on pictures of another kind.
        return self.block(5, features.to(self.head.weight.dtype)).mean(dim=(2, 3)).log1p()

    def classify(self, features: Tensor) -> Tensor:
        """Block 5 and the head: features (N, 512, h, w) to logits (N,)."""
        logits: Tensor = self.head(self.dropout(self.pool(features)))
        return logits.squeeze(1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to logits (N,)."""
        return self.classify(self.trunk(images))

    def taps(self, images: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Activations after the named layers, such as ``relu4_2``; nothing above the highest is computed."""
        last = max(layers)
        x = self.preprocess(images)
        found: dict[str, Tensor] = {}
        for block, (_, depth) in CHANNELS.items():
            for i in range(1, depth + 1):
                x = self.get_submodule(f"conv{block}_{i}")(x).relu_()
                if (name := f"relu{block}_{i}") in layers:
                    found[name] = x
                if name == last:
                    return found
            x = torch.max_pool2d(x, 2)
        raise ValueError(f"no such layer: {last}")

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that fine-tuning changes: block 5 and the head."""
        return {name: p for name, p in self.named_parameters() if name.startswith(("conv5_", "head."))}

    def cast_trunk(self, dtype: torch.dtype) -> Self:
        """Blocks 1 to 4 in ``dtype``; block 5 and the head stay in the precision they were trained in."""
        trainable = self.trainable()
        for name, parameter in self.named_parameters():
            if name not in trainable:
                parameter.data = parameter.data.to(dtype)
        return self.to(memory_format=torch.channels_last)

    def freeze_trunk(self) -> Self:
        """Exclude blocks 1 to 4 from every gradient."""
        trainable = self.trainable()
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in trainable)
        return self


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hash of names, shapes and float32 values, whatever the file that carried them."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{list(values.shape)}".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all."""
    data = save({name: t.detach().to("cpu").contiguous() for name, t in tensors.items()}, dict(metadata))
    with replacing(path) as temporary:  # not by save_file, for which a full disk is no OSError
        temporary.write_bytes(data)


def load_network(weights: Path, model: Path | None = None, *, dropout: float = 0.0) -> VGG16:
    """VGG16 from the convolutions in ``weights`` and, if given, the fine-tuned block 5 and head in ``model``.

    Raises :class:`UserError` as :func:`load_tensors` does.
    """
    network = VGG16(dropout)
    tensors = load_convolutions(weights)
    if model is not None:
        shapes = {name: parameter.shape for name, parameter in network.trainable().items()}
        tensors |= load_tensors(model, shapes, "block 5 and head")
    network.load_state_dict(tensors, strict=False)
    return network.freeze_trunk().eval()


def load_convolutions(path: Path) -> dict[str, Tensor]:
    """The convolutions of VGG16 in a file; raises :class:`UserError` as :func:`load_tensors` does."""
    with torch.device("meta"):
        parameters = VGG16().named_parameters()
    return load_tensors(path, {name: each.shape for name, each in parameters if name[:4] == "conv"}, "VGG16")


def load_top(weights: Path, *, dropout: float = 0.0) -> VGG16:
    """Block 5 as it is in ``weights``, under a head that answers 0; what training starts from."""
    network = VGG16(dropout, first_block=5)
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    block5 = {n: p for n, p in load_network(weights).trainable().items() if not n.startswith("head.")}
    network.load_state_dict(block5, strict=False)
    return network.to(memory_format=torch.channels_last)


def load_metadata(path: Path) -> dict[str, str]:
    """What the writer of a safetensors file said about it."""
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def load_tensors(path: Path, shapes: Mapping[str, Sequence[int]], owner: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name; no others are read into memory.

    Raises :class:`UserError` for a file that is missing, is something else, such as a pickle, or does not hold exactly
    those that ``owner`` has: of these ``shapes``, and of floating-point numbers.
    """
    again = "delete it and run `dvc repro`"
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, no dict
            if found.keys() != shapes.keys():
                raise UserError(f"{path} does not hold the tensors of {owner}; {again}")
            if any(tuple(found[name].get_shape()) != tuple(shape) for name, shape in shapes.items()):
                raise UserError(f"{path} holds tensors of other shapes than those of {owner}; {again}")
            if not {each.get_dtype() for each in found.values()} <= FLOATS:
                raise UserError(f"{path} holds tensors of another type than those of {owner}; {again}")
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in shapes}
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro` makes it") from None
    except (OSError, SafetensorError):
        raise UserError(f"{path} is not a safetensors file that can be read; {again}") from None
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise UserError(f"{path} has values that are not numbers; {again}")
    return tensors
