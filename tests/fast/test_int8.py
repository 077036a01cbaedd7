import os
import sys
from concurrent.futures import ThreadPoolExecutor
from subprocess import run

import numpy as np
import pytest
import torch

from pipeline.fast.files import load_fast
from pipeline.fast.int8 import Int8Network
from pipeline.fast.painter import FastPainter, torch_painter
from pipeline.installed import FAST_PRETRAINED
from pipeline.motion import Frame
from tests.conftest import ROOT
from tests.pictures import textured

FRAME = np.tile(textured(0), (2, 2, 1))
FIRST_FRAMES = """
import sys
from concurrent.futures import ThreadPoolExecutor

sys.setswitchinterval(1e-6)  # as often as it can, the interpreter's lock goes from thread to thread
painter = load_fast_painter(FAST_PRETRAINED, at_once=2)
with ThreadPoolExecutor(2) as threads:
    list(threads.map(painter.paint, [np.zeros((96, 96, 3), np.uint8)] * 4))
"""
"""Half of the runs stood still where threads made the first passes together."""
SIGNAL = """
import signal
from threading import Thread

signal.signal(signal.SIGUSR1, lambda *_: None)
painter = load_fast_painter(FAST_PRETRAINED)
painter.paint(np.zeros((32, 32, 3), np.uint8))
resized = Thread(target=painter.paint, args=[np.zeros((48, 48, 3), np.uint8)])
resized.start()
resized.join()
signal.raise_signal(signal.SIGUSR1)
"""
"""A thread that threw away what another one had compiled took the stack for signals of that one with it."""


@pytest.fixture(scope="module")
def float32() -> FastPainter:
    return torch_painter(load_fast(FAST_PRETRAINED), torch.device("cpu"))


def int8(names: tuple[str, ...], at_once: int = 1) -> FastPainter:
    return FastPainter(names, Int8Network(FAST_PRETRAINED.with_name("fast-int8.onnx"), at_once).fold)


def psnr_db(one: Frame, other: Frame) -> float:
    return float(10 * np.log10(255**2 / max(1e-6, np.square(one.astype(float) - other).mean())))


def test_every_style_is_painted_much_as_in_float(float32: FastPainter) -> None:
    reduced = int8(float32.names)
    for name in float32.names:
        for painter in (reduced, float32):
            painter.mix({name: 1.0}, 0.9)
        assert psnr_db(reduced.paint(FRAME), float32.paint(FRAME)) > 30


def test_frames_of_any_size(float32: FastPainter) -> None:
    painter = int8(float32.names)
    for height, width in ((50, 70), (1, 1), (48, 64)):
        frame = np.ascontiguousarray(FRAME[:height, :width])
        painted = painter.paint(frame)
        assert painted.shape == frame.shape
        assert painted.dtype == np.uint8
    read_only = FRAME[::-1]
    read_only.setflags(write=False)
    assert np.array_equal(painter.paint(read_only), painter.paint(read_only.copy()))


def test_threads_paint_in_a_mixture_of_their_own(float32: FastPainter) -> None:
    alone, shared = int8(float32.names), int8(float32.names, at_once=2)
    mixtures, expected = [], []
    for name in float32.names:
        alone.mix({name: 1.0})
        expected.append(alone.paint(FRAME))
        shared.mix({name: 1.0})
        mixtures.append(shared.mixture)
    with ThreadPoolExecutor(2) as threads:
        for painted, wanted in zip(
            threads.map(lambda each: shared.paint(FRAME, each), mixtures), expected, strict=True
        ):
            assert np.array_equal(painted, wanted)


def test_the_first_frames_of_a_process_may_come_at_the_same_time() -> None:
    assert [status_of(FIRST_FRAMES) for _ in range(2)] == [0, 0]


def test_signals_arrive_after_frames_of_other_sizes_in_other_threads() -> None:
    assert status_of(SIGNAL) == 0


def status_of(script: str) -> int:
    """That with which a process of its own ends."""
    lines = (
        "import numpy as np",
        "from pipeline.fast.runtime import load_fast_painter",
        "from pipeline.installed import FAST_PRETRAINED",
    )
    command = [sys.executable, "-c", "\n".join(lines) + script]
    return run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60).returncode
