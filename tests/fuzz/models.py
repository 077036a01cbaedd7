"""Model files: VGG16's weights, the fine-tuned block 5 and head, and the small network that paints in one pass."""

from pathlib import Path
from unittest import mock

from pipeline.classification import load_classifier
from pipeline.fast.files import load_fast, save_fast
from pipeline.fast.network import FastNetwork, Widths, constrain, relax
from pipeline.vgg import load_network, save_tensors
from tests.fuzz import read_as_any
from tests.networks import SMALL, write_random_weights

small = mock.patch("pipeline.vgg.CHANNELS", SMALL)


@small
def originals(folder: Path) -> list[bytes]:
    weights, model, fast = (folder / f"{name}.safetensors" for name in ("weights", "model", "fast"))
    network = write_random_weights(weights)
    save_tensors(model, {name: value.half() for name, value in network.trainable().items()}, {"crop_px": "64"})
    save_fast(fast, relax(constrain(FastNetwork(Widths(fine=4, coarse=6, blocks=1), ("dots", "waves")))))
    return [path.read_bytes() for path in (weights, model, fast)]


@small
def read(path: Path) -> None:
    weights = path.with_name("weights.safetensors")
    read_as_any(
        lambda: load_network(path),
        lambda: load_classifier(weights, path),
        lambda: load_fast(path),
    )
