"""Frames that arrive, painted and delivered one after another."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from pipeline.console import progress
from pipeline.fast.painter import FastPainter
from pipeline.live.meter import Meter
from pipeline.live.reader import Arrival
from pipeline.motion import Frame
from pipeline.overlap import ahead
from pipeline.rectify import to_rgb, upright_size

WIDTH_PX = 640
"""Where nobody asked for another, and the source is not smaller."""
HIGHEST = 2
"""Times the width; a source that is higher still is made narrower."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Styles by their weights, and their strength in [0, 1]."""

    weights: Mapping[str, float]
    strength: float


class Output(Protocol):
    """Where painted frames go."""

    @property
    def wanted(self) -> bool:
        """Whether there is any use in painting."""

    def deliver(self, painted: Frame, original: Frame, arrival: Arrival) -> None:
        """Take a frame (H, W, 3), painted and as it was, H and W even; the size may change."""


def paint_stream(
    arrivals: Iterable[Arrival | None],
    painter: FastPainter,
    mix: Callable[[], Mix],
    width_px: int | None,
    output: Output,
    stop: threading.Event,
) -> Meter:
    """Paint what arrives in the ``mix`` of the moment, until there is no more or ``stop`` is set.

    A frame is painted while the one before it is delivered. ``None`` is among the ``arrivals`` where none comes for a
    while, so that the end is noticed.
    """
    meter, ended = Meter(), threading.Event()

    def painted() -> Iterator[tuple[Frame, Frame, Arrival]]:
        reformatter = VideoReformatter()
        applied: Mix | None = None
        for arrival in arrivals:
            if stop.is_set() or ended.is_set():
                return
            if arrival is None or not output.wanted:
                continue
            if (chosen := mix()) is not applied:
                painter.mix(chosen.weights, chosen.strength)
                applied = chosen
            try:
                pixels = to_rgb(arrival.frame, _size(arrival.frame, arrival.pixel_aspect, width_px), reformatter)
            except (av.FFmpegError, ValueError):  # a layout that cannot be converted
                continue
            yield painter.paint(pixels), pixels, arrival

    with (
        closing(progress(total=None, unit="frame", description="paint")) as bar,
        closing(ahead(painted(), 1)) as frames,
    ):
        try:
            for frame, original, arrival in frames:
                output.deliver(frame, original, arrival)
                meter.add(arrival.arrived_s)
                bar.update()
        finally:
            ended.set()  # before the thread of the painting is waited for
    return meter


def _size(frame: VideoFrame, pixel_aspect: Fraction, width_px: int | None) -> tuple[int, int]:
    width, height = upright_size(frame, pixel_aspect)
    wanted_px = width_px or min(width, WIDTH_PX)
    scale = min(wanted_px / width, HIGHEST * wanted_px / height)
    return round(width * scale), round(height * scale / 2) * 2
