import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.console import UserError
from pipeline.fast.network import FastNetwork, Widths, constrain, relax
from pipeline.fast.painter import FastPainter, torch_painter
from pipeline.live.meter import Meter
from pipeline.live.painting import Mix, _size, paint_stream
from pipeline.live.reader import Arrival
from pipeline.motion import Frame
from tests.live.streams import arrival, plain


class Kept:
    """An output that keeps what it is given."""

    def __init__(self) -> None:
        self.wanted = True
        self.painted: list[Frame] = []
        self.originals: list[Frame] = []

    def deliver(self, painted: Frame, original: Frame, _: Arrival) -> None:
        self.painted.append(painted)
        self.originals.append(original)


@pytest.fixture
def fast() -> FastPainter:
    network = relax(constrain(FastNetwork(Widths(fine=4, coarse=6, blocks=1), ("dots", "waves"))))
    return torch_painter(network, torch.device("cpu"))


MIX = Mix({"dots": 1.0}, 0.0)


def test_frames_are_painted_in_the_mix_of_the_moment(fast: FastPainter) -> None:
    mixes = iter([Mix({"dots": 1.0}, 1.0), Mix({"waves": 1.0}, 1.0), Mix({"waves": 1.0}, 0.0)])
    kept = Kept()
    frames = [arrival(plain(100)) for _ in range(3)]
    meter = paint_stream(frames, fast, lambda: next(mixes), None, kept, threading.Event())
    expected = []
    for weights in ({"dots": 1.0}, {"waves": 1.0}):
        fast.mix(weights)
        expected.append(fast.paint(kept.originals[0]))
    assert np.array_equal(kept.painted[0], expected[0])
    assert np.array_equal(kept.painted[1], expected[1])
    assert np.array_equal(kept.painted[2], kept.originals[2])
    assert meter.count == 3


def test_sizes_may_change_and_sides_are_even(fast: FastPainter) -> None:
    kept = Kept()
    sizes = [(48, 64), (49, 33), (30, 1000), (1000, 30), (1, 1)]
    frames = [arrival(plain(9, *size)) for size in sizes]
    paint_stream(frames, fast, lambda: MIX, None, kept, threading.Event())
    assert [frame.shape[:2] for frame in kept.painted] == [(48, 64), (48, 32), (20, 640), (60, 2), (2, 2)]


def test_nothing_is_painted_while_nobody_looks_and_nothing_after_the_end(fast: FastPainter) -> None:
    kept, stop = Kept(), threading.Event()

    def arrivals() -> "list[Arrival | None]":
        return [None, arrival(plain(1))]

    kept.wanted = False
    assert paint_stream(arrivals(), fast, lambda: MIX, None, kept, stop).count == 0
    kept.wanted = True
    assert paint_stream(arrivals(), fast, lambda: MIX, None, kept, stop).count == 1
    stop.set()
    assert paint_stream(arrivals(), fast, lambda: MIX, None, kept, stop).count == 0


def test_a_frame_is_painted_while_the_one_before_it_is_delivered(fast: FastPainter) -> None:
    painted = threading.Event()

    def arrivals() -> Iterator[Arrival]:
        yield arrival(plain(1))
        painted.set()
        yield arrival(plain(2))

    class Slow(Kept):
        def deliver(self, *_: object) -> None:
            assert painted.wait(10)

    assert paint_stream(arrivals(), fast, lambda: MIX, None, Slow(), threading.Event()).count == 2


def test_an_output_that_fails_ends_the_painting_of_a_silent_source(fast: FastPainter) -> None:
    def arrivals() -> Iterator[Arrival | None]:
        yield arrival(plain(1))
        while True:
            time.sleep(0.01)
            yield None

    class Full(Kept):
        def deliver(self, *_: object) -> None:
            raise UserError("the disk is full")

    with pytest.raises(UserError, match="the disk is full"):
        paint_stream(arrivals(), fast, lambda: MIX, None, Full(), threading.Event())


@given(st.integers(1, 16_384), st.integers(1, 16_384), st.none() | st.integers(64, 4096), st.integers(1, 4))
def test_no_frame_is_larger_than_its_width_allows(
    height: int, width: int, width_px: int | None, pixel_aspect: int
) -> None:
    class Header:
        rotation = 0

    header = Header()
    header.height, header.width = height, width  # type: ignore[attr-defined]
    sized_width, sized_height = _size(header, Fraction(pixel_aspect), width_px)  # type: ignore[arg-type]
    assert sized_width <= (width_px or 640)
    assert sized_height <= 2 * (width_px or 640)


def test_meter_tells_rate_and_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now_s)
    meter = Meter()
    assert meter.recent() == (0.0, None)
    for i in range(101):
        now_s = 100 + i / 20
        meter.add(now_s - (0.5 if i % 10 == 9 else 0.03))
    rate, latency_s = meter.recent()
    assert rate == pytest.approx(20)
    assert latency_s == pytest.approx(0.03)
    assert meter.rate() == "20.0 a second"
    assert meter.latency() == "median latency 30 ms, 95% within 500 ms"
    now_s = 200.0
    assert meter.recent() == (0.0, None)
    assert meter.count == 101
