"""Networks with random weights, and the little files that stages of the classifier start from."""

import zlib
from collections.abc import Mapping, Sequence
from itertools import cycle, product
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from torch import nn

from pipeline.caching import COLUMNS, FEATURES, FINGERPRINT, INDEX
from pipeline.files import write_text
from pipeline.tables import write_table
from pipeline.vgg import CHANNELS, CONVOLUTIONS, VGG16, save_tensors

SMALL = {block: (8, depth) for block, (_, depth) in CHANNELS.items()}
"""Blocks of few channels, to patch ``pipeline.vgg.CHANNELS`` with where the size of the network does not matter."""
ACCEPTED_COLUMNS = ("path", "source", "label", "split")


def random_network(seed: int = 0) -> VGG16:
    """VGG16 whose activations neither vanish nor explode (He et al. 2015)."""
    torch.manual_seed(seed)
    network = VGG16()
    for name, parameter in network.named_parameters():
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter)
        elif name != "head.bias":
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


def write_random_weights(path: Path, seed: int = 0) -> VGG16:
    """A file like ``vgg16.safetensors``; returns the network whose convolutions it holds."""
    network = random_network(seed)
    state = network.state_dict()
    save_tensors(path, {name: state[name] for name in state if name.split(".")[0] in CONVOLUTIONS}, {})
    return network


def write_images(
    path: Path, splits: Mapping[str, int], side_px: int = 48, sources: Sequence[str] = ("sample",)
) -> list[dict[str, str]]:
    """Paintings (noise) and photographs (ramps), so many a split and source, and the table of them at ``path``."""
    random = np.random.default_rng(0)
    rows = []
    for source, (split, count) in product(sources, splits.items()):
        for index in range(2 * count):
            label = ("painting", "photo")[index % 2]
            ramp = np.linspace(0, random.integers(100, 250), side_px)[:, None, None] * np.ones((side_px, side_px, 3))
            pixels = random.uniform(0, 255, ramp.shape) if label == "painting" else ramp
            image = Path("data/images") / source / label / f"{split}-{index}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(image)
            rows.append({"path": str(image), "source": source, "label": label, "split": split})
    write_table(path, ACCEPTED_COLUMNS, rows)
    return rows


def write_features(
    folder: Path, images: Sequence[Mapping[str, str]], *, views: int = 2, turned: str = "", seed: int = 0
) -> None:
    """A finished cache of made-up features (8, 2, 2): paintings excite the even channels, photographs the odd ones.

    Training images have so many ``views``, and their photographs an imitation: by turns filtered, and styled by the
    source that comes next. The split ``turned`` is the other way.
    """
    random = np.random.default_rng(seed)
    sources = sorted({image["source"] for image in images})
    rows: list[dict[str, object]] = []
    styled = cycle([False, True])
    for image in images:
        training = image["split"] == "train"
        rows += [{**image, "view": view, "kind": "image"} for view in range(views if training else 1)]
        if training and image["label"] == "photo":
            imitation = {**image, "label": "painting", "view": 1}
            lender = sources[(sources.index(image["source"]) + 1) % len(sources)]
            rows.append(imitation | ({"kind": "styled", "lender": lender} if next(styled) else {"kind": "filtered"}))
    features = random.uniform(0, 1, (len(rows), 8, 2, 2))
    for values, row in zip(features, rows, strict=True):
        values[int((row["label"] == "photo") != (row["split"] == turned)) :: 2] *= 3
    cached = features.astype(np.float16)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / FEATURES, cached)
    index = [
        {"row": number, **row, "crc32": f"{zlib.crc32(values.tobytes()):08x}"}
        for number, (row, values) in enumerate(zip(rows, cached, strict=True))
    ]
    write_table(folder / INDEX, COLUMNS, index)
    write_text(folder / FINGERPRINT, f"{zlib.crc32(cached.tobytes())}")


def set_params(changes: Mapping[str, object], path: Path = Path("params.yaml")) -> None:
    """Change entries of ``params.yaml``, each named as ``stage.parameter``."""
    params = yaml.safe_load(path.read_text())
    for name, value in changes.items():
        stage, parameter = name.split(".")
        params[stage][parameter] = value
    path.write_text(yaml.safe_dump(params))
