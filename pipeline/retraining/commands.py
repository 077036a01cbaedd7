"""One run at a time, and the commands that it starts: in groups that end with it, with time-outs, without secrets."""

import fcntl
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.console import UserError
from pipeline.redaction import redacted
from pipeline.retraining.webhook import WEBHOOK

GUARDIAN = Path(__file__).with_name("guardian.py")
COMPLAINT = re.compile(r"(error|ERROR|fatal): (.+)")
TAIL_LINES = 200

log = logging.getLogger(__name__)


class AlreadyRunning(Exception):  # noqa: N818, an outcome that is expected
    """Another run holds the lock."""


@contextmanager
def exclusive(path: Path) -> Iterator["Commands"]:
    """Commands of the one run that holds the lock; raises :class:`AlreadyRunning`.

    The lock goes with the last of the processes that have it: this one, and what watches over a command of a run that
    was killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning from None
        yield Commands(file.fileno())


@contextmanager
def stopped_by_termination() -> Iterator[None]:
    """SIGTERM raises :class:`SystemExit`, so that commands are ended and the reason is told."""

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Commands:
    """Runs commands in the current folder. What they print is logged, without credentials in addresses."""

    def __init__(self, lock: int) -> None:
        self._lock = lock

    def run(self, name: str, *command: str, timeout_s: float) -> None:
        """Run a command that is called ``name`` to its end.

        Raises :class:`UserError` with its last complaint if it fails, or takes longer than ``timeout_s``. Whatever
        ends this call or this process ends the command too, and what the command has started.
        """
        log.info("> %s", name)
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        expired = threading.Event()
        with subprocess.Popen(
            [sys.executable, "-IS", str(GUARDIAN), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=environment(),
            pass_fds=[self._lock],
            start_new_session=True,
        ) as process:
            request, output = process.stdin, process.stdout
            assert request is not None and output is not None  # noqa: PT018, S101, for the type checker

            def expire() -> None:
                expired.set()
                request.close()

            alarm = threading.Timer(timeout_s, expire)
            alarm.daemon = True
            alarm.start()
            try:
                for line in output:
                    if said := redacted(line.rstrip()):
                        log.info("%s", said)
                        tail.append(said)
            finally:
                alarm.cancel()
        if expired.is_set():
            raise UserError(f"{name} took more than {timeout_s / 3600:.3g} h and was ended")
        if process.returncode:
            raise UserError(f"{name} failed: {complaint(tail) or f'exit {process.returncode}'}")

    def dvc(self, *arguments: str, timeout_s: float) -> None:
        """Run DVC, that of this environment."""
        self.run(f"dvc {' '.join(arguments)}", sys.executable, "-m", "dvc", *arguments, timeout_s=timeout_s)


def environment() -> dict[str, str]:
    """For commands: stages find this Python, git never asks, and the webhook's address is nobody else's."""
    own = {name: value for name, value in os.environ.items() if name != WEBHOOK}
    path = os.pathsep.join([str(Path(sys.executable).parent), own.get("PATH", os.defpath)])
    return own | {"PATH": path, "PYTHONUNBUFFERED": "1", "GIT_TERMINAL_PROMPT": "0"}


def complaint(lines: Iterable[str]) -> str:
    """The last error of a stage and that of what ran it, or else the last line."""
    said = list(lines)
    last = {found[1]: found[2] for line in said if (found := COMPLAINT.match(line))}
    return "; ".join(last.values()) or (said[-1] if said else "")
