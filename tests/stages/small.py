"""A stage as a command, with the small VGG16 of the tests: ``python -m tests.stages.small finetune --float32``."""

import argparse
import importlib
import os
import signal
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch

from pipeline import device, training, vgg
from pipeline.console import run
from pipeline.finetuning import History
from pipeline.training import Task
from pipeline.vgg import VGG16
from tests.networks import SMALL


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stage")
    parser.add_argument("--die-in-epoch", type=int, help="kill one of the processes")
    parser.add_argument("--rank", type=int, default=1, help="of the process that is killed")
    parser.add_argument("--die-in-task", help="kill the process before this training")
    parser.add_argument("--float32", action="store_true", help="whatever this machine is fastest in")
    arguments = parser.parse_args(argv)

    def die(self: History, trainer: pl.Trainer, *_: object) -> None:
        if (trainer.current_epoch, trainer.global_rank) == (arguments.die_in_epoch, arguments.rank):
            os.kill(os.getpid(), signal.SIGKILL)

    if arguments.die_in_epoch is not None:
        setattr(History, "on_train_batch_end", die)  # noqa: B010

    def finetune(network: VGG16, task: Task, *rest: Any) -> Any:
        if task.description == arguments.die_in_task:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(network, task, *rest)

    whole = training.finetune
    vars(training)["finetune"] = finetune
    vgg.CHANNELS.update(SMALL)
    if arguments.float32:
        vars(device)["network_dtype"] = lambda _: torch.float32
    torch.set_num_threads(1)
    importlib.import_module(f"pipeline.stages.{arguments.stage}").main([])


if __name__ == "__main__":
    run(main)
