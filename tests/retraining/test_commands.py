import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.console import UserError
from pipeline.retraining import guardian
from pipeline.retraining.commands import AlreadyRunning, Commands, complaint, exclusive
from pipeline.retraining.webhook import WEBHOOK
from tests.conftest import ROOT

LOCK = Path("lock")
FAMILY = """
import os, signal, subprocess, sys, time
from pathlib import Path
if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, __file__, "child"])
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open("pids", "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(60)
"""
"""A command and what it has started, which does not listen to SIGTERM."""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "family.py").write_text(FAMILY)
    with exclusive(LOCK) as commands:
        yield commands


def python(commands: Commands, code: str, timeout_s: float = 60) -> None:
    commands.run("a command", sys.executable, "-c", code, timeout_s=timeout_s)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def family() -> list[int]:
    return [int(line) for line in Path("pids").read_text().split()] if Path("pids").exists() else []


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_what_a_command_says_is_logged_and_its_last_complaint_told(
    commands: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    python(commands, "print('fine')")
    assert "fine" in caplog.messages
    code = "import sys; print('ERROR: early'); print('error: a museum is gone'); print('ERROR: failed'); sys.exit(3)"
    with pytest.raises(UserError, match=r"^a command failed: failed; a museum is gone$"):
        python(commands, code)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], ""),
        (["one", "two"], "two"),
        (["error: a", "ERROR: b", "two"], "a; b"),
        (["fatal: unable to access 'https://host/'"], "unable to access 'https://host/'"),
    ],
)
def test_complaints(lines: list[str], told: str) -> None:
    assert complaint(lines) == told


def test_credentials_and_the_webhook_are_in_no_log(
    commands: Commands, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv(WEBHOOK, "http://hook/secret")
    code = f"import os, sys; sys.exit('fatal: https://me:secret@host/ ' + str(os.environ.get({WEBHOOK!r})))"
    with pytest.raises(UserError, match=r"https://host/ None$"):
        python(commands, code)
    assert "secret" not in caplog.text


def test_python_is_that_of_the_run(commands: Commands) -> None:
    commands.run("python", "sh", "-c", 'test "$(command -v python)" = "$0"', _python(), timeout_s=60)


def _python() -> str:
    return str(Path(sys.executable).with_name("python"))


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick = tmp_path / "guardian.py"
    quick.write_text(Path(guardian.__file__).read_text().replace("GRACE_S = 10.0", "GRACE_S = 0.1"))
    monkeypatch.setattr("pipeline.retraining.commands.GUARDIAN", quick)
    with pytest.raises(UserError, match=r"a command took more than 0\.000\d* h and was ended"):
        commands.run("a command", sys.executable, "family.py", timeout_s=2.0)
    wait_until(lambda: all(map(gone, family())))


def test_what_a_command_leaves_running_goes_with_it(commands: Commands) -> None:
    python(commands, "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, file=open('pids', 'w'))")
    [pid] = family()
    wait_until(lambda: gone(pid))


def test_a_second_run_is_refused(commands: Commands) -> None:
    with pytest.raises(AlreadyRunning), exclusive(LOCK):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_takes_everything_with_it_and_then_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("family.py").write_text(FAMILY.replace("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "pass"))
    code = f"""
import sys
from pathlib import Path
from pipeline.retraining.commands import exclusive, stopped_by_termination
with exclusive(Path({str(LOCK)!r})) as commands, stopped_by_termination():
    commands.run("family", sys.executable, "family.py", timeout_s=60)
"""
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}) as run:
        wait_until(lambda: len(family()) == 2)
        with pytest.raises(AlreadyRunning), exclusive(LOCK):
            pass
        os.kill(run.pid, number)
        run.wait(timeout=30)

    def free() -> bool:
        try:
            with exclusive(LOCK):
                return True
        except AlreadyRunning:
            return False

    wait_until(free)
    assert all(map(gone, family()))
    assert run.returncode == (143 if number is signal.SIGTERM else -9)
