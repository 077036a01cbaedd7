"""What was painted sent to an RTMP server, by a process of its own.

    python -m pipeline.live.broadcast

reads an address and frames from standard input, as :class:`Broadcast` writes them. In its own process because FFmpeg's
bindings hold Python's lock while they connect: a silent server would stop the painting and the signals that end it.
"""

import json
import logging
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, Self, cast

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.console import UserError
from pipeline.live.encoder import Encoder
from pipeline.live.reader import FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S, Arrival

HEADER = struct.Struct("<dII")
"""Of a frame: seconds after the first, width and height; its pixels follow."""
READY = b"ready\n"
X264_OPTIONS = {"preset": "veryfast", "tune": "zerolatency", "crf": "21", "maxrate": "6M", "bufsize": "6M", "g": "60"}
TICK_S = Fraction(1, 1000)
"""That of FLV."""
TIMEOUT_S = 10.0
"""Of a server that takes nothing."""
LEAVE_S = 3.0
ROOT = Path(__file__).parents[2]

Frame = NDArray[np.uint8]
"""RGB, (H, W, 3). Not that of :mod:`pipeline.motion`: the process of its own does without torch."""

log = logging.getLogger(__name__)


class Broadcast:
    """Sends to the ``address``, which messages call ``shown``; only the newest frame waits.

    A server that does not take the first frame ends it all; later, it is asked again until it is back.
    """

    def __init__(self, address: str, shown: str, timeout_s: float = TIMEOUT_S) -> None:
        self._address, self._shown, self._timeout_s = address, shown, timeout_s
        self._changed = threading.Condition()
        self._newest: tuple[Frame, Fraction] | None = None
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._busy_since_s: float | None = None
        self._was_ready = False
        self._failure: UserError | None = None
        self._thread = threading.Thread(target=self._run, name="broadcast", daemon=True)

    @property
    def wanted(self) -> bool:
        """Always."""
        return True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(LEAVE_S)
        if self._thread.is_alive() and self._child:
            self._child.kill()

    def deliver(self, painted: Frame, _: Frame, arrival: Arrival) -> None:
        """Send a frame as soon as the last one is sent; raises :class:`UserError` if the server never took one."""
        if self._failure:
            raise self._failure
        with self._changed:
            self._newest = painted, arrival.shown_s
            self._changed.notify()
            busy_since_s, child = self._busy_since_s, self._child
        if busy_since_s is not None and child and time.monotonic() - busy_since_s > self._timeout_s:
            child.kill()

    def _run(self) -> None:
        try:
            self._keep_sending()
        except Exception as error:  # else nobody would hear of it
            log.exception("%s cannot be sent to any more", self._shown)
            self._failure = UserError(f"{self._shown} cannot be sent to any more ({type(error).__name__})")

    def _keep_sending(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            command = [sys.executable, "-m", __name__]
            # In a session of its own, for Ctrl-C is sent to all processes of a terminal.
            with subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            ) as self._child:
                began_s = time.monotonic()
                reason = self._feed(self._child)
            if self._stop.is_set():
                return
            if not self._was_ready:
                self._failure = UserError(f"{self._shown} does not take the stream ({reason}); check the address")
                return
            if time.monotonic() - began_s > STEADY_S:
                pause_s = FIRST_PAUSE_S
            log.warning("%s was lost (%s); it is asked again in %.0f s", self._shown, reason, pause_s)
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _feed(self, child: "subprocess.Popen[bytes]") -> str:
        """Write frames until the end, or until the server is lost; returns why."""
        stdin, stdout = cast(IO[bytes], child.stdin), cast(IO[bytes], child.stdout)
        first, reason = True, "no answer"
        try:
            stdin.write(json.dumps({"address": self._address}).encode() + b"\n")
            while (waiting := self._take()) is not None:
                frame, shown_s = waiting
                self._busy_since_s = time.monotonic()
                stdin.write(HEADER.pack(float(shown_s), frame.shape[1], frame.shape[0]))
                stdin.write(np.ascontiguousarray(frame).data)
                stdin.flush()
                if first:
                    if (answer := stdout.readline()) != READY:
                        return answer.decode(errors="replace").strip() or reason
                    first, self._was_ready, reason = False, True, "it went away"
                self._busy_since_s = None
            stdin.close()
            child.wait(LEAVE_S)
        except (OSError, subprocess.TimeoutExpired):  # the process has ended, or never will
            pass
        finally:
            self._busy_since_s = None
            child.kill()
            with suppress(OSError):  # what was not written yet never will be
                stdin.close()
        return reason

    def _take(self) -> tuple[Frame, Fraction] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._stop.is_set())
            newest, self._newest = self._newest, None
            return None if self._stop.is_set() else newest


def main() -> None:
    """The process of its own: says that it is ready, or why not."""
    frames = sys.stdin.buffer
    address = json.loads(frames.readline())["address"]
    try:
        with av.open(address, "w", format="flv") as container:
            encoder = Encoder(container, TICK_S, X264_OPTIONS)
            for number, (frame, shown_s) in enumerate(_read(frames)):
                encoder.write(frame, shown_s)
                if number == 0:
                    sys.stdout.buffer.write(READY)
                    sys.stdout.flush()
            encoder.finish()
    except av.FFmpegError as error:
        print(error.strerror)
        sys.exit(1)


def _read(frames: IO[bytes]) -> Iterator[tuple[Frame, Fraction]]:
    while len(header := frames.read(HEADER.size)) == HEADER.size:
        shown_s, width, height = HEADER.unpack(header)
        pixels = np.frombuffer(frames.read(width * height * 3), np.uint8)
        yield pixels.reshape(height, width, 3), Fraction(shown_s)


if __name__ == "__main__":
    main()
