"""How far a crawl is, by source and class: live bars on a terminal, plain lines in a log. Touches no file."""

import logging
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self

from tqdm import tqdm

LIVE_INTERVAL_S = 0.5
LOG_INTERVAL_S = 15.0
STANDSTILL_S = 30.0
"""A source that gave nothing for so long may go on at any time: it has no rate and no time left."""
STEP_S, STEPS = 5.0, 12
"""A rate is measured over the last twelve steps of at least five seconds, each of which ends with an image."""
MIN_COUNT = 5
"""Fewer images than this make no rate."""
MAX_REASONS = 5
BAR = "|{bar:10}| {desc}"

Key = tuple[str, str]
"""Source and label."""

log = logging.getLogger(__name__)


class Tallies:
    """Counts what is done and what failed, and shows it for as long as it is open.

    ``totals`` include what is ``already`` here, and all that fails counts as dealt with. On a terminal there is a bar
    for everything and one for each source and class; those that have ended make room where there are more than rows.
    In a log there is a line for each that moved or is not at its end, every 15 s, and one for each when it is closed.
    """

    def __init__(
        self,
        totals: Mapping[Key, int],
        unit: str = "image",
        description: str = "fetch",
        already: Mapping[Key, int] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._unit = unit
        self._all = _Tally(description, sum(totals.values()), sum(already.values()))
        self._tallies = {key: _Tally(" ".join(key), total, already.get(key, 0)) for key, total in totals.items()}
        self._bars: list[tqdm[Any]] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        # A source that stands still calls nothing here, and its bar should say so.
        self._thread = threading.Thread(target=self._keep_showing, daemon=True)

    def done(self, source: str, label: str) -> None:
        """Count one that is here."""
        self._count(source, label)

    def failed(self, source: str, label: str, reason: str) -> None:
        """Count one that will not be had."""
        self._count(source, label, reason)

    def total(self, source: str, label: str, total: int) -> None:
        """Change how many there should be."""
        with self._lock:
            tally = self._tallies[source, label]
            self._all.total += total - tally.total
            tally.total = total

    def show(self) -> None:
        """Bring the bars, or the log, up to date."""
        with self._lock:
            now_s = self._clock()
            everything = self._all.status(now_s, self._left(now_s), f" {self._unit}s")
            rows = [(tally, tally.status(now_s, tally.left(now_s))) for tally in self._tallies.values()]
            if not self._bars:
                rows = [(tally, status) for tally, status in rows if tally.news or tally.remaining]
            for tally in self._tallies.values():
                tally.news = False
        if self._bars:
            height = self._bars[0].nrows
            if height and height <= len(self._bars):
                rows.sort(key=lambda row: not row[0].remaining)
            self._draw([(self._all, everything), *rows])
        else:
            for tally, status in [*rows, (self._all, everything)]:
                log.info("%s: %s", tally.name, status)

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            for row, tally in enumerate([self._all, *self._tallies.values()]):
                bar = tqdm(total=tally.total, position=row, bar_format=BAR, dynamic_ncols=True)
                self._bars.append(bar)
            self.show()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        rows = [(tally, tally.outcome()) for tally in self._tallies.values()]
        everything = self._all, self._all.outcome(f" {self._unit}s")
        if self._bars:
            self._draw([everything, *rows])
            for bar in self._bars:
                bar.close()
        else:
            for tally, outcome in [*rows, everything]:
                log.info("%s: %s", tally.name, outcome)

    def _keep_showing(self) -> None:
        while not self._closed.wait(LIVE_INTERVAL_S if self._bars else LOG_INTERVAL_S):
            self.show()

    def _count(self, source: str, label: str, reason: str | None = None) -> None:
        with self._lock:
            now_s = self._clock()
            for tally in (self._tallies[source, label], self._all):
                tally.count(now_s, reason)

    def _left(self, now_s: float) -> str:
        """The time that the slowest source needs: sources work side by side, and the classes of one share its pace."""
        longest_s, all_known = 0.0, True
        for source in {source for source, _ in self._tallies}:
            tallies = [each for (name, _), each in self._tallies.items() if name == source and each.remaining]
            rate = sum(tally.rate(now_s) for tally in tallies)
            if rate:
                longest_s = max(longest_s, sum(tally.remaining for tally in tallies) / rate)
            elif tallies:
                all_known = False
        return f"{'' if all_known else 'at least '}{_rough(longest_s)} left" if longest_s else ""

    def _draw(self, rows: list[tuple["_Tally", str]]) -> None:
        width = max(len(tally.name) for tally, _ in rows)
        for bar, (tally, status) in zip(self._bars, rows, strict=True):
            bar.nrows = self._bars[0].nrows  # tqdm measures the terminal only for bars that it shows
            bar.total, bar.n = tally.total, tally.total - tally.remaining
            bar.set_description_str(f"{tally.name:{width}}  {status}")


class _Tally:
    """What is known of one source and class, or of all. Its size does not depend on how many it counted."""

    def __init__(self, name: str, total: int, already: int) -> None:
        self.name = name
        self.total = total
        self.here = already
        self.reasons: Counter[str] = Counter()
        self.news = False
        """Whether it moved since it was last shown."""
        self._already = already
        self._began_s = self._moved_s = 0.0
        self._steps: deque[tuple[float, int]] = deque(maxlen=STEPS + 1)
        """Times, and what was counted until then."""

    @property
    def remaining(self) -> int:
        """How many are neither here nor failed."""
        return max(0, self.total - self.here - self.reasons.total())

    def count(self, now_s: float, reason: str | None) -> None:
        """Count one, as failed where there is a ``reason``."""
        if not self._counted:
            self._began_s = now_s
        elif now_s - self._moved_s > STANDSTILL_S:
            self._steps.clear()  # a pause is no part of the pace
        if reason is None:
            self.here += 1
        else:
            self.reasons[reason] += 1
        if not self._steps or now_s - self._steps[-1][0] >= STEP_S:
            self._steps.append((now_s, self._counted))
        self._moved_s = now_s
        self.news = True

    def rate(self, now_s: float) -> float:
        """Images a second of late; 0 where it stands still, or too little is known."""
        if not self._steps or now_s - self._moved_s > STANDSTILL_S:
            return 0.0
        since_s, before = self._steps[0]
        # Until the last image, not until now: a pause that began a moment ago would pass for slowness.
        seconds, count = self._moved_s - since_s, self._counted - before
        return count / seconds if seconds >= STEP_S and count >= MIN_COUNT else 0.0

    def left(self, now_s: float) -> str:
        """The time left; empty where there is no telling."""
        rate = self.rate(now_s)
        return f"{_rough(self.remaining / rate)} left" if rate and self.remaining else ""

    def status(self, now_s: float, left: str, units: str = "") -> str:
        """Where it stands."""
        if not self.remaining:
            pace = ""
        elif not self._counted:
            pace = "waiting"
        elif (idle_s := now_s - self._moved_s) > STANDSTILL_S:
            pace = f"none for {_rough(idle_s)}"
        else:
            rate = self.rate(now_s)
            pace = _speed(rate) if rate else ""
        return ", ".join(filter(None, (f"{self.here} of {self.total}{units}", pace, left))) + self._failures()

    def outcome(self, units: str = "") -> str:
        """What became of it in the end."""
        text = f"{self.here} of {self.total}{units}"
        seconds = self._moved_s - self._began_s
        if seconds >= 1:
            text += f" in {_rough(seconds)}, {_speed((self._counted - 1) / seconds)}"
        return text + self._failures()

    @property
    def _counted(self) -> int:
        return self.here - self._already + self.reasons.total()

    def _failures(self) -> str:
        if not self.reasons:
            return ""
        most = ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common(MAX_REASONS))
        return f"; failed {self.reasons.total()}: {most}{', ...' if len(self.reasons) > MAX_REASONS else ''}"


def _speed(rate: float) -> str:
    return f"{rate:.1f}/s" if rate >= 0.1 else f"{60 * rate:.1f}/min"


def _rough(seconds: float) -> str:
    """A time in whole minutes, or seconds where there are few."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 100 else f"{minutes} min"
