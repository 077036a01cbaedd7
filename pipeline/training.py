"""Fine-tune block 5 and the head on some rows of the cached features: linear probe first, then both, then calibration.

Fine-tuning from a head that already fits keeps the features of block 5 from being distorted on the way, which costs
accuracy on sources that were not trained on (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution").
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

from pipeline.caching import Cache
from pipeline.checkpoints import finished_epochs, load_state
from pipeline.console import UserError, progress
from pipeline.device import network_dtype, pick_device
from pipeline.finetuning import Finetuner, History, RandomRows, Rows, load_rows
from pipeline.parallel import ALONE, Share, fit
from pipeline.params import Finetune
from pipeline.probe import fit_probe, fit_temperature
from pipeline.vgg import VGG16, tensors_sha256

BATCH = 64
"""Rows at a time where nothing is trained."""
CODE = [Path(__file__).with_name(f"{name}.py") for name in ("finetuning", "parallel", "probe", "training", "vgg")]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One training: which rows of ``features`` (a .npy file) are trained on, and which choose the epoch.

    ``train`` and ``validation`` are masks (rows,); ``folder`` keeps the checkpoints and the curve, and ``fingerprint``
    names all that decides the result: a run that was stopped is continued if it is still the same.
    """

    features: Path
    rows: Rows
    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    folder: Path
    fingerprint: str
    description: str

    @property
    def best(self) -> Path:
        """The checkpoint of the epoch with the lowest validation loss."""
        return self.folder / "best.ckpt"

    @property
    def last(self) -> Path:
        """The checkpoint of the last whole epoch."""
        return self.folder / "last.ckpt"

    @property
    def curve(self) -> Path:
        """Loss and accuracy of every epoch."""
        return self.folder / "training.csv"


def fingerprint(cache: Cache, network: VGG16, *settings: object, code: Sequence[Path] = ()) -> str:
    """Hash of all that decides a training: features, where ``network`` starts, settings, this code and ``code``."""
    digest = hashlib.sha256(f"{settings} {cache.fingerprint} {tensors_sha256(network.state_dict())}".encode())
    for path in (*CODE, *code):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def finetune(
    network: VGG16,
    task: Task,
    pooled: Tensor | None,
    settings: Finetune,
    share: Share = ALONE,
) -> list[dict[str, float]]:
    """Train ``network`` (block 5 and head, as VGG16 has it) in place; returns its curve.

    ``pooled`` is what :func:`pool_features` gave for the plain network, and None in a helper, which does not return.
    Raises :class:`UserError` for a class that is missing and for a loss that is not a number.
    """
    task.rows.require_both_classes(task.train, f"to train on ({task.description})")
    task.rows.require_both_classes(task.validation, f"to validate on ({task.description})")
    finished = finished_epochs(task.last, task.fingerprint)
    if pooled is None:
        pass  # where to start comes from the process that leads
    elif finished:
        log.info("%s: continuing after epoch %d", task.description, finished)
        for unfinished in task.folder.glob(".*.ckpt"):  # of a run that was killed while it wrote
            unfinished.unlink()
    else:
        shutil.rmtree(task.folder, ignore_errors=True)
        start_head(network, task, pooled, settings)
    curve = _fit(network, task, settings, finished, share)
    load_state(network, task.best, prefix="network.")
    return curve


def calibrate(network: VGG16, task: Task) -> float:
    """Divide the head by the temperature that suits the validation rows, which is returned."""
    chosen = np.flatnonzero(task.validation)
    logits = predict_logits(network, task.features, chosen)
    temperature = fit_temperature(logits, torch.from_numpy(task.rows.targets[chosen]))
    scale_head(network, temperature)
    return temperature


def scale_head(network: VGG16, temperature: float) -> None:
    """Divide the network's logits."""
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.div_(temperature)


def start_head(network: VGG16, task: Task, pooled: Tensor, settings: Finetune) -> None:
    """Set the head to the linear probe of the features as they are."""
    shares = torch.from_numpy(task.rows.shares(task.train, settings.imitation_share)).float()
    chosen = shares > 0
    targets = torch.from_numpy(task.rows.targets)
    weight, bias = fit_probe(pooled[chosen], targets[chosen], shares[chosen], settings.probe_l2)
    with torch.no_grad():
        network.head.weight.copy_(weight[None])
        network.head.bias.copy_(bias)


def pool_features(network: VGG16, features: Path, rows: NDArray[np.intp]) -> Tensor:
    """What the head would see of ``rows``, (rows, 512), in their order: all in memory at once, 2 kB a row.

    Raises :class:`UserError` for features that are not numbers.
    """
    pooled = _compute(network, network.pool, features, rows)
    if not pooled.isfinite().all():
        raise UserError(f"{features} has values that are not numbers; delete {features.parent} and run `dvc repro`")
    return pooled


def predict_logits(network: VGG16, features: Path, rows: NDArray[np.intp]) -> Tensor:
    """The network's logits of ``rows``, (rows,), in their order."""
    return _compute(network, network.classify, features, rows)


def _compute(network: VGG16, function: Callable[[Tensor], Tensor], features: Path, rows: NDArray[np.intp]) -> Tensor:
    """What ``function`` of the network gives for ``rows``, in their order, in float32."""
    device = pick_device()
    network.to(device).eval()
    batches = load_rows(features, rows, np.zeros(len(rows), np.float32), BATCH, None)
    found: list[Tensor] = []
    with torch.inference_mode():
        for batch, _ in batches:
            # Not around the loader: autocast does not know the stacking of half-precision rows.
            with torch.autocast(device.type, torch.bfloat16, enabled=network_dtype(device) == torch.bfloat16):
                found.append(function(batch.to(device, memory_format=torch.channels_last)).float().cpu())
    return torch.cat(found)


def _fit(network: VGG16, task: Task, settings: Finetune, finished: int, share: Share) -> list[dict[str, float]]:
    """Train on after ``finished`` epochs until the validation loss no longer falls; returns the rows of the curve."""
    train, validation = np.flatnonzero(task.train), np.flatnonzero(task.validation)
    if len(validation) < share.processes:
        raise UserError(f"{len(validation)} images to validate on are too few for {share.processes} processes")
    targets = task.rows.targets
    images = int((task.train & task.rows.plain).sum())
    shares = task.rows.shares(task.train, settings.imitation_share)[train]
    sampler = RandomRows(shares, images, settings.seed, finished)
    training = load_rows(task.features, train, targets[train], settings.batch_size, sampler, share)
    validating = load_rows(task.features, validation, targets[validation], settings.batch_size, None, share)
    # Two of them, for one that keeps the best writes its "last" only when that is the best.
    checkpoint = partial(ModelCheckpoint, task.folder, enable_version_counter=False, save_on_train_epoch_end=True)
    best = checkpoint(task.best.stem, monitor="validation_loss", save_weights_only=True)
    last = checkpoint(task.last.stem)
    stopping = EarlyStopping("validation_loss", patience=settings.patience_epochs)
    steps = len(training)
    bar = progress(
        total=settings.max_epochs * steps,
        initial=finished * steps,
        unit="step",
        description=task.description,
        shown=share.leads,
    )
    history = History(task.fingerprint, task.curve, bar)
    network.train()
    module = Finetuner(network.to(memory_format=torch.channels_last), settings, images, share)
    with bar:
        fit(
            module,
            training,
            validating,
            share=share,
            resume=task.last if finished else None,
            precision="bf16-mixed" if network_dtype(pick_device()) == torch.bfloat16 else "32-true",
            max_epochs=settings.max_epochs,
            callbacks=[history, stopping, best, last],
        )
    return history.rows
