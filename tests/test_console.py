import errno
import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.console import UserError, progress, run


def fail(argv: object) -> None:
    raise UserError("params.yaml: finetune.epochs should be a number")


def test_a_mistake_ends_with_one_line_and_status_1() -> None:
    code = "from pipeline.console import run; from tests.test_console import fail; run(fail)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "error: params.yaml: finetune.epochs should be a number\n"


def fill_disk(argv: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "a.npy")


def test_a_full_disk_is_no_traceback() -> None:
    code = "from pipeline.console import run; from tests.test_console import fill_disk; run(fill_disk)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: No space left on device (a.npy); make room")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    with pytest.raises(ZeroDivisionError):
        run(lambda argv: 1 / 0)  # type: ignore[arg-type]


def test_progress_in_a_log_has_count_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(total=3, unit="frame", description="paint") as bar:
        bar.update(3)
    assert "paint: 100%" in (text := capsys.readouterr().err)
    assert "3/3" in text


def leak(argv: object) -> None:
    address = "rtsp://user:secret@camera.local/secret"
    logging.getLogger("a").warning("%s is silent", address)
    try:
        raise ValueError(address)
    except ValueError:
        logging.getLogger("a").exception("it failed")
    raise (UserError if "mistake" in sys.argv else ValueError)(f"{address} is lost")


@pytest.mark.parametrize("kind", ["mistake", "bug"])
def test_secrets_of_addresses_are_neither_logged_nor_printed(kind: str) -> None:
    code = "from pipeline.console import run; from tests.test_console import leak; run(leak)"
    result = subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.count("rtsp://camera.local") >= 3
    assert "secret" not in result.stdout + result.stderr.replace('"rtsp://user:secret@camera.local/secret"', "")


@given(st.text() | st.text(min_size=1001, max_size=3000))
def test_a_sentence_is_one_line_whatever_it_quotes(text: str) -> None:
    sentence = str(UserError(f"a.jpg cannot be used ({text}); give another"))
    assert sentence.isprintable()
    assert len(sentence) <= 1000
    assert sentence.startswith("a.jpg")
    assert sentence.endswith("; give another")
    assert str(UserError(sentence)) == sentence
