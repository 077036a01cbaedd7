"""Line charts as geometry: numbers become pixels and ticks here, and a template draws them in the page's colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

WIDTH_PX, HEIGHT_PX = 480, 260
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 62, 14, 10, 46
TICKS = 6

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """One direction of a chart: which values it shows, where, and which of them are written beside it."""

    label: str
    low: float
    high: float
    low_px: float
    high_px: float
    ticks: Sequence[float]

    def position_px(self, value: float) -> float:
        """Where ``value`` lies, in pixels of the chart."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.low_px + share * (self.high_px - self.low_px), 2)


@dataclass(frozen=True)
class Chart:
    """Named lines over a pair of axes."""

    lines: Mapping[str, Points]
    x: Axis
    y: Axis
    width_px: int = WIDTH_PX
    height_px: int = HEIGHT_PX


def line_chart(lines: Mapping[str, Points], *, x_label: str, y_label: str, y_shows: Sequence[float]) -> Chart:
    """A chart of ``lines``, by name; together they have at least one point.

    The horizontal axis ends where the points do; the vertical one at round numbers, and it includes ``y_shows``.
    """
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    low, high = _range(xs)
    whole = all(x == round(x) for x in xs)
    x_ticks = [tick for tick in _ticks(low, high, whole=whole) if low <= tick <= high]
    y_ticks = _ticks(*_range([*ys, *y_shows]), whole=False)
    return Chart(
        lines=lines,
        x=Axis(x_label, low, high, LEFT_PX, WIDTH_PX - RIGHT_PX, x_ticks),
        y=Axis(y_label, y_ticks[0], y_ticks[-1], HEIGHT_PX - BOTTOM_PX, TOP_PX, y_ticks),
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float, *, whole: bool) -> list[float]:
    locator = MaxNLocator(TICKS, steps=[1, 2, 2.5, 5, 10], integer=whole, min_n_ticks=1)
    return [float(f"{tick:.10g}") for tick in locator.tick_values(low, high)]  # without the noise of 0.1 + 0.2
