"""Answers: what was kept is there after a kill, and what was damaged is not taken for an answer."""

import errno
import random
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.answers import Answers
from tests.conftest import ROOT

URL = "https://example.org/api?page=1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where no file is yet, nor a folder."""
    return tmp_path / "cache/answers.sqlite"


def test_answer_is_found_again_and_the_last_one_counts(path: Path) -> None:
    with Answers(path) as answers:
        assert answers.get(URL) is None
        answers.put(URL, b"first")
        answers.put(f"{URL}0", b"another")
        answers.put(URL, b"second")
    with Answers(path) as answers:
        assert answers.get(URL) == b"second"
        assert answers.get(f"{URL}0") == b"another"


@given(bodies=st.dictionaries(st.text(st.characters(codec="utf-8")), st.binary(max_size=2000)))
def test_any_body_comes_back_as_it_was(bodies: dict[str, bytes]) -> None:
    with Answers(Path(":memory:")) as answers:
        for url, body in bodies.items():
            answers.put(url, body)
        assert {url: answers.get(url) for url in bodies} == bodies


def test_what_is_stored_survives_a_kill(path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from scrapers.answers import Answers\n"
        "answers = Answers(Path(sys.argv[1]))\n"
        "for number in range(20): answers.put(str(number), b'body' * number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=False)
    with Answers(path) as answers:
        assert [answers.get(str(number)) for number in range(20)] == [b"body" * number for number in range(20)]


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + b"\xff" * 2000])
def test_file_that_is_no_database_is_made_anew(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with Answers(path) as answers:
        assert answers.get(URL) is None
        answers.put(URL, b"body")
        assert answers.get(URL) == b"body"


def test_forgotten_answer_is_gone(path: Path) -> None:
    with Answers(path) as answers:
        answers.put(URL, b"body")
        answers.put(f"{URL}0", b"another")
        answers.forget(URL)
        answers.forget("never stored")
        assert (answers.get(URL), answers.get(f"{URL}0")) == (None, b"another")


def test_full_disk_is_an_error_of_the_system_that_names_the_file(path: Path) -> None:
    with Answers(path) as answers:
        answers.put(URL, b"body")
        answers._database.execute("PRAGMA max_page_count = 1")
        with pytest.raises(OSError, match="full") as caught:
            answers.put(f"{URL}0", random.Random(1).randbytes(100_000))
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
        assert answers.get(URL) == b"body"


def test_file_that_another_process_writes_to_is_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0))
    with Answers(path) as answers, closing(sqlite3.connect(path)) as other:
        answers.put(URL, b"body")
        other.execute("BEGIN EXCLUSIVE")
        for action in (lambda: answers.get(URL), lambda: answers.put(URL, b""), lambda: Answers(path)):
            with pytest.raises(OSError, match="locked") as caught:
                action()
            assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, str(path))
        other.rollback()
        assert answers.get(URL) == b"body"


def test_folder_that_lets_nobody_in_is_named(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").mkdir()
    with pytest.raises(PermissionError, match=r"answers\.sqlite"):
        Answers(tmp_path / "answers.sqlite")


@pytest.mark.parametrize("damaged", [b"", b"body", zlib.compress(b"another body"), zlib.compress(b"body")[:-3]])
def test_damaged_body_is_none_and_can_be_replaced(path: Path, damaged: bytes) -> None:
    with Answers(path) as answers:
        answers.put(URL, b"body")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE answers SET body = ?", (damaged,))
    database.close()
    with Answers(path) as answers:
        assert answers.get(URL) is None
        answers.put(URL, b"body")
        assert answers.get(URL) == b"body"


def test_answer_to_another_question_is_none(path: Path) -> None:
    with Answers(path) as answers:
        answers.put(URL, b"body")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE answers SET url = 'https://example.org/other'")
    database.close()
    with Answers(path) as answers:
        assert answers.get("https://example.org/other") is None
