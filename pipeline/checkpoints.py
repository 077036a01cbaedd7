"""Checkpoints of Lightning that are whole, and hold nothing but tensors and numbers; what a run goes on from."""

import io
import logging
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from pipeline.console import UserError
from pipeline.files import replacing

HISTORY = "History"
"""The callback whose state has the ``rows`` of the finished epochs and the ``fingerprint`` of the run."""

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
    """Epochs behind ``checkpoint``; 0 unless it is there, whole, and of a run with the same ``fingerprint``."""
    if not checkpoint.exists():
        return 0
    try:
        history = load_checkpoint(checkpoint)["callbacks"][HISTORY]
        return len(history["rows"]) if history["fingerprint"] == fingerprint else 0
    except (UserError, KeyError, TypeError):
        log.warning("%s cannot be read; training starts anew", checkpoint)
        return 0


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, its tensors still on the disk; raises :class:`UserError` for a file that is missing or not one."""
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # a file that was cut short, or is no checkpoint at all, fails in many ways
        raise UserError(f"{path} cannot be read; delete {path.parent} and run this again") from None
    return checkpoint
