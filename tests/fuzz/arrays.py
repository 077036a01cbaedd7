"""The cache of features, its index and the optical flow: arrays that are mapped into memory, and their table."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.caching import FEATURES, INDEX, open_features, verify_features
from pipeline.finetuning import Rows
from pipeline.motion import ClipFlow
from tests.fuzz import read_as_any
from tests.networks import write_features, write_images

FLOW = "forward.npy"


def originals(folder: Path) -> list[bytes]:
    write_features(folder, write_images(folder / "accepted.csv", {"train": 2, "validation": 1}))
    flow = ClipFlow.create(folder, 3, 8, 10)
    for array in (flow.forwards, flow.backwards, flow.reliabilities):
        array[:] = 1
    return [(folder / name).read_bytes() for name in (FEATURES, INDEX, FLOW)]


def read(path: Path) -> None:
    read_as_any(*(partial(_read_as, name, load, path) for name, load in LOADERS.items()))


def _read_as(name: str, load: Callable[[Path], None], path: Path) -> None:
    """Put the file in the place of another for as long as it is read."""
    target = path.with_name(name)
    sound = target.read_bytes()
    target.write_bytes(path.read_bytes())
    try:
        load(path.parent)
    finally:
        target.write_bytes(sound)


def _load_features(folder: Path) -> None:
    verify_features(folder)
    cache = open_features(folder)
    assert len(Rows.of(cache).targets) == len(cache.index)


def _load_flow(folder: Path) -> None:
    flow = ClipFlow.open(folder)
    for pair in range(len(flow)):
        assert flow.forward(pair).shape == (*flow.reliability(pair).shape, 2)
        assert flow.backward(pair).shape == flow.forward(pair).shape


LOADERS = {FEATURES: _load_features, INDEX: _load_features, FLOW: _load_flow}
