import dataclasses

import cv2
import numpy as np
import pytest

from pipeline.console import UserError
from pipeline.painting.clip import Frame
from pipeline.params import load_params
from pipeline.stages.measure import FrameFigures, mean_figures, sharpness, warping_errors
from tests.conftest import ROOT

FLOW = load_params(ROOT / "params.yaml").flow


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
    [moving, standing] = warping_errors(first, second, [(painted, shifted(painted, 3)), (painted, painted)], FLOW)
    assert moving < 1e-4
    assert standing > 20 * moving


def test_the_error_of_noise_is_twice_its_variance_a_channel() -> None:
    """On a still clip: E |a - b|^2 of two independent noises, in [0, 1], averaged over channels, not summed."""
    still = textured(0)
    generator = np.random.default_rng(2)
    noises = [generator.normal(128, 25.5, still.shape).clip(0, 255).astype(np.uint8) for _ in range(2)]
    [error] = warping_errors(still, still, [(noises[0], noises[1])], FLOW)
    assert error == pytest.approx(2 * 0.1**2, rel=0.05)


def test_frames_with_nothing_in_common_are_refused() -> None:
    black, noise = np.zeros((64, 96, 3), np.uint8), np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    settings = dataclasses.replace(FLOW, boundary_offset=0, boundary_ratio=0, consistency_offset=0)
    with pytest.raises(UserError, match="share nothing"):
        warping_errors(black, noise, [(black, noise)], settings)


def test_blur_is_less_sharp() -> None:
    sharp = textured(0)
    blurred = np.full_like(sharp, 128)
    assert sharpness(blurred) == 0
    assert sharpness(sharp) > 1
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(50, axis=0)
    assert sharpness(ramp) == pytest.approx(2, rel=0.02)


def test_means_leave_out_frames_that_lack_a_figure() -> None:
    frames = [FrameFigures(0.2, 0.4, 1, 2, 3), FrameFigures(0.4, None, 3, 4, 5), FrameFigures(None, None, 5, 6, 7)]
    assert mean_figures(frames) == {
        "warping_error_short": pytest.approx(0.3),
        "warping_error_long": pytest.approx(0.4),
        "sharpness": 3,
        "content_loss": 4,
        "style_loss": 5,
    }
