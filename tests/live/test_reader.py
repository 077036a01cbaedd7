import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pipeline.console import UserError
from pipeline.live import reader
from pipeline.live.reader import Arrival, Reader, every_frame
from pipeline.live.sources import Source, parse_source
from tests.clips import grays, make_clip
from tests.live.rtsp import camera
from tests.live.streams import Send, forever, part, served


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(reader, "LONGEST_PAUSE_S", 0.2)


@contextmanager
def reading(source: Source, *, again: bool = False, timeout_s: float = 5.0) -> Iterator[Iterator[Arrival]]:
    with Reader(source, again=again, timeout_s=timeout_s) as opened:
        yield (arrival for arrival in opened.newest() if arrival)


def level(arrival: Arrival) -> int:
    return round(float(arrival.frame.to_ndarray(format="rgb24").mean()))


def test_a_file_gives_every_frame(tmp_path: Path) -> None:
    source = parse_source(str(make_clip(tmp_path / "clip.mp4", grays(20))))
    arrivals = []
    for arrival in every_frame(source):
        arrivals.append(arrival)
        time.sleep(0.005)
    assert [round(level(each) / 10) for each in arrivals] == list(range(20))
    assert [float(each.shown_s) for each in arrivals] == pytest.approx([i / 25 for i in range(20)])


def test_a_slow_painter_gets_the_newest_frame() -> None:
    with served(forever) as address, Reader(parse_source(address), again=False) as opened:
        arrivals = (arrival for arrival in opened.newest() if arrival)
        seen = []
        for arrival in arrivals:
            seen.append(arrival)
            if len(seen) == 5:
                break
            time.sleep(0.2)
        steps = np.diff([level(each) for each in seen])
        assert steps.min() > 4
        assert opened.dropped > 16
        assert all(time.perf_counter() - each.arrived_s < 1.5 for each in seen)
        assert np.diff([float(each.shown_s) for each in seen]) == pytest.approx([0.2] * 4, abs=0.12)


def test_a_file_plays_at_its_own_rate_and_ends(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", grays(15))
    began_s = time.perf_counter()
    with reading(parse_source(str(path))) as arrivals:
        seen = [(level(each), time.perf_counter()) for each in arrivals]
    assert time.perf_counter() - began_s == pytest.approx(15 / 25, abs=0.3)
    assert seen[0][0] < 3
    assert len(seen) > 10


def test_a_file_plays_again(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", grays(5))
    seen: list[Arrival] = []
    with reading(parse_source(str(path)), again=True) as arrivals:
        for arrival in arrivals:
            seen.append(arrival)
            if len(seen) > 12:
                break
    assert sum(level(each) < 5 for each in seen) >= 2
    assert np.diff([float(each.shown_s) for each in seen]).min() > 0


def test_a_source_that_goes_away_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with served(lambda send: send(part(10) + part(20) + part(30))) as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        opened = Reader(parse_source(address), again=False)
        opened.__enter__()
        arrivals = (arrival for arrival in opened.newest() if arrival)
        assert level(next(arrivals)) < 40
    time.sleep(0.5)
    with served(forever, port):
        assert any(level(arrival) > 40 for arrival, _ in zip(arrivals, range(200), strict=False))
    opened.__exit__()
    lost, back = caplog.messages
    assert re.fullmatch(rf"http://127.0.0.1:{port} (has ended|cannot.*); it is asked again until it is back", lost)
    assert back == f"http://127.0.0.1:{port} is back"
    assert "secret" not in caplog.text


def test_a_source_that_stalls_is_left_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    asked = 0
    release = threading.Event()

    def stalls_at_first(send: Send) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            send(part(10) * 3)
            release.wait(20)
        else:
            forever(send)

    with served(stalls_at_first) as address, reading(parse_source(address), timeout_s=0.3) as arrivals:
        began_s = time.monotonic()
        for _, _ in zip(arrivals, range(20), strict=False):
            pass
        assert time.monotonic() - began_s < 5
        release.set()
    assert asked == 2
    assert len(caplog.messages) == 1
    assert re.fullmatch(r"http://127.0.0.1:\d+ gave no picture for 0.3 s; it is asked again.*", caplog.messages[0])


def test_frames_of_other_sizes_go_on() -> None:
    def grows(send: Send) -> None:
        for number in range(1000):
            send(part(number % 250, height=48 + 16 * (number // 20 % 2)))
            time.sleep(0.005)

    with served(grows) as address, reading(parse_source(address)) as arrivals:
        heights = {arrival.frame.height for arrival, _ in zip(arrivals, range(60), strict=False)}
    assert heights == {48, 64}


@pytest.mark.parametrize("sent", [b"<html>", b""])
def test_a_source_that_never_gave_a_picture_is_a_mistake(sent: bytes) -> None:
    mistake = pytest.raises(UserError, match=r"http://127.0.0.1:\d+ (cannot be read|has ended without a picture)")
    with served(lambda send: send(sent)) as address, reading(parse_source(address)) as arrivals, mistake:
        next(arrivals)


def test_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_s: list[float] = []

    def one_picture(send: Send) -> None:
        asked_s.append(time.monotonic())
        if len(asked_s) == 1:
            send(part(10) * 3)

    with served(one_picture) as address, reading(parse_source(address)) as arrivals:
        next(arrivals)
        time.sleep(1.2)
    pauses_s = np.diff(asked_s)
    assert 4 <= len(pauses_s) <= 8
    assert pauses_s[0] < 0.12
    assert pauses_s[3] > 0.19


def test_the_end_does_not_wait_for_a_silent_source() -> None:
    release = threading.Event()

    def stalls(send: Send) -> None:
        send(part(10) * 3)
        release.wait(20)

    with served(stalls) as address:
        with reading(parse_source(address), timeout_s=3) as arrivals:
            next(arrivals)
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 2
        release.set()


def test_a_camera_that_speaks_rtsp_and_changes_its_size(caplog: pytest.LogCaptureFixture) -> None:
    with camera() as address, reading(parse_source(address)) as arrivals:
        seen = [next(arrivals) for _ in range(70)]
    sizes = {(each.frame.width, each.frame.height) for each in seen}
    assert sizes == {(64, 48), (96, 48)}
    assert 0.5 < float(seen[-1].shown_s) < 5
    assert np.diff([level(each) for each in seen if each.frame.width == 96])[1:].max() < 50
    assert not caplog.records
