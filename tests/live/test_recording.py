import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.console import UserError
from pipeline.live.recording import Recording
from tests.live.streams import arrival, plain
from tests.pictures import noise


def played(path: Path) -> list[tuple[float, float, tuple[int, int]]]:
    """Time, mean level and size (height, width) of each frame."""
    with av.open(path) as container:
        return [
            (float(frame.time or 0), float(frame.to_ndarray(format="gray").mean()), (frame.height, frame.width))
            for frame in container.decode(video=0)
        ]


def test_frames_keep_their_times(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    times_s = [Fraction(0), Fraction(1, 30), Fraction(1, 2), Fraction(501, 1001), Fraction(7)]
    with Recording(path) as recording:
        for i, time_s in enumerate(times_s):
            frame = plain(50 * i)
            recording.deliver(frame, frame, arrival(frame, time_s))
        assert not path.exists()
    frames = played(path)
    assert [time_s for time_s, _, _ in frames] == pytest.approx([float(time_s) for time_s in times_s], abs=1e-5)
    assert np.diff([level for _, level, _ in frames]).min() > 30
    assert list(tmp_path.iterdir()) == [path]


def test_equal_times_are_moved_apart(tmp_path: Path) -> None:
    with Recording(tmp_path / "out.mp4") as recording:
        for level in (0, 100, 200):
            recording.deliver(plain(level), plain(level), arrival(plain(level), 1))
    assert np.diff([time_s for time_s, _, _ in played(tmp_path / "out.mp4")]).min() > 0


def test_later_sizes_are_fitted_into_the_first(tmp_path: Path) -> None:
    with Recording(tmp_path / "out.mp4") as recording:
        for i, (height, width) in enumerate([(48, 64), (96, 128), (48, 32)]):
            frame = plain(255, height, width)
            recording.deliver(frame, frame, arrival(frame, i))
    (_, first, size), (_, larger, _), (_, narrow, last_size) = played(tmp_path / "out.mp4")
    assert size == last_size == (48, 64)
    assert first == pytest.approx(larger, abs=3)
    assert narrow == pytest.approx(first / 2, abs=10)


def test_what_was_recorded_is_kept_after_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Recording(tmp_path / "out.mp4") as recording:  # noqa: PT012
        recording.deliver(plain(1), plain(1), arrival(plain(1)))
        raise ZeroDivisionError
    assert len(played(tmp_path / "out.mp4")) == 1


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    with Recording(tmp_path / "out.mp4"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_killed_recording_plays_as_far_as_it_goes(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from pipeline.live.recording import Recording
from tests.live.streams import arrival
from tests.pictures import noise
with Recording(Path(sys.argv[1])) as recording:
    for i in range(250):
        frame = noise(48, 64, 3, seed=i)
        recording.deliver(frame, frame, arrival(frame, i / 25))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / "out.mp4"], check=False)
    assert ended.returncode == -signal.SIGKILL
    (part,) = tmp_path.iterdir()
    assert len(played(part)) > 150


def test_a_file_that_cannot_be_written_is_named() -> None:
    frame = noise(48, 64, 3)
    with pytest.raises(UserError, match=r"full.mp4 cannot be written"), Recording(Path("/proc/full.mp4")) as recording:
        recording.deliver(frame, frame, arrival(frame))
