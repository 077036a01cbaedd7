import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.console import UserError
from pipeline.fast.painter import FastPainter, torch_painter
from pipeline.motion import Frame
from tests.fast.test_folded import noise, reference
from tests.fast.test_network import tiny_network

CPU = torch.device("cpu")


def frame(height: int = 24, width: int = 32) -> Frame:
    return noise(height, width).numpy()


def painter() -> FastPainter:
    return torch_painter(tiny_network(), CPU)


def largest_difference(one: Frame, two: Frame) -> int:
    return int(np.abs(one.astype(int) - two).max())


def test_paints_in_equal_shares_until_told_otherwise() -> None:
    equal, first = painter(), painter()
    equal.mix({"a": 5, "b": 5})
    first.mix({"a": 1})
    assert np.array_equal(painter().paint(frame()), equal.paint(frame()))
    assert not np.array_equal(painter().paint(frame()), first.paint(frame()))


@given(height=st.integers(1, 40), width=st.integers(1, 40), weights=st.tuples(*[st.integers(0, 9)] * 2).filter(any))
def test_frames_of_any_size_as_the_network_paints_them(height: int, width: int, weights: tuple[int, int]) -> None:
    fast = painter()
    fast.mix(dict(zip("ab", weights, strict=True)))
    painted = fast.paint(frame(height, width))
    assert painted.shape == (height, width, 3)
    assert painted.dtype == np.uint8
    exact = reference(tiny_network(), noise(height, width), torch.tensor(weights) / sum(weights))
    assert np.abs(painted - exact.numpy()).mean() < 3


def test_left_out_styles_weigh_nothing_and_the_sum_does_not_matter() -> None:
    short, long = painter(), painter()
    short.mix({"b": 0.1})
    long.mix({"a": 0, "b": 300})
    assert np.array_equal(short.paint(frame()), long.paint(frame()))


def test_strength_goes_from_the_frame_to_the_painting() -> None:
    fast = painter()
    fast.mix({"a": 1})
    whole = fast.paint(frame())
    fast.mix({"a": 1}, strength=0)
    assert np.array_equal(fast.paint(frame()), frame())
    fast.mix({"a": 1}, strength=0.5)
    assert largest_difference(fast.paint(frame()), ((whole.astype(int) + frame()) / 2).round().astype(np.uint8)) <= 1


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": np.nan}, {"a": np.inf}])
def test_weights_that_are_none_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"weights .* are none"):
        painter().mix(weights)


def test_unknown_style_is_refused_with_those_there_are() -> None:
    fast = painter()
    with pytest.raises(UserError, match=r"there is no style scream; choose among a, b"):
        fast.mix({"a": 1, "scream": 1})
    assert np.array_equal(fast.paint(frame()), painter().paint(frame()))


def test_frame_that_is_not_contiguous_or_read_only() -> None:
    read_only = frame()
    read_only.setflags(write=False)
    turned = np.ascontiguousarray(frame()[::-1])[::-1]
    for each in (read_only, turned):
        assert np.array_equal(painter().paint(each), painter().paint(frame()))
