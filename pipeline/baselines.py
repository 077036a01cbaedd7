"""What the fine-tuned network is compared with: the two steps of the recipe of 2016.

Pictures squashed to 150 px, first a fully connected head on the features of VGG16 as it is, then block 5 and that head
by gradient descent at a rate of 1e-4; no balance of classes or sources, no calibration (Chollet, "Building powerful
image classification models using very little data", The Keras Blog, 2016).
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import RandomSampler

from pipeline.console import UserError, progress
from pipeline.device import network_dtype, pick_device
from pipeline.finetuning import Rows, load_rows
from pipeline.params import Compare
from pipeline.vgg import TRUNK_STRIDE_PX, VGG16

SIDE_PX = 150
HIDDEN_UNITS = 256
DROPOUT = 0.5
HEAD_RATE = 1e-3
"""Of RMSprop."""
RATE, MOMENTUM = 1e-4, 0.9
"""Of stochastic gradient descent."""
BATCH = 32


class Original(nn.Module):
    """Block 5 with its pooling under a head of two layers; takes the trunk's features of squares of ``SIDE_PX``."""

    def __init__(self, top: VGG16) -> None:
        super().__init__()
        self.top = top
        inputs = top.head.in_features * (SIDE_PX // TRUNK_STRIDE_PX // 2) ** 2
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, HIDDEN_UNITS), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN_UNITS, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, 512, 9, 9) to logits (N,)."""
        logits: Tensor = self.head(torch.max_pool2d(self.top.block(5, features), 2))
        return logits.squeeze(1)


def train_original(
    top: VGG16, features: Path, rows: Rows, chosen: NDArray[np.intp], judged: NDArray[np.intp], settings: Compare
) -> dict[str, Tensor]:
    """Train both steps on the ``chosen`` rows; returns the probabilities of the ``judged`` ones after each.

    Raises :class:`UserError` for a loss that is not a number.
    """
    torch.manual_seed(settings.seed)
    device = pick_device()
    network = Original(top).to(memory_format=torch.channels_last).to(device)
    top.requires_grad_(False)
    head = torch.optim.RMSprop(network.head.parameters(), lr=HEAD_RATE)
    _train(network, head, features, rows, chosen, settings.head_epochs, "head only")
    answers = {"head-only": _judge(network, features, rows, judged)}
    top.requires_grad_(True)
    both = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)
    _train(network, both, features, rows, chosen, settings.original_epochs, "original recipe")
    return answers | {"original": _judge(network, features, rows, judged)}


def _train(
    network: Original,
    optimizer: torch.optim.Optimizer,
    features: Path,
    rows: Rows,
    chosen: NDArray[np.intp],
    epochs: int,
    description: str,
) -> None:
    loader = load_rows(features, chosen, rows.targets[chosen], BATCH, RandomSampler(chosen.tolist()))
    network.train()
    with progress(total=epochs * len(loader), unit="step", description=description) as bar:
        for _ in range(epochs):
            total = torch.zeros((), device=pick_device())
            for batch, targets in loader:
                loss = binary_cross_entropy_with_logits(_logits(network, batch), targets.to(pick_device()))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += loss.detach()
                bar.update()
            if not total.isfinite():
                raise UserError(f"the loss of the {description} is not a number; change compare.seed")


def _judge(network: Original, features: Path, rows: Rows, judged: NDArray[np.intp]) -> Tensor:
    network.eval()
    loader = load_rows(features, judged, rows.targets[judged], BATCH, None)
    with torch.inference_mode():
        return torch.cat([_logits(network, batch).sigmoid().cpu() for batch, _ in loader])


def _logits(network: Original, batch: Tensor) -> Tensor:
    device = pick_device()
    with torch.autocast(device.type, torch.bfloat16, enabled=network_dtype(device) == torch.bfloat16):
        logits: Tensor = network(batch.to(device, torch.float32, memory_format=torch.channels_last))
    return logits.float()
