import colorsys

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.painting.colour import keep_colours, luminance, match_colours, match_luminance
from tests.pictures import picture


def muted(seed: int) -> torch.Tensor:
    """A picture far from black and white, where nothing is clipped."""
    return 0.35 + 0.3 * picture(seed)


def test_luminance_is_that_of_yiq() -> None:
    image = picture(0, 8)
    expected = [[colorsys.rgb_to_yiq(*pixel)[0] for pixel in row] for row in image.permute(1, 2, 0).tolist()]
    for channel in luminance(image):
        # colorsys rounds the weights to two digits.
        np.testing.assert_allclose(channel.numpy(), expected, atol=0.005)


def test_matched_colours_have_the_mean_and_covariance_of_the_content() -> None:
    style, content = muted(1), 0.5 * muted(2) + 0.2
    matched = match_colours(style, content).flatten(1)
    torch.testing.assert_close(matched.mean(1), content.flatten(1).mean(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(matched), torch.cov(content.flatten(1)), atol=3e-4, rtol=0.02)


def test_colours_that_match_already_stay() -> None:
    style = muted(1)
    torch.testing.assert_close(match_colours(style, style), style, atol=1e-3, rtol=0)


@given(level=st.floats(0, 1), other=st.floats(0, 1))
def test_a_picture_of_one_colour_takes_the_mean_and_no_noise(level: float, other: float) -> None:
    plain = torch.full((3, 8, 8), level)
    assert (match_colours(plain, torch.full((3, 8, 8), other)) - other).abs().max() < 1e-3
    assert (match_luminance(plain, torch.full((3, 8, 8), other)) - other).abs().max() < 1e-3


def test_matched_luminance_has_the_mean_and_deviation_of_the_content() -> None:
    matched, content = match_luminance(muted(1), muted(2)), luminance(muted(2))
    torch.testing.assert_close(matched.mean(), content.mean(), atol=1e-4, rtol=0)
    torch.testing.assert_close(matched.std(), content.std(), atol=1e-4, rtol=0)
    assert torch.equal(matched[0], matched[2])


def test_kept_colours_are_those_of_the_content_under_the_luminance_of_the_painting() -> None:
    painting, content = muted(1), muted(2)
    kept = keep_colours(painting, content)
    torch.testing.assert_close(luminance(kept), luminance(painting))
    torch.testing.assert_close(kept - luminance(kept), content - luminance(content))
