"""Train a :class:`FastNetwork`: to look like its styles and the photograph, and to paint what moves as it did before.

Temporal loss: Gao et al., "ReCoNet: Real-time Coherent Video Style Transfer Network" (2018), of its output; without
its luminance, for here the network evens out exposure. The motion is that of :mod:`pipeline.fast.pairs`, and none is
needed to paint.
"""

import hashlib
import logging
import math
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader
from tqdm import tqdm

from pipeline.checkpoints import finished_epochs
from pipeline.console import UserError, progress
from pipeline.device import loader_workers, pick_device
from pipeline.fast.judge import Judge
from pipeline.fast.network import FastNetwork
from pipeline.fast.pairs import Consecutive, Pair, Pairs
from pipeline.files import replacing
from pipeline.images import contact_sheet
from pipeline.motion import warp
from pipeline.painting.losses import temporal_loss, total_variation
from pipeline.parallel import ALONE, Share, SharedBatches, fit
from pipeline.params import Distill
from pipeline.tables import write_table
from pipeline.tensors import to_pixels

TERMS = ("content", "style", "temporal", "tv")
CURVE_COLUMNS = ("step", "loss", *TERMS, "seconds")
SETTLING = 0.3
"""Share of the steps in which the temporal weight rises from 0. A network that is held from the start never begins to
paint strokes: those of a beginner flicker."""
LARGEST_GRADIENT = 1.0
"""Norm to which the gradient of a step is cut."""
WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
STYLE_RATE = 5.0
"""How many times faster scales and shifts learn: they are few, and each of them belongs to one style alone."""
CODE = [
    *(Path(__file__).with_name(f"{name}.py") for name in ("judge", "network", "pairs", "training")),
    Path(__file__).parents[1] / "parallel.py",
]

log = logging.getLogger(__name__)


class Distiller(pl.LightningModule):
    """Trains the parameters of ``network`` that require a gradient: Adam, one cycle.

    The last styles of the network are those that the judge knows; pairs number them from 0.
    """

    def __init__(self, network: FastNetwork, judge: Judge, settings: Distill) -> None:
        super().__init__()
        self.network = network
        self._judge = judge  # no module: it is neither trained nor kept in checkpoints
        self._settings = settings

    def training_step(self, pair: Pair) -> Tensor:
        """Loss of a batch of pairs."""
        terms = self.terms(pair)
        weights = {name: getattr(self._settings, f"{name}_weight") for name in TERMS}
        weights["temporal"] *= min(1.0, self.global_step / (SETTLING * self._settings.steps))
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        logged = {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}
        self.log_dict(logged, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(pair.style))
        return loss

    def terms(self, pair: Pair) -> dict[str, Tensor]:
        """What is wrong with the two moments as they are painted, not yet weighted."""
        styles = len(self.network.names)
        weights = one_hot(pair.style + styles - self._judge.count, styles).to(pair.frame.dtype)
        both = torch.cat((pair.frame, pair.moved)).contiguous(memory_format=torch.channels_last)
        frame, moved = self.network(both, weights.repeat(2, 1)).chunk(2)
        content, style = self._judge.errors(frame, pair.frame, pair.style)
        carried, _ = warp(frame, pair.flow, fill=frame.new_zeros(3))
        temporal = temporal_loss(moved, carried, pair.visible)
        return dict(zip(TERMS, (content, style, temporal, total_variation(frame)), strict=True))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam; the learning rate rises to ``learning_rate`` and falls to almost 0, changing with every step."""
        rate = self._settings.learning_rate
        styles, shared = self.network.styles.parameters(), self.network.shared()
        rates = {STYLE_RATE * rate: styles, rate: shared}
        groups = [{"params": [each for each in parameters if each.requires_grad]} for parameters in rates.values()]
        optimizer = torch.optim.Adam(groups, lr=rate, betas=(0.9, 0.99), fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=list(rates), total_steps=self._settings.steps, pct_start=WARM_UP, cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a training writes on its way, into ``folder``, and what of: ``samples`` (N, 3, H, W) are painted.

    ``fingerprint`` names all that decides the result: a run that was stopped is continued if it is still the same.
    """

    folder: Path
    samples: Tensor
    fingerprint: str

    @property
    def last(self) -> Path:
        """The checkpoint of the last whole epoch."""
        return self.folder / "last.ckpt"

    def sheet(self, step: int) -> Path:
        """The sheet of samples after a step."""
        return self.folder / f"step-{step:06}.png"


class History(pl.Callback):
    """The curve and a sheet of samples, epoch by epoch; ``bar`` counts steps. The checkpoint keeps the curve."""

    def __init__(self, network: FastNetwork, run: Run, bar: "tqdm[Any]") -> None:
        self.rows: list[dict[str, float]] = []
        self._network = network
        self._run = run
        self._bar = bar
        self._started = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"fingerprint": self._run.fingerprint, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the curve of the run that wrote the checkpoint."""
        self.rows = state_dict["rows"]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Move the progress bar."""
        self._bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add to the curve and paint the samples; raises :class:`UserError` for a loss that is not a number."""
        terms = {name: float(trainer.callback_metrics[name]) for name in CURVE_COLUMNS[1:-1]}
        step = trainer.global_step
        if not all(map(math.isfinite, terms.values())):
            raise UserError(f"the loss before step {step} is not a number; lower distill.learning_rate")
        self.rows.append({"step": step, **terms, "seconds": round(time.monotonic() - self._started, 3)})
        if trainer.is_global_zero:
            write_table(self._run.folder / "curve.csv", CURVE_COLUMNS, self.rows)
            write_sheet(self._run.sheet(step), self._network, self._run.samples.to(pl_module.device))
        described = ", ".join(f"{name} {terms[name]:.4g}" for name in CURVE_COLUMNS[1:-1])
        log.info("step %d: %s, %.1f s", step, described, self.rows[-1]["seconds"])


def distill(
    network: FastNetwork,
    judge: Judge,
    pairs: Pairs,
    run: Run,
    settings: Distill,
    share: Share = ALONE,
) -> list[dict[str, float]]:
    """Train ``network`` in place, or go on with a training that was stopped; returns the curve, but not in a helper.

    Raises :class:`UserError` for a loss that is not a number.
    """
    finished = finished_epochs(run.last, run.fingerprint)
    if finished:
        log.info("continuing after step %d", finished * settings.checkpoint_steps)
    elif share.leads:
        shutil.rmtree(run.folder, ignore_errors=True)
    sampler = Consecutive(settings.checkpoint_steps * settings.batch_size, finished)
    batches = SharedBatches(sampler, settings.batch_size, share)
    workers = loader_workers() if pick_device().type == "cuda" else 0  # beside a step on a CPU, a pair takes no time
    busy = workers > 0
    loader = DataLoader(pairs, batch_sampler=batches, num_workers=workers, persistent_workers=busy, pin_memory=busy)
    done = finished * settings.checkpoint_steps
    bar = progress(total=settings.steps, initial=done, unit="step", description="distill", shown=share.leads)
    history = History(network, run, bar)
    checkpoint = ModelCheckpoint(run.folder, run.last.stem, enable_version_counter=False, save_on_train_epoch_end=True)
    module = Distiller(network.train().to(memory_format=torch.channels_last), judge, settings)
    with bar, warnings.catch_warnings():
        # Warping has no deterministic gradient on a GPU: two trainings there differ by rounding.
        warnings.filterwarnings("ignore", "grid_sampler_2d_backward_cuda does not have a deterministic")
        fit(
            module,
            loader,
            share=share,
            resume=run.last if finished else None,
            max_epochs=settings.steps // settings.checkpoint_steps,
            gradient_clip_val=LARGEST_GRADIENT,
            callbacks=[history, checkpoint],
        )
    network.cpu()
    return history.rows


@torch.no_grad()
def write_sheet(path: Path, network: FastNetwork, samples: Tensor) -> None:
    """Pictures (N, 3, H, W) in a row, and below them the same in each of the styles."""
    tiles = [(picture, "photograph") for picture in samples]
    for name, weights in zip(network.names, torch.eye(len(network.names), device=samples.device), strict=True):
        tiles += [(picture, name) for picture in network(samples, weights.expand(len(samples), -1))]
    sheet = contact_sheet(
        [(Image.fromarray(to_pixels(picture)), name) for picture, name in tiles], len(samples), samples.shape[3]
    )
    with replacing(path) as temporary:
        sheet.save(temporary, quality=90)


def fingerprint(settings: Distill, files: Sequence[Path]) -> str:
    """Hash of all that decides a training: settings, the names and contents of ``files``, and this code."""
    digest = hashlib.sha256(str(settings).encode())
    for path in (*CODE, *files):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()
