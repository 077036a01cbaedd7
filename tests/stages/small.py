"""A stage as a command, with the small VGG16 of the tests in float32: ``python -m tests.stages.small finetune``."""

import argparse
import importlib
import os
import signal
from collections.abc import Sequence

import pytorch_lightning as pl
import torch

from pipeline import device, vgg
from pipeline.console import run
from pipeline.finetuning import History
from tests.networks import SMALL


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stage")
    parser.add_argument("--die-in-epoch", type=int, help="kill the process of rank 1")
    arguments = parser.parse_args(argv)

    def die(self: History, trainer: pl.Trainer, *_: object) -> None:
        if (trainer.current_epoch, trainer.global_rank) == (arguments.die_in_epoch, 1):
            os.kill(os.getpid(), signal.SIGKILL)

    if arguments.die_in_epoch is not None:
        setattr(History, "on_train_batch_end", die)  # noqa: B010
    vgg.CHANNELS.update(SMALL)
    vars(device)["network_dtype"] = lambda _: torch.float32
    torch.set_num_threads(1)
    importlib.import_module(f"pipeline.stages.{arguments.stage}").main([])


if __name__ == "__main__":
    run(main)
