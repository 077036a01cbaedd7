import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline import cli
from pipeline.console import UserError
from pipeline.installed import FAST
from tests.clips import make_clip
from tests.live.streams import forever, served, write_network
from tests.pictures import scene

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network, and a clip of 20 frames at uneven times."""
    monkeypatch.chdir(tmp_path)
    write_network(FAST)
    times_ms = [40 * i + 7 * (i % 3) for i in range(20)]
    make_clip(Path("clip.mkv"), [np.asarray(scene(64, 48, seed=i)) for i in range(20)], times_ms=times_ms)
    return tmp_path


def stream(*arguments: str) -> None:
    result = CliRunner().invoke(cli.app, ["stream", *arguments])
    if result.exception:
        raise result.exception


def times_s(path: Path) -> list[float]:
    with av.open(path) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


def test_a_file_into_a_file_keeps_every_frame_and_its_time(project: Path) -> None:
    stream("--input", "clip.mkv", "--style", "waves", "--style", "dots", "--weights", "2,1", "--output", "out.mp4")
    assert times_s(Path("out.mp4")) == pytest.approx(times_s(Path("clip.mkv")), abs=1e-5)


def test_strength_and_width(project: Path) -> None:
    stream("--input", "clip.mkv", "--strength", "0", "--width", "128", "--output", "out.mp4")
    with av.open("out.mp4") as painted, av.open("clip.mkv") as clip:
        larger, frame = (next(each.decode(video=0)) for each in (painted, clip))
        assert (larger.width, larger.height) == (128, 96)
        same = larger.to_ndarray(format="rgb24", width=64, height=48)
    assert np.corrcoef(same.ravel(), frame.to_ndarray(format="rgb24").ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--input clip.mkv --style other --output out.mp4", "there is no style other; choose among dots, waves"),
        ("--input clip.mkv --style dots --style dots --output out.mp4", "--style names a style twice"),
        ("--input clip.mkv --style dots --weights 1,2 --output out.mp4", "--weights 1,2 should be a number for each"),
        ("--input none.mkv --output out.mp4", "none.mkv is not a file"),
        ("--input none.mkv --output page --port 0", "none.mkv is not a file"),
        ("--input clip.mkv --output out.avi", "--output out.avi should end in .mp4"),
        ("--input clip.mkv --output no/out.mp4", "there is no folder no"),
        ("--input clip.mkv --output srt://host/", "--output should be page, a file"),
        ("--input clip.mkv --output rtmp://user:secret@/", "--output has an address without a host"),
        ("--input ftp://user:secret@host/ --output out.mp4", "--input should be a file, camera:0"),
    ],
)
def test_mistakes_are_named(project: Path, arguments: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        stream(*arguments.split())
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)
    assert not Path("out.mp4").exists()


def test_a_page_for_all_is_warned_of(
    project: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("pipeline.live.command.LOOPBACK", ())  # the tests go no farther
    with pytest.raises(UserError):
        stream("--input", "none.mkv", "--port", "0")
    assert any("whoever reaches http://127.0.0.1:" in each for each in caplog.messages)


class Process:
    """``paint stream`` as a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-c", "from pipeline.cli import main; main()", "stream", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.running = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        assert self.running.stderr
        self.log: IO[str] = self.running.stderr

    def ended_by(self, number: signal.Signals) -> tuple[int, str]:
        self.running.send_signal(number)
        said = self.log.read()
        self.log.close()
        return self.running.wait(20), said


def wait_for_growth(folder: Path, process: Process) -> None:
    """Until there is a second of it."""
    deadline_s = time.monotonic() + 120
    while time.monotonic() < deadline_s and process.running.poll() is None:
        if any(each.stat().st_size > 4000 for each in folder.glob(".out.*.mp4")):
            time.sleep(1.5)
            return
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_live_source_is_recorded_until_it_is_stopped(project: Path, number: signal.Signals) -> None:
    with served(forever) as address:
        process = Process(project, "--input", address, "--output", "out.mp4")
        wait_for_growth(project, process)
        status, said = process.ended_by(number)
    assert status == 0
    assert "frames painted" in said
    assert "secret" not in said
    assert [each.name for each in project.glob("*out*")] == ["out.mp4"]
    shown_s = times_s(project / "out.mp4")
    assert len(shown_s) > 10
    assert np.diff(shown_s).min() > 0


def test_a_killed_recording_leaves_what_it_had(project: Path) -> None:
    with served(forever) as address:
        process = Process(project, "--input", address, "--output", "out.mp4")
        wait_for_growth(project, process)
        process.ended_by(signal.SIGKILL)
    (part,) = project.glob(".out.*.mp4")
    assert len(times_s(part)) > 5


def test_addresses_may_be_given_in_the_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PAINT_INPUT", "clip.mkv")
    monkeypatch.setenv("PAINT_OUTPUT", "out.mp4")
    stream()
    assert len(times_s(Path("out.mp4"))) == 20
    monkeypatch.setenv("PAINT_INPUT", "rtsp://user:secret@127.0.0.1:9/secret")
    with pytest.raises(UserError, match=r"rtsp://127\.0\.0\.1:9 cannot be read") as raised:
        stream()
    assert "secret" not in str(raised.value) + "".join(capfd.readouterr()) + caplog.text
    monkeypatch.setenv("PAINT_OUTPUT", "rtmp://user:secret@127.0.0.1:9/app/secret")
    with served(forever) as address:
        monkeypatch.setenv("PAINT_INPUT", address)
        with pytest.raises(UserError, match=r"rtmp://127\.0\.0\.1:9 does not take the stream") as raised:
            stream()
    assert "secret" not in str(raised.value) + "".join(capfd.readouterr()) + caplog.text
