"""Train with Lightning on one device, or on several that share each batch, of one machine or of many.

For each further device Lightning starts the same command again, unless torchrun has. These helpers train along and end
with the training: the process of rank 0 alone prepares what is trained, and writes. Each step sees the batch that one
device alone would see, so the losses are the same but for rounding.
"""

import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.utils.data import BatchSampler, DataLoader, Sampler

from pipeline.checkpoints import WholeCheckpoints, fit_after
from pipeline.console import UserError
from pipeline.device import pick_device
from pipeline.params import Machine


@dataclass(frozen=True)
class Share:
    """What falls to the process of this ``rank`` among all those on a machine; the first one leads."""

    machine: Machine = Machine()  # noqa: RUF009
    rank: int = 0

    @classmethod
    def of(cls, machine: Machine) -> Self:
        """That of this process, as torchrun or Lightning has told it by the environment.

        It is given a GPU of its own; a helper keeps quiet, and ends with the process that started it. Raises
        :class:`UserError` for more devices than there are.
        """
        if machine.processes == 1:
            return cls(machine)
        found = torch.cuda.device_count() if pick_device().type == "cuda" else machine.devices
        if machine.devices > found:
            raise UserError(f"machine.devices is {machine.devices}, and there are {found} GPUs here")
        node, local, rank = (int(os.environ.get(name, -1)) for name in ("NODE_RANK", "LOCAL_RANK", "RANK"))
        share = cls(machine, rank if rank >= 0 else max(node, 0) * machine.devices + max(local, 0))
        if pick_device().type == "cuda":
            torch.cuda.set_device(max(local, 0))
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        if not share.leads:
            logging.getLogger().setLevel(logging.WARNING)
            threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        return share

    @property
    def processes(self) -> int:
        """That train together."""
        return self.machine.processes

    @property
    def leads(self) -> bool:
        """Whether this process prepares and writes."""
        return self.rank == 0

    def check(self, batch_size: int, name: str) -> None:
        """Raise :class:`UserError` if the processes cannot share batches of the size that the setting ``name`` has."""
        if batch_size % self.processes:
            raise UserError(
                f"{name} is {batch_size}, which {self.processes} processes cannot share evenly; change it, or "
                "machine.devices and machine.num_nodes"
            )


ALONE = Share()


def _end_with(parent: int) -> None:
    """One that waits for the others would do so for half an hour."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


class SharedBatches(BatchSampler):
    """The rows of one process of each batch of ``batch_size``: every so many-th.

    A last batch that cannot be shared evenly is done by all of them alike, or, if it is not ``trained`` on, by those
    for which there are rows.
    """

    def __init__(self, sampler: Sampler[int], batch_size: int, share: Share, *, trained: bool = True) -> None:
        super().__init__(sampler, batch_size, drop_last=False)
        self._share = share
        self._trained = trained

    def __iter__(self) -> Iterator[list[int]]:
        for batch in super().__iter__():
            alike = self._trained and len(batch) % self._share.processes
            if rows := batch if alike else batch[self._share.rank :: self._share.processes]:
                yield rows

    def __len__(self) -> int:
        last = len(self.sampler) % self.batch_size  # type: ignore[arg-type]
        return super().__len__() - (not self._trained and 0 < last <= self._share.rank)


def fit(
    module: pl.LightningModule,
    training: "DataLoader[Any]",
    validating: "DataLoader[Any] | None" = None,
    *,
    share: Share,
    resume: Path | None,
    **options: Any,
) -> None:
    """Train ``module``, after the checkpoint ``resume`` if it is given; ``options`` are those of Lightning's trainer.

    A helper does not return from it. Raises :class:`UserError` for another process that died.
    """
    trainer = pl.Trainer(
        accelerator=pick_device().type,
        devices=share.machine.devices,
        num_nodes=share.machine.num_nodes,
        strategy=share.machine.strategy,
        use_distributed_sampler=False,
        plugins=[WholeCheckpoints()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        deterministic="warn",
        **options,
    )
    try:
        with warnings.catch_warnings():
            # A run is resumed from the folder that Lightning would rather see empty; the last is Lightning's own.
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            warnings.filterwarnings("ignore", ".*does not have many workers")
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")
            fit_after(trainer, module, training, validating, checkpoint=resume)
    except SIGTERMException:
        sys.exit(143)  # it would exit with 0, as if the training were complete
    except RuntimeError as error:
        if not isinstance(error, torch.distributed.DistError) and "gloo" not in str(error):
            raise
        if not share.leads:
            sys.exit(1)
        raise UserError(
            "a process that trained along has died, for want of memory if it does not say why; run this again, it goes "
            "on after the last whole epoch"
        ) from None
    if not share.leads:
        sys.exit()
