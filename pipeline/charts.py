"""Line charts as geometry: numbers become pixels and ticks here, and a template draws them in the page's colours."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH_PX, HEIGHT_PX = 480, 260
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 62, 14, 10, 46
STEPS = 6
"""Between the ticks of an axis, at most, before it is widened to round numbers."""

Points = Sequence[tuple[float, float]]
GappedPoints = Sequence[tuple[float, float | None]]
"""None is a gap in the line."""


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
    """Named lines, in one piece or more each, over a pair of axes."""

    lines: Mapping[str, Sequence[Points]]
    x: Axis
    y: Axis
    width_px: int = WIDTH_PX
    height_px: int = HEIGHT_PX


def line_chart(lines: Mapping[str, GappedPoints], *, x_label: str, y_label: str, y_shows: Sequence[float]) -> Chart:
    """A chart of ``lines``, by name; together they have at least one point.

    The horizontal axis ends where the points do; the vertical one at round numbers, and it includes ``y_shows``.
    """
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points if y is not None]
    low, high = _range(xs)
    whole = all(x == round(x) for x in xs)
    x_ticks = [tick for tick in _ticks(low, high, whole=whole) if low <= tick <= high]
    y_ticks = _ticks(*_range([*ys, *y_shows]), whole=False)
    return Chart(
        lines={name: _pieces(points) for name, points in lines.items()},
        x=Axis(x_label, low, high, LEFT_PX, WIDTH_PX - RIGHT_PX, x_ticks),
        y=Axis(y_label, y_ticks[0], y_ticks[-1], HEIGHT_PX - BOTTOM_PX, TOP_PX, y_ticks),
    )


def _pieces(points: GappedPoints) -> list[Points]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            pieces.append([])
        else:
            pieces[-1].append((x, y))
    return [piece for piece in pieces if piece]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float, *, whole: bool) -> list[float]:
    """Multiples of a round step, from at most ``low`` to at least ``high``."""
    least = max((high - low) / STEPS, 1 if whole else 0)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= least and not (whole and s * power % 1))
    first, last = math.floor(round(low / step, 9)), math.ceil(round(high / step, 9))
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]  # without the noise of 0.1 + 0.2
