"""Checkpoints of Lightning that are whole, and hold nothing but tensors and numbers; what a run goes on from."""

import io
import logging
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from pipeline.console import UserError
from pipeline.files import replacing

log = logging.getLogger(__name__)


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all: Lightning moves its own here from what may be another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint``; raises :class:`OSError` for a full disk, which ``torch.save`` alone does not."""
        data = io.BytesIO()
        torch.save(checkpoint, data)
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(data.getbuffer())


def finished_epochs(checkpoint: Path, fingerprint: str) -> int:
    """Epochs behind ``checkpoint``; 0 unless it is there, whole, and of a run with the same ``fingerprint``.

    Both are in the state of a callback ``History``: a row for each epoch, and the fingerprint.
    """
    if not checkpoint.exists():
        return 0
    try:
        match load_checkpoint(checkpoint):
            case {"callbacks": {"History": {"rows": [*rows], "fingerprint": str(of)}}}:
                return len(rows) if of == fingerprint else 0
    except UserError:
        pass
    log.warning("%s cannot be read; training starts anew", checkpoint)
    return 0


def fit_after(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    training: Iterable[Any],
    validating: Iterable[Any] | None = None,
    *,
    checkpoint: Path | None,
) -> None:
    """Train, from ``checkpoint`` on if there is one; raises :class:`UserError` for one that does not fit."""
    restored = _Restored()
    trainer.callbacks.append(restored)  # type: ignore[attr-defined]
    try:
        trainer.fit(module, training, validating, ckpt_path=checkpoint, weights_only=True)
    except (UserError, OSError):
        raise
    except Exception:  # what does not fit fails in many ways
        if checkpoint is None or restored.yes:
            raise
        raise UserError(f"{checkpoint} is of another network; delete {checkpoint.parent} and run this again") from None


class _Restored(pl.Callback):
    """Whether the training has begun, with whatever it goes on from."""

    yes = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """It has."""
        self.yes = True


def load_state(module: nn.Module, path: Path, prefix: str) -> None:
    """Give ``module`` the values that a checkpoint has under ``prefix``; raises :class:`UserError` unless they fit."""
    state: Any = load_checkpoint(path).get("state_dict")
    expected = module.state_dict(prefix=prefix)
    named = isinstance(state, dict) and state.keys() == expected.keys()
    if not named or not all(_fits(state[name], tensor) for name, tensor in expected.items()):
        raise UserError(f"{path} is of another network, or of none; delete {path.parent} and run this again")
    module.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in state.items()})


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, its tensors still on the disk; raises :class:`UserError` for a file that is missing or not one."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load takes what has another CRC-32 than it says
            damaged = archive.testzip()
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # a file that was cut short, or is no checkpoint at all, fails in many ways
        damaged, checkpoint = path.name, None
    if damaged or not isinstance(checkpoint, dict):
        raise UserError(f"{path} cannot be read; delete {path.parent} and run this again")
    return checkpoint


def _fits(value: object, tensor: Tensor) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.is_floating_point()
        and value.shape == tensor.shape
        and bool(value.isfinite().all())
    )
