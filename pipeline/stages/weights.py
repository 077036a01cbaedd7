"""Bring home the convolutions of VGG16 and verify them.

Reads the source that ``weights.source`` names; writes ``data/weights/vgg16.safetensors``.

    python -m pipeline.stages.weights
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.console import run
from pipeline.params import load_params
from pipeline.weights import TENSORS_SHA256, install_weights

DOWNLOADS = Path("data/downloads")
WEIGHTS = Path("data/weights/vgg16.safetensors")

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Install the weights."""
    argparse.ArgumentParser(prog="weights", description=__doc__.splitlines()[0]).parse_args(argv)
    source = load_params().weights.source
    install_weights(source, WEIGHTS, DOWNLOADS)
    log.info("%s from %s, tensors sha256 %s", WEIGHTS, source, TENSORS_SHA256[:12])


if __name__ == "__main__":
    run(main)
