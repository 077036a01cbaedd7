import logging
import os
import pty
import re
import subprocess
import sys
import termios
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import tallies as tallies_module
from pipeline.tallies import STANDSTILL_S, Tallies

PAINTING, PHOTO = ("nga", "painting"), ("nga", "photo")


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def logged() -> Iterator[list[str]]:
    """What the tallies log, line by line."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    level = tallies_module.log.level
    tallies_module.log.addHandler(handler)
    tallies_module.log.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        tallies_module.log.removeHandler(handler)
        tallies_module.log.setLevel(level)


def shown(tallies: Tallies) -> list[str]:
    """The lines of one look at ``tallies``."""
    with logged() as lines:
        tallies.show()
    return lines


def count(tallies: Tallies, clock: Clock, number: int, every_s: float, key: tuple[str, str] = PAINTING) -> None:
    """Count ``number`` images, each ``every_s`` after what was before it."""
    for _ in range(number):
        clock.now_s += every_s
        tallies.done(*key)


def test_line_has_count_rate_time_left_and_reasons_the_most_frequent_first() -> None:
    with Tallies({PAINTING: 1667}, clock=(clock := Clock())) as tallies:
        for reason in ("http-404", "timeout", "timeout"):
            tallies.failed(*PAINTING, reason)
        count(tallies, clock, 400, every_s=1.25)
        status = "0.8/s, 26 min left; failed 3: timeout 2, http-404 1"
        assert shown(tallies) == [
            f"nga painting: 400 of 1667, {status}",
            f"fetch: 400 of 1667 images, {status}",
        ]


def test_what_was_here_already_is_no_part_of_the_rate() -> None:
    with Tallies({PAINTING: 1000}, "work", "index", {PAINTING: 930}, clock=(clock := Clock())) as tallies:
        assert shown(tallies)[1] == "index: 930 of 1000 works, waiting"
        count(tallies, clock, 10, every_s=1)
        assert shown(tallies)[1] == "index: 940 of 1000 works, 1.0/s, 60 s left"


def test_rate_is_that_of_the_last_minute_or_so() -> None:
    with Tallies({PAINTING: 100_000}, clock=(clock := Clock())) as tallies:
        count(tallies, clock, 10_000, every_s=0.1)
        assert "10.0/s" in shown(tallies)[0]
        count(tallies, clock, 70, every_s=1)
        assert "1.0/s" in shown(tallies)[0]


def test_slow_source_has_a_rate_too() -> None:
    with Tallies({PAINTING: 306}, clock=(clock := Clock())) as tallies:
        count(tallies, clock, 6, every_s=25)
        assert shown(tallies)[0] == "nga painting: 6 of 306, 2.4/min, 2 h 5 min left"


def test_few_images_make_no_rate() -> None:
    with Tallies({PAINTING: 500}, clock=(clock := Clock())) as tallies:
        count(tallies, clock, 3, every_s=25)
        assert shown(tallies)[0] == "nga painting: 3 of 500"


def test_paused_source_has_no_absurd_time_left() -> None:
    with Tallies({PAINTING: 700}, clock=(clock := Clock())) as tallies:
        count(tallies, clock, 100, every_s=1)
        clock.now_s += 20
        assert shown(tallies)[0] == "nga painting: 100 of 700, 1.0/s, 10 min left"
        clock.now_s += 1000
        assert shown(tallies)[0] == "nga painting: 100 of 700, none for 17 min"
        count(tallies, clock, 1, every_s=0)
        assert shown(tallies)[0] == "nga painting: 101 of 700"
        count(tallies, clock, 5, every_s=1)
        assert shown(tallies)[0] == "nga painting: 106 of 700, 1.0/s, 10 min left"


@given(gaps_s=st.lists(st.floats(0, 3 * STANDSTILL_S) | st.floats(0, 1), max_size=80), looked_s=st.floats(0, 100))
def test_time_left_is_never_longer_than_a_standstill_for_each_image(gaps_s: list[float], looked_s: float) -> None:
    total = 10_000
    with Tallies({PAINTING: total}, clock=(clock := Clock())) as tallies:
        for gap_s in gaps_s:
            count(tallies, clock, 1, every_s=gap_s)
        clock.now_s += looked_s
        for line in shown(tallies):
            if left := re.search(r"(?:(\d+) h )?(\d+) (min|s) left", line):
                minutes = int(left[1] or 0) * 60 + int(left[2]) / (60 if left[3] == "s" else 1)
                assert minutes <= (total - len(gaps_s)) * STANDSTILL_S / 60 + 1


def test_time_left_of_all_is_that_of_the_slowest_source() -> None:
    fast, slow = ("met", "photo"), ("aic", "photo")
    with Tallies({fast: 1000, slow: 1010, PAINTING: 20}, clock=(clock := Clock())) as tallies:
        for _ in range(10):
            count(tallies, clock, 1, every_s=1, key=slow)
            count(tallies, clock, 9, every_s=0, key=fast)
        assert shown(tallies)[-1].endswith(", at least 17 min left")
        for _ in range(10):
            count(tallies, clock, 1, every_s=1, key=PAINTING)
            count(tallies, clock, 1, every_s=0, key=slow)
        assert shown(tallies)[-1].endswith("/s, 16 min left")


def test_class_whose_turn_comes_later_takes_the_pace_of_its_source() -> None:
    with Tallies({PAINTING: 130, PHOTO: 200}, clock=(clock := Clock())) as tallies:
        count(tallies, clock, 10, every_s=1)
        assert shown(tallies) == [
            "nga painting: 10 of 130, 1.0/s, 2 min left",
            "nga photo: 0 of 200, waiting",
            "fetch: 10 of 330 images, 1.0/s, 5 min left",
        ]
        count(tallies, clock, 120, every_s=1)
        count(tallies, clock, 11, every_s=2, key=PHOTO)
        assert shown(tallies)[-1].endswith("/s, 6 min left")


def test_log_is_silent_about_what_has_ended() -> None:
    with logged() as lines, Tallies({PAINTING: 2, PHOTO: 3}, clock=(clock := Clock())) as tallies:
        count(tallies, clock, 2, every_s=2)
        assert [line.split(":")[0] for line in shown(tallies)] == ["nga painting", "nga photo", "fetch"]
        assert [line.split(":")[0] for line in shown(tallies)] == ["nga photo", "fetch"]
        lines.clear()
    assert lines == [
        "nga painting: 2 of 2 in 2 s, 0.5/s",
        "nga photo: 0 of 3",
        "fetch: 2 of 5 images in 2 s, 0.5/s",
    ]


def test_crawl_of_a_moment_has_no_rate() -> None:
    with logged() as lines, Tallies({PAINTING: 20}, clock=(clock := Clock())) as tallies:
        count(tallies, clock, 20, every_s=0.01)
    assert lines == ["nga painting: 20 of 20", "fetch: 20 of 20 images"]


def test_share_may_change() -> None:
    with Tallies({PAINTING: 10, PHOTO: 10}, "work", "index", clock=Clock()) as tallies:
        tallies.total(*PAINTING, 0)
        tallies.total(*PHOTO, 15)
        tallies.done(*PHOTO)
        assert shown(tallies) == ["nga photo: 1 of 15", "index: 1 of 15 works"]


def test_rare_reasons_are_left_out() -> None:
    with Tallies({PAINTING: 100}, clock=Clock()) as tallies:
        for status in range(400, 407):
            for _ in range(407 - status):
                tallies.failed(*PAINTING, f"http-{status}")
        most = "http-400 7, http-401 6, http-402 5, http-403 4, http-404 3, ..."
        assert shown(tallies)[0] == f"nga painting: 0 of 100; failed 28: {most}"


def test_log_is_written_while_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies_module, "LOG_INTERVAL_S", 0.01)
    with logged() as lines, Tallies({PAINTING: 2}):
        wait_until(lambda: len(lines) >= 4)
    threads = [thread for thread in threading.enumerate() if "_keep_showing" in thread.name]
    assert lines[0] == "nga painting: 0 of 2, waiting"
    assert not threads


def test_nothing_grows_with_the_number_of_images() -> None:
    with Tallies({PAINTING: 10**6}, clock=(clock := Clock())) as tallies:
        count(tallies, clock, 2000, every_s=1)
        tracemalloc.start()
        count(tallies, clock, 20_000, every_s=1)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert grown < 10_000


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for what has to happen within 10 s."""
    until_s = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.005)


class Terminal:
    """A terminal of which only the cursor's moves up and to the margin are understood, which is what tqdm writes."""

    def __init__(self, rows: int, columns: int) -> None:
        self.screen, child = pty.openpty()
        termios.tcsetwinsize(child, (rows, columns))
        code = "from pipeline.console import run; from tests.test_tallies import crawl; run(crawl)"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=child, env={"LC_ALL": "C.UTF-8"}
        )
        os.close(child)
        self.received = bytearray()
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def go_on(self) -> None:
        """Let the crawl go on to its next step."""
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """Wait for the crawl's end."""
        assert self.process.wait(timeout=20) == 0
        self._thread.join()
        os.close(self.screen)

    def lines(self) -> list[str]:
        """What can be read, from the first line that was written to the last."""
        rows, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[A|[\r\n]|[^\x1b\r\n]+", self.received.decode(errors="ignore")):
            if part == "\x1b[A":
                row -= 1
            elif part == "\r":
                column = 0
            elif part == "\n":
                row += 1
                rows += [""] * (row + 1 - len(rows))
            else:
                rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
                column += len(part)
        return [line.rstrip() for line in rows if line.strip()]

    def _receive(self) -> None:
        try:
            while chunk := os.read(self.screen, 4096):
                self.received += chunk
        except OSError:  # what Linux says where the other end is closed
            return


SOURCES = ("aic", "met", "nga")


def crawl(argv: object) -> None:
    """Three sources on a terminal; each step waits for a line on standard input."""
    log = logging.getLogger("crawl")
    with Tallies({(source, label): 2 for source in SOURCES for label in ("painting", "photo")}) as tallies:
        for source in SOURCES:
            sys.stdin.readline()
            log.info("asking %s", source)
            tallies.done(source, "painting")
            tallies.failed(source, "painting", "timeout")
            tallies.done(source, "photo")
        sys.stdin.readline()


@contextmanager
def crawling_on(rows: int) -> Iterator[Terminal]:
    """A terminal on which all steps of the crawl are done but the last."""
    terminal = Terminal(rows, 100)
    try:
        for source in SOURCES:
            terminal.go_on()
            wait_until(lambda source=source: f"asking {source}" in "".join(terminal.lines()))  # type: ignore[misc]
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.communicate()


def bars(lines: list[str]) -> list[str]:
    """What stands beside the bars."""
    return [" ".join(line.partition("| ")[2].split()) for line in lines if line.startswith("|")]


def test_terminal_has_a_bar_for_each_below_the_log() -> None:
    running = [
        f"{source} {status}"
        for source in SOURCES
        for status in ("painting 1 of 2; failed 1: timeout 1", "photo 1 of 2")
    ]
    with crawling_on(24) as terminal:
        wait_until(lambda: bars(terminal.lines()) == ["fetch 6 of 12 images; failed 3: timeout 3", *running])
        assert [line[9:] for line in terminal.lines()[:3]] == [f"paint: asking {source}" for source in SOURCES]
        assert "|███████▌  | fetch " in terminal.lines()[3]
        terminal.go_on()
        terminal.close()
        assert [line[9:] for line in terminal.lines()[:3]] == [f"paint: asking {source}" for source in SOURCES]
        assert len(terminal.lines()) == 3 + 7
        names = [" ".join(line.split()[:2]) for line in bars(terminal.lines())[1:]]
        assert names == [f"{source} {label}" for source in SOURCES for label in ("painting", "photo")]


def test_low_terminal_shows_what_has_not_ended() -> None:
    with crawling_on(6) as terminal:
        running = [f"{source} photo 1 of 2" for source in SOURCES]
        wait_until(lambda: bars(terminal.lines())[1:] == running)
        assert terminal.lines()[-1] == " ... (more hidden) ..."
        termios.tcsetwinsize(terminal.screen, (24, 100))
        wait_until(lambda: len(bars(terminal.lines())) == 7)
        terminal.go_on()
        terminal.close()
        assert len(terminal.lines()) == 3 + 7
