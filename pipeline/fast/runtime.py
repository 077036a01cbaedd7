"""Which runtime a network's file is painted by: torch on a GPU, elsewhere OpenVINO in 8 bits.

``benchmarks/runtimes.py`` compares them.
"""

from pathlib import Path

from pipeline.device import pick_device
from pipeline.fast.files import load_fast
from pipeline.fast.int8 import Int8Network
from pipeline.fast.painter import FastPainter, torch_painter
from pipeline.vgg import tensors_sha256


def load_fast_painter(path: Path, at_once: int = 1) -> FastPainter:
    """The quickest painter of a file of :func:`pipeline.fast.files.save_fast`; so many threads will use it ``at_once``.

    Without the 8 bits that ``dvc repro export`` writes beside the file, or with those of another network, torch paints.
    """
    network, int8, device = load_fast(path), path.with_name(f"{path.stem}-int8.onnx"), pick_device()
    if device.type == "cpu" and int8.exists():
        from pipeline.fast.exported import NETWORK, read_metadata  # which takes a second to load

        if read_metadata(int8).get(NETWORK) == tensors_sha256(network.state_dict()):
            return FastPainter(network.names, Int8Network(int8, at_once).fold)
    return torch_painter(network, device)
