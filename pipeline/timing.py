"""How many frames there are and when they are shown, out of what a file says of it, which may be nonsense."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import groupby

from av.container import InputContainer
from av.video.stream import VideoStream

CREDIBLE_RATES = (1, 250)
"""Recordings of variable rate have headers that speak of 1000 frames per second, or of none."""
DEFAULT_RATE = Fraction(30)
SHORTEST_STILL_S = Fraction(1, CREDIBLE_RATES[1])
LONGEST_STILL_S = 60
"""A longer pause between two frames is a jump of the time stamps, as where recordings were joined."""
LONGEST_DISORDER_S = 1
"""So is a larger step back; a smaller one is a wrong order."""


def mean_rate(stream: VideoStream) -> Fraction:
    """Frames per second, or a usual rate if the file's is none that a video has."""
    rate = stream.average_rate or stream.guessed_rate or DEFAULT_RATE
    lowest, highest = CREDIBLE_RATES
    return rate.limit_denominator(1001) if lowest <= rate <= highest else DEFAULT_RATE


def count_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """How many frames are shown, if the file says so: an edit list may hide some, and AVI counts pauses as frames."""
    index = stream.index_entries
    whole = index and index[-1].timestamp + 1 >= (stream.duration or 0)
    if stream.frames and (whole or container.format.name.startswith("mov")):
        return sum(not entry.is_discard for entry in index)
    return stream.frames or None


def is_jump(step_s: Fraction) -> bool:
    """Whether a stamp that comes ``step_s`` after another was not made by the same clock."""
    return not -LONGEST_DISORDER_S <= step_s <= LONGEST_STILL_S


def shown_times(stamps_s: Iterable[Fraction | None], interval_s: Fraction, start_s: Fraction | None) -> list[Fraction]:
    """Increasing times, one for each stamp, in seconds after ``start_s``, or the first stamp if that is not near it.

    A jump, or a missing stamp, counts as ``interval_s``. Stamps in disorder are sorted, equal ones spread up to the
    next.
    """
    times_s = _increasing(_continued(stamps_s, interval_s), interval_s)
    late_s = times_s[0] - start_s if start_s is not None else Fraction(0)
    origin_s = times_s[0] - (late_s if 0 <= late_s <= LONGEST_STILL_S else 0)
    return [time_s - origin_s for time_s in times_s]


def evened(times_s: Sequence[Fraction], interval_s: Fraction, tick_s: Fraction) -> list[Fraction]:
    """Exactly even times if that is what they are but for rounding to ``tick_s``, else the same.

    The last one ends a frame rather than begin one, and may be uneven.
    """
    even_s = [times_s[0] + i * interval_s for i in range(len(times_s))]
    tolerance_s = min(tick_s, interval_s / 2)
    near = [abs(time_s - exact_s) < tolerance_s for time_s, exact_s in zip(times_s, even_s, strict=True)]
    if not all(near[:-1]):
        return list(times_s)
    return even_s if near[-1] else [*even_s[:-1], times_s[-1]]


def _continued(stamps_s: Iterable[Fraction | None], interval_s: Fraction) -> list[Fraction]:
    times_s: list[Fraction] = []
    before_s: Fraction | None = None
    offset_s = Fraction(0)
    for each_s in stamps_s:
        stamp_s = each_s if each_s is not None else Fraction(0) if before_s is None else before_s + interval_s
        if before_s is not None and is_jump(stamp_s - before_s):
            offset_s += before_s + interval_s - stamp_s
        times_s.append(stamp_s + offset_s)
        before_s = stamp_s
    return times_s


def _increasing(times_s: Sequence[Fraction], interval_s: Fraction) -> list[Fraction]:
    distinct = [(time_s, len(list(equal))) for time_s, equal in groupby(sorted(times_s))]
    ends_s = [time_s for time_s, _ in distinct[1:]] + [distinct[-1][0] + interval_s]
    return [
        time_s + (end_s - time_s) * Fraction(i, count)
        for (time_s, count), end_s in zip(distinct, ends_s, strict=True)
        for i in range(count)
    ]
