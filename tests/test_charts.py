import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.charts import Chart, line_chart

NUMBERS = st.floats(1e-6, 1e6)


def chart(points: list[tuple[float, float]], *y_shows: float) -> Chart:
    return line_chart({"measured": points}, x_label="x", y_label="y", y_shows=y_shows)


@given(st.lists(st.tuples(st.integers(0, 20_000), NUMBERS), min_size=1))
def test_every_point_and_tick_is_inside_the_frame(points: list[tuple[float, float]]) -> None:
    drawn = chart(points, 0)
    for axis, values in ((drawn.x, [x for x, _ in points]), (drawn.y, [y for _, y in points])):
        inside = sorted((axis.low_px, axis.high_px))
        for value in (*values, *axis.ticks):
            assert inside[0] - 0.01 <= axis.position_px(value) <= inside[1] + 0.01
        assert list(axis.ticks) == sorted(set(axis.ticks))
    assert drawn.y.low == 0
    assert 2 <= len(drawn.y.ticks) <= 8


def test_ticks_are_round_numbers() -> None:
    drawn = chart([(0, 0.0012), (1, 0.0058), (24, 0.003)], 0)
    assert drawn.y.ticks == [0, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006]
    assert drawn.x.ticks == [0, 5, 10, 15, 20]
    assert chart([(0.0, 0.9), (0.5, 0.95)], 0.5, 1).y.ticks == [0.5, 0.6, 0.7, 0.8, 0.9, 1]


def test_positions_are_linear_and_upwards() -> None:
    axis = chart([(0, 0), (10, 1)]).y
    assert axis.position_px(0) == axis.low_px > axis.high_px == axis.position_px(1)
    assert axis.position_px(0.25) == pytest.approx(0.75 * axis.low_px + 0.25 * axis.high_px, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_single_point_lies_in_the_middle(value: float) -> None:
    drawn = chart([(1, value)])
    assert drawn.x.ticks == [1]
    assert drawn.x.position_px(1) == (drawn.x.low_px + drawn.x.high_px) / 2


def test_a_line_has_a_gap_where_there_is_no_value() -> None:
    points = [(0, None), (1, 0.5), (2, 0.75), (3, None), (4, None), (5, 0.25)]
    drawn = line_chart({"measured": points, "none": [(6, None)]}, x_label="x", y_label="y", y_shows=[0])
    assert drawn.lines == {"measured": [[(1, 0.5), (2, 0.75)], [(5, 0.25)]], "none": []}
    assert (drawn.x.low, drawn.x.high) == (0, 6)
    assert drawn.y.high >= 0.75
