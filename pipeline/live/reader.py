"""A source read beside the painting, which keeps its newest frame and comes back to a source that went away."""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from av.video.frame import VideoFrame

from pipeline.console import UserError
from pipeline.live.sources import Connection, Source, connected

TIMEOUT_S = 10.0
"""Of a source that gives nothing."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Before a source is asked again; each is twice as long as the last."""
STEADY_S = 10.0
"""A source that lasted so long is asked again after the first pause."""
LATEST_S = 1.0
"""What comes later than that was held up, and what follows is due that much later too."""
POLL_S = 0.5
LEAVE_S = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A decoded frame, when it is shown in seconds after the first, and when it came, of ``time.perf_counter``."""

    frame: VideoFrame
    pixel_aspect: Fraction
    shown_s: Fraction
    arrived_s: float


def every_frame(source: Source) -> Iterator[Arrival]:
    """All the frames of a file, none left out; raises :class:`UserError` as :func:`pipeline.video.reading` does."""
    with connected(source, TIMEOUT_S) as connection:
        for frame, shown_s in connection.frames:
            yield Arrival(frame, connection.pixel_aspect, shown_s, time.perf_counter())


class Reader:
    """The newest frame of a source. One that is stored plays at its own rate, and ``again`` and again if so wished.

    A source that fails before its first frame ends it all; later, it is asked again until it is back.
    """

    def __init__(self, source: Source, *, again: bool, timeout_s: float = TIMEOUT_S) -> None:
        self.dropped = 0
        self._source, self._again, self._timeout_s = source, again, timeout_s
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._newest: Arrival | None = None
        self._began_s: float | None = None
        self._ended = False
        self._failure: UserError | None = None
        self._lost = False
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LEAVE_S)  # a source that is silent holds it for longer, and may

    def newest(self) -> Iterator[Arrival | None]:
        """Whatever came last since the last one was taken, or None after a while without; until the source ends.

        Raises :class:`UserError` for a source that never gave a frame.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest or self._ended, POLL_S)
                arrival, self._newest = self._newest, None
                if arrival is None and self._ended:
                    if self._failure:
                        raise self._failure
                    return
            yield arrival

    def _run(self) -> None:
        try:
            self._keep_reading()
        except Exception as error:  # else nobody would hear of it
            log.exception("%s cannot be read any more", self._source.shown)
            self._failure = UserError(f"{self._source.shown} cannot be read any more ({type(error).__name__})")
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _keep_reading(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            connected_s = time.monotonic()
            try:
                with connected(self._source, self._timeout_s) as connection:
                    self._play(connection)
                without = " without a picture" if self._began_s is None else ""
                failure, ends = UserError(f"{self._source.shown} has ended{without}; check what it is"), connection.ends
            except UserError as error:
                failure, ends = error, False
            if self._began_s is None:
                self._failure = failure
                return
            if ends and not self._again:
                return
            if not ends and not self._stop.is_set():
                if not self._lost:
                    log.warning("%s; it is asked again until it is back", str(failure).partition(";")[0])
                    self._lost = True
                if time.monotonic() - connected_s > STEADY_S:
                    pause_s = FIRST_PAUSE_S
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _play(self, connection: Connection) -> None:
        due_s = None
        before_s = Fraction(0)
        for frame, shown_s in connection.frames:
            if connection.waits:
                due_s = time.perf_counter() if due_s is None else due_s + float(shown_s - before_s)
                early_s = due_s - time.perf_counter()
                if early_s > 0:
                    self._stop.wait(early_s)
                elif early_s < -LATEST_S:
                    due_s = None
            before_s = shown_s
            if self._stop.is_set():
                return
            self._put(frame, connection.pixel_aspect)

    def _put(self, frame: VideoFrame, pixel_aspect: Fraction) -> None:
        if self._lost:
            log.info("%s is back", self._source.shown)
            self._lost = False
        arrived_s = time.perf_counter()
        if self._began_s is None:
            self._began_s = arrived_s
        with self._changed:
            self.dropped += self._newest is not None
            self._newest = Arrival(frame, pixel_aspect, Fraction(arrived_s - self._began_s), arrived_s)
            self._changed.notify()
