import pytest
import torch
from torch import Tensor

from pipeline.fast.judge import Judge, relative_errors
from pipeline.vgg import VGG16
from tests.fast.conftest import SETTINGS
from tests.pictures import picture


def test_errors_are_relative_to_their_targets() -> None:
    targets = torch.rand(2, 3, 4, dtype=torch.float64) + 0.1
    assert relative_errors(targets, targets).tolist() == [0, 0]
    assert relative_errors(1.5 * targets, targets).tolist() == pytest.approx([0.25, 0.25])
    assert relative_errors(0 * targets, targets).tolist() == pytest.approx([1, 1])


def test_judge_compares_each_image_with_its_own_style(judge: Judge, network: VGG16) -> None:
    painted, content = (torch.stack([picture(seed), picture(seed + 1)]) for seed in (5, 7))
    found = judge.errors(painted, content, torch.tensor([1, 0]))

    def seen(image: Tensor, layer: str) -> Tensor:
        return network.taps(image[None], [layer])[layer][0].double()

    def gram(image: Tensor, layer: str) -> Tensor:
        flat = seen(image, layer).flatten(1)
        return flat @ flat.T / flat.numel()

    def error(found: Tensor, target: Tensor) -> float:
        return float(((found - target) ** 2).sum() / (target**2).sum())

    # The second picture, 50 x 40, and the first, 64 x 64, brought to the area of 40 x 40.
    styles = [
        torch.nn.functional.interpolate(style[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
        for style, size in ((picture(2, 50)[:, :40], (36, 45)), (picture(1, 64), (40, 40)))
    ]
    content_error = sum(error(seen(a, "relu3_3"), seen(b, "relu3_3")) for a, b in zip(painted, content, strict=True))
    layers = SETTINGS.style_layers
    style_error = sum(
        error(gram(a, name), gram(b, name)) for a, b in zip(painted, styles, strict=True) for name in layers
    )
    assert float(found[0]) == pytest.approx(content_error / 2, rel=1e-4)
    assert float(found[1]) == pytest.approx(style_error / 2 / len(layers), rel=1e-4)


def test_judge_finds_nothing_wrong_with_the_style_itself(judge: Judge) -> None:
    style = torch.nn.functional.interpolate(picture(1, 64)[None], (40, 40), mode="bicubic", antialias=True).clamp(0, 1)
    content, other = judge.errors(style, style, torch.tensor([0])), judge.errors(style, style, torch.tensor([1]))
    assert [float(value) for value in content] == pytest.approx([0, 0], abs=1e-6)
    assert float(other[1]) > 1e-3
