"""A stage as a command, with the small VGG16 of the tests in float32: ``python -m tests.stages.small finetune``."""

import importlib
from collections.abc import Sequence

import torch

from pipeline import device, vgg
from pipeline.console import run
from tests.networks import SMALL


def main(argv: Sequence[str]) -> None:
    vgg.CHANNELS.update(SMALL)
    vars(device)["network_dtype"] = lambda _: torch.float32
    torch.set_num_threads(1)
    importlib.import_module(f"pipeline.stages.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    run(main)
