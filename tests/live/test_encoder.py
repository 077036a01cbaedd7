import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live.encoder import fitted
from tests.live.streams import plain


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 100), st.integers(1, 100))
def test_frames_fit_whole_and_in_the_middle(height: int, width: int, target_height: int, target_width: int) -> None:
    frame = fitted(plain(200, height, width), target_width, target_height)
    assert frame.shape == (target_height, target_width, 3)
    rows, columns = (np.flatnonzero((frame[:, :, 0] == 200).any(axis=axis)) for axis in (1, 0))
    assert min(target_height - len(rows), target_width - len(columns)) == 0
    for found, side in ((rows, target_height), (columns, target_width)):
        assert found[-1] - found[0] == len(found) - 1
        assert abs(found[0] - (side - 1 - found[-1])) <= 1
    exact = width / height
    assert abs(len(columns) - min(target_width, target_height * exact)) <= 1
    assert abs(len(rows) - min(target_height, target_width / exact)) <= 1


def test_what_fits_is_left_as_it_is() -> None:
    frame = plain(7)
    assert fitted(frame, 64, 48) is frame


@pytest.mark.parametrize("side", [1, 1000])
def test_extreme_shapes(side: int) -> None:
    assert fitted(plain(9, 1, side), 64, 48).max() == 9
