import numpy as np
import pytest

from pipeline.steadiness import sharpness, warping_errors
from tests.pictures import shifted, textured


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
