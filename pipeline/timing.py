"""When frames are shown, out of the time stamps of a file, which may jump, come in disorder or be missing."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import groupby, pairwise

LONGEST_STILL_S = 60
"""A longer pause between two frames is a jump of the time stamps, as where recordings were joined."""
LONGEST_DISORDER_S = 1
"""So is a larger step back; a smaller one is a wrong order."""


def is_jump(step_s: Fraction) -> bool:
    """Whether a stamp that comes ``step_s`` after the one before it has nothing to do with that one."""
    return not -LONGEST_DISORDER_S <= step_s <= LONGEST_STILL_S


def increasing(stamps_s: Iterable[Fraction | None], interval_s: Fraction, start_s: Fraction | None) -> list[Fraction]:
    """Increasing times, one for each stamp, in seconds after ``start_s``, or the first stamp if that is far from it.

    A jump counts as ``interval_s``, the usual time between two frames, and so does a missing stamp. Stamps in disorder
    are sorted, and equal ones spread up to the next.
    """
    times: list[Fraction] = []
    before_s = offset_s = Fraction(0)
    for stamp_s in stamps_s:
        if not times:
            first_s = stamp_s if stamp_s is not None else start_s or Fraction(0)
            near = start_s is not None and 0 <= first_s - start_s <= LONGEST_STILL_S
            offset_s = -(start_s if near and start_s is not None else first_s)
            before_s = first_s
        elif stamp_s is None:
            before_s += interval_s
        else:
            if is_jump(stamp_s - before_s):
                offset_s += before_s + interval_s - stamp_s
            before_s = stamp_s
        times.append(before_s + offset_s)
    distinct = [(time_s, len(list(equal))) for time_s, equal in groupby(sorted(times))]
    following = [time_s for time_s, _ in distinct[1:]] + [max(times, default=Fraction(0)) + interval_s]
    return [
        time_s + (next_s - time_s) * Fraction(i, count)
        for (time_s, count), next_s in zip(distinct, following, strict=True)
        for i in range(count)
    ]
