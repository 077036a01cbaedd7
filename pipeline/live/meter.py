"""How fast and how late frames are delivered."""

import statistics
import time
from collections import deque

RECENT_S = 3.0
LONGEST = 10_000
"""Frames that are remembered, whatever the length of a run."""


class Meter:
    """Counts deliveries, and remembers the latencies of the last ones."""

    def __init__(self) -> None:
        self.count = 0
        self._times: deque[tuple[float, float]] = deque(maxlen=LONGEST)

    def add(self, arrived_s: float) -> None:
        """A frame that came at ``arrived_s``, of ``time.perf_counter``, is delivered now."""
        now_s = time.perf_counter()
        self.count += 1
        self._times.append((now_s, now_s - arrived_s))

    def recent(self) -> tuple[float, float | None]:
        """Frames a second and median latency in seconds, of the last seconds."""
        since_s = time.perf_counter() - RECENT_S
        recent: list[tuple[float, float]] = []
        for each in reversed(self._times):
            if each[0] < since_s:
                break
            recent.append(each)
        if len(recent) < 2:
            return 0.0, None
        rate = (len(recent) - 1) / (recent[0][0] - recent[-1][0])
        return rate, statistics.median(latency_s for _, latency_s in recent)

    def rate(self) -> str:
        """Frames a second, in words."""
        if len(self._times) < 2:
            return "too few to have a rate"
        return f"{(len(self._times) - 1) / (self._times[-1][0] - self._times[0][0]):.1f} a second"

    def latency(self) -> str:
        """The latencies that are remembered, in words."""
        if len(self._times) < 2:
            return "too few to speak of latency"
        cuts_s = statistics.quantiles((latency_s for _, latency_s in self._times), n=20, method="inclusive")
        return f"median latency {1e3 * cuts_s[9]:.0f} ms, 95% within {1e3 * cuts_s[18]:.0f} ms"
