import copy

import cv2
import numpy as np
import pytest
import torch

from pipeline.motion import Frame
from pipeline.painting.frame import Painter
from pipeline.params import load_params
from pipeline.stages.measure import (
    Figures,
    mean_figures,
    network_change,
    ratios,
    sharpness,
    warping_errors,
    windows,
)
from pipeline.tensors import to_tensor
from pipeline.vgg import VGG16
from tests.conftest import ROOT


def textured(seed: int, height: int = 64, width: int = 96) -> Frame:
    """Smooth noise over the whole range of values."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (height // 8 + 1, width // 8 + 1, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def shifted(frame: Frame, columns: int) -> Frame:
    return np.ascontiguousarray(np.roll(frame, columns, axis=1))


def test_what_moves_with_the_clip_has_no_error_and_what_stays_behind_has() -> None:
    first = textured(0)
    second = shifted(first, 3)
    painted = textured(1)
    [moving, standing] = warping_errors(first, second, [(painted, shifted(painted, 3)), (painted, painted)])
    assert moving is not None
    assert standing is not None
    assert moving < 1e-4
    assert standing > 20 * moving


def test_the_error_of_noise_is_twice_its_variance_a_channel() -> None:
    """On a still clip: E |a - b|^2 of two independent noises, in [0, 1], averaged over channels, not summed."""
    still = textured(0)
    generator = np.random.default_rng(2)
    noises = [generator.normal(128, 25.5, still.shape).clip(0, 255).astype(np.uint8) for _ in range(2)]
    [error] = warping_errors(still, still, [(noises[0], noises[1])])
    assert error == pytest.approx(2 * 0.1**2, rel=0.05)


def test_a_cut_is_not_taken_for_flicker() -> None:
    one, other = textured(0, 144, 256), textured(1, 144, 256)
    assert warping_errors(one, other, [(one, other), (one, one)]) == [None, None]


def test_blur_is_less_sharp() -> None:
    sharp = textured(0)
    blurred = np.full_like(sharp, 128)
    assert sharpness(blurred) == 0
    assert sharpness(sharp) > 1
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(50, axis=0)
    assert sharpness(ramp) == pytest.approx(2, rel=0.02)


def test_means_leave_out_frames_that_lack_a_figure() -> None:
    frames = [Figures(0.2, 0.4, 1, 2, 3, 1, 2), Figures(0.4, None, 3, 4, 5, 3, 4), Figures(None, None, 5, 6, 7, 5, 6)]
    assert mean_figures(frames) == {
        "warping_error_short": pytest.approx(0.3),
        "warping_error_long": pytest.approx(0.4),
        "sharpness": 3,
        "content_loss": 4,
        "style_loss": 5,
        "content_loss_plain": 3,
        "style_loss_plain": 4,
    }


def test_figures_that_nothing_has_are_none() -> None:
    means = mean_figures([Figures(None, None, 1, 2, 3, 4, 5)])
    assert means["warping_error_short"] is None
    figures: dict[str, float | None] = {"a": None, "b": 0.5, "c": 0.5, "d": 1.0, "e": 0.0}
    compared = ratios(figures, {"a": 0.5, "b": None, "c": 0.0, "d": 4.0, "e": 2.0})
    assert compared == {"a": None, "b": None, "c": None, "d": 0.25, "e": 0}


def test_the_change_of_a_network_is_that_of_its_block_5(network: VGG16) -> None:
    """Where conv5_1 is scaled by s, relu5_1 is too, its Gram matrix by s^2, and relu5_2 by s if it has no bias."""
    scale = 1.2
    plain = network.requires_grad_(False)
    plain.get_parameter("conv5_2.bias").zero_()
    fine_tuned = copy.deepcopy(plain)
    for name in ("conv5_1.weight", "conv5_1.bias"):
        fine_tuned.get_parameter(name).mul_(scale)
    settings = load_params(ROOT / "params.yaml").stylize
    tuned_painter, plain_painter = (
        Painter(each, [to_tensor(textured(1))], settings, first=to_tensor(textured(0)), device=torch.device("cpu"))
        for each in (fine_tuned, plain)
    )
    assert network_change(tuned_painter, plain_painter, to_tensor(textured(0))) == {
        "style_relu5_1": pytest.approx(scale**2 - 1, rel=1e-4),
        "content_relu5_2": pytest.approx(scale - 1, rel=1e-4),
    }


@pytest.mark.parametrize(("count", "length"), [(5, 3), (3, 3), (2, 3), (1, 2), (0, 2)])
def test_each_frame_comes_with_those_that_follow(count: int, length: int) -> None:
    frames = [(np.full((1, 1, 3), index, np.uint8),) for index in range(count)]
    found = [[int(frame[0][0, 0, 0]) for frame in window] for window in windows(frames, length)]
    assert found == [list(range(index, min(index + length, count))) for index in range(count)]
