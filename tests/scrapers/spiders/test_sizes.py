"""Sizes: within the box, of the same shape, and never a size out of what is none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.spiders.museum import BADLY_SHAPED
from scrapers.spiders.sizes import fit_within

SIDES = st.integers(1, 200_000)


@given(width=SIDES, height=SIDES, most=st.tuples(SIDES, SIDES))
def test_size_fits_and_keeps_its_shape(width: int, height: int, most: tuple[int, int]) -> None:
    fitted = fit_within(width, height, *most)
    scale = min(1, most[0] / width, most[1] / height)
    assert fitted == pytest.approx((width * scale, height * scale), abs=1)
    assert fitted[0] <= most[0]
    assert fitted[1] <= most[1]
    assert (fitted == (width, height)) == (scale == 1)


def test_box_as_high_as_the_image_limits_the_width_alone() -> None:
    assert fit_within(1686, 4000, 843, 4000) == (843, 2000)


@pytest.mark.parametrize("side", [0, -5, "843", None, 900.5, float("nan"), [1]])
def test_what_is_no_side_gives_no_size(side: Any) -> None:
    for width, height in ((side, 100), (100, side)):
        try:
            fitted = fit_within(width, height, 50, 50)
        except BADLY_SHAPED:
            continue
        assert min(fitted) < 1
