"""Write the small network as ONNX files that devices and browsers run, and say how much 8 bits change.

Reads ``data/models/fast.safetensors``, ``data/prepare/accepted.csv`` and a few photographs of the validation split.
Writes ``data/models/fast.onnx`` (float32), ``data/models/fast-int8.onnx`` (convolutions in 8 bits) and
``data/metrics/export.json``: the bytes of each, and the differences of 8 bits to float32, in levels of 255.

    python -m pipeline.stages.export
"""

import argparse
import logging
import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.console import UserError, run
from pipeline.fast.exported import Session, write_float, write_int8
from pipeline.fast.files import load_fast
from pipeline.fast.photographs import find_photographs, show
from pipeline.files import write_json

ACCEPTED = Path("data/prepare/accepted.csv")
MODEL = Path("data/models/fast.safetensors")
FLOAT = Path("data/models/fast.onnx")
INT8 = Path("data/models/fast-int8.onnx")
METRICS = Path("data/metrics/export.json")
MEASURED, CALIBRATED = 4, 8
"""Photographs; the more are calibrated on, the fewer activations are cut off."""
SIDE_PX = 256
MOST_LEVELS = 0.5
"""That ONNX Runtime may paint otherwise than torch, of 255."""
LEAST = 1e-6
"""Mean square of levels that counts as a difference."""

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Export, and compare the files with the network and with each other."""
    argparse.ArgumentParser(prog="export", description=__doc__.splitlines()[0]).parse_args(argv)
    network = load_fast(MODEL)
    photographs = show(find_photographs(ACCEPTED, "validation"), MEASURED + CALIBRATED, SIDE_PX)
    measured = photographs[:MEASURED]
    write_float(FLOAT, network)
    write_int8(INT8, FLOAT, photographs[MEASURED:] if len(photographs) > MEASURED else photographs)

    mixtures = torch.eye(len(network.names) + 1, len(network.names))
    mixtures[-1] = 1 / len(network.names)
    float32, int8 = Session(FLOAT), Session(INT8)
    exported, reduced = [], []
    for image, weights in product(torch.split(measured, 1), torch.split(mixtures, 1)):
        painted = float32.paint(image, weights)
        exported.append(difference(painted, network(image, weights)))
        reduced.append(difference(int8.paint(image, weights), painted))
    if max(each.largest for each in exported) > MOST_LEVELS:
        raise UserError(f"{FLOAT} does not paint as {MODEL} does; install the versions of constraints.txt")
    metrics = {
        "float_bytes": FLOAT.stat().st_size,
        "int8_bytes": INT8.stat().st_size,
        "int8_largest_levels": round(max(each.largest for each in reduced), 2),
        "int8_mean_levels": round(fmean(each.mean for each in reduced), 3),
        "int8_psnr_db": round(10 * math.log10(255**2 / max(LEAST, fmean(each.mean_square for each in reduced))), 2),
    }
    write_json(METRICS, metrics)
    log.info("%s: %s bytes, %s dB from float32", INT8, metrics["int8_bytes"], metrics["int8_psnr_db"])


class Difference(NamedTuple):
    """Of two images, in levels of 255."""

    largest: float
    mean: float
    mean_square: float


def difference(one: Tensor, other: Tensor) -> Difference:
    """Of images in [0, 1]."""
    levels = 255 * (one - other).abs()
    return Difference(float(levels.max()), float(levels.mean()), float(levels.square().mean()))


if __name__ == "__main__":
    run(main)
