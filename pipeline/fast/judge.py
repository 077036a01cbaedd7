"""How far painted pictures are from their content and their style, as the small network learns it.

Johnson, Alahi and Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution" (2016). Images are RGB
in [0, 1], shape (N, 3, H, W).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.painting.frame import resize
from pipeline.painting.losses import gram_matrix
from pipeline.params import Distill
from pipeline.vgg import VGG16


class Judge:
    """How far pictures are from their content and from one of the ``styles``, (3, H, W) in [0, 1] of any size.

    ``network`` is on ``device``. Errors are relative to their targets, unlike in Johnson 2016, where the layers and the
    styles with the highest activations outweigh the others.
    """

    def __init__(self, network: VGG16, styles: Sequence[Tensor], settings: Distill, device: torch.device) -> None:
        self._network = network.requires_grad_(False)
        self._settings = settings
        self.count = len(styles)
        with torch.no_grad():
            grams = [self._grams(_reduce(style, settings.style_side_px)[None].to(device)) for style in styles]
        self._targets = {name: torch.cat([gram[name] for gram in grams]) for name in settings.style_layers}

    def errors(self, painted: Tensor, content: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
        """Of content and of style, on average over layers and images (N, 3, H, W); ``styles`` (N,) are numbers."""
        with torch.no_grad():
            targets = self._network.taps(content, self._settings.content_layers)
        taps = self._network.taps(painted, {*self._settings.content_layers, *self._settings.style_layers})
        grams = _gram_matrices({name: taps[name] for name in self._settings.style_layers})
        content_error = torch.stack([relative_errors(taps[name].float(), targets[name].float()) for name in targets])
        style_error = torch.stack([relative_errors(grams[name], self._targets[name][styles]) for name in grams])
        return content_error.mean(), style_error.mean()

    def _grams(self, image: Tensor) -> dict[str, Tensor]:
        return _gram_matrices(self._network.taps(image, self._settings.style_layers))


def relative_errors(found: Tensor, targets: Tensor) -> Tensor:
    """Squared difference by square of the target, of each of (N, ...): (N,)."""
    differences = (found - targets).flatten(1).square().mean(dim=1)
    return differences / targets.flatten(1).square().mean(dim=1).clamp_min(1e-12)


def _gram_matrices(taps: dict[str, Tensor]) -> dict[str, Tensor]:
    """By layer, (N, C, C)."""
    return {name: gram_matrix(tap) for name, tap in taps.items()}


def _reduce(style: Tensor, side_px: int) -> Tensor:
    """A style (3, H, W) of the area of a square."""
    height, width = style.shape[1:]
    scale = side_px / (height * width) ** 0.5
    return resize(style, (max(1, round(height * scale)), max(1, round(width * scale)))).clamp(0, 1)
