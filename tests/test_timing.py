from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.timing import evened, shown_times

MS = Fraction(1, 1000)
INTERVAL_S = Fraction(1, 25)


def ms(*stamps: int | None) -> list[Fraction | None]:
    return [None if stamp is None else stamp * MS for stamp in stamps]


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        (ms(0, 33, 67, 1000, 1010, 3000), ms(0, 33, 67, 1000, 1010, 3000)),
        (ms(7000, 7040, 7080), ms(0, 40, 80)),
        (ms(0, 40, 9_000_000, 9_000_100), ms(0, 40, 80, 180)),  # one recording after another
        (ms(5000, 5040, 0, 100), ms(0, 40, 80, 180)),
        (ms(0, 40, 9_000_000, 120, 160), ms(0, 40, 80, 120, 160)),  # one stamp is wrong
        (ms(0, 120, 40, 80, 160), ms(0, 40, 80, 120, 160)),
        (ms(0, 40, 40, 40, 100), ms(0, 40, 60, 80, 100)),
        (ms(0, 40, 40), ms(0, 40, 60)),
        (ms(None, 40, None, None, 160), ms(0, 40, 80, 120, 160)),
        (ms(None, None), ms(0, 40)),
    ],
)
def test_times_are_kept_where_they_are_sane(stamps: list[Fraction | None], expected: list[Fraction]) -> None:
    assert shown_times(stamps, INTERVAL_S, None) == expected


def test_times_count_from_the_start_of_the_video_if_it_is_near() -> None:
    stamps = ms(480, 520)
    assert shown_times(stamps, INTERVAL_S, 400 * MS) == ms(80, 120)
    assert shown_times(stamps, INTERVAL_S, -9000 * Fraction(1)) == ms(0, 40)
    assert shown_times(stamps, INTERVAL_S, 500 * MS) == ms(0, 40)


@given(
    st.lists(st.none() | st.fractions(-100, 100, max_denominator=1000), min_size=1), st.none() | st.just(Fraction(0))
)
def test_times_always_increase(stamps: list[Fraction | None], start_s: Fraction | None) -> None:
    times_s = shown_times(stamps, INTERVAL_S, start_s)
    assert len(times_s) == len(stamps)
    assert times_s[0] >= 0
    assert all(0 < after - before <= 61 for before, after in pairwise(times_s))


@given(
    st.fractions(1, 240, max_denominator=1001),
    st.integers(0, 500),
    st.integers(1, 200),
    st.sampled_from((1000, 600, 90_000)),
)
def test_even_times_are_found_under_rounding(rate: Fraction, first: int, count: int, unit: int) -> None:
    exact_s = [i / rate for i in range(first, first + count + 1)]
    found_s = evened([Fraction(round(time_s * unit), unit) for time_s in exact_s], 1 / rate, Fraction(1, unit))
    assert [time_s - found_s[0] for time_s in found_s] == [time_s - exact_s[0] for time_s in exact_s]
    assert abs(found_s[0] - exact_s[0]) <= Fraction(1, unit)


@pytest.mark.parametrize("tick_s", [MS, INTERVAL_S])
def test_uneven_times_stay(tick_s: Fraction) -> None:
    dropped = [i * INTERVAL_S for i in (0, 1, 2, 4, 5, 6)]
    assert evened(dropped, INTERVAL_S, tick_s) == dropped
    held = [i * INTERVAL_S for i in (0, 1, 2, 3, 9)]  # the last frame is shown longer
    assert evened(held, INTERVAL_S, tick_s) == held
