import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from pipeline.console import UserError
from pipeline.live import broadcast
from pipeline.live.broadcast import Broadcast
from tests.live.streams import arrival, plain

LISTENER = """
import sys
import av
with av.open(sys.argv[1], container_options={"listen": "1", "timeout": "20"}, timeout=20) as container:
    for number, frame in enumerate(container.decode(video=0)):
        print(frame.width, frame.height, round(frame.to_ndarray(format="gray").mean()), flush=True)
        if number == 4:
            break
"""


@contextmanager
def listening(port: int) -> Iterator["subprocess.Popen[str]"]:
    """An RTMP server that takes five frames, and goes away."""
    command = [sys.executable, "-c", LISTENER, f"rtmp://127.0.0.1:{port}/live/key"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
        while all(each.laddr.port != port for each in psutil.Process(listener.pid).net_connections("tcp4")):
            time.sleep(0.01)  # asked before it listens, it would be refused
        try:
            yield listener
        finally:
            listener.kill()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def sender(port: int, timeout_s: float = 10.0) -> Broadcast:
    address = f"rtmp://user:secret@127.0.0.1:{port}/live/key"
    return Broadcast(address.replace("user:secret@", ""), f"rtmp://127.0.0.1:{port}", timeout_s)


def send_until(sending: Broadcast, ended: "subprocess.Popen[str]", began_s: float) -> None:
    for number in range(1000):
        frame = plain(200) if number % 2 else plain(200, 96, 128)
        sending.deliver(frame, frame, arrival(frame, time.monotonic() - began_s))
        if ended.poll() is not None:
            return
        time.sleep(0.02)


def test_frames_reach_a_server_that_goes_away_and_comes_back(
    port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "FIRST_PAUSE_S", 0.1)
    caplog.set_level(logging.INFO)
    began_s = time.monotonic()
    with sender(port) as sending:
        for _ in range(2):
            with listening(port) as listener:
                send_until(sending, listener, began_s)
                assert listener.stdout
                lines = listener.stdout.read().splitlines()
            assert len(lines) == 5
            assert len({line.rpartition(" ")[0] for line in lines}) == 1
            assert all(abs(int(line.split()[2]) - 200) < 8 for line in lines)
    assert any(f"rtmp://127.0.0.1:{port} was lost" in message for message in caplog.messages)
    assert "key" not in caplog.text


def test_a_server_that_refuses_is_a_mistake(port: int) -> None:
    with sender(port) as sending, pytest.raises(UserError, match=r"does not take the stream \(Connection refused\)"):  # noqa: PT012
        for _ in range(500):
            sending.deliver(plain(1), plain(1), arrival(plain(1)))
            time.sleep(0.02)


def test_a_silent_server_neither_stops_the_painting_nor_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, sender(silent.getsockname()[1], timeout_s=2.0) as sending:
        slowest_s = 0.0
        with pytest.raises(UserError, match=r"does not take the stream \(no answer\)"):  # noqa: PT012
            for _ in range(500):
                began_s = time.monotonic()
                sending.deliver(plain(1), plain(1), arrival(plain(1)))
                slowest_s = max(slowest_s, time.monotonic() - began_s)
                time.sleep(0.02)
        assert slowest_s < 0.5


def test_the_end_does_not_wait_for_a_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "LEAVE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with sender(silent.getsockname()[1]) as sending:
            sending.deliver(plain(1), plain(1), arrival(plain(1)))
            time.sleep(2)
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 2
        assert sending._child
        assert sending._child.wait(2) is not None
