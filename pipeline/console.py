"""What every command shares on a terminal: one-line errors, log lines and progress bars."""

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from pipeline.redaction import redacted

MENDABLE = {
    errno.ENOSPC: "make room on the disk and run this again, it goes on where it can",
    errno.EDQUOT: "make room in your quota and run this again, it goes on where it can",
    errno.EBUSY: "wait until the run that uses it has ended, and run this again",
    errno.EACCES: "give yourself access to it, or run this elsewhere",
    errno.EROFS: "this file system cannot be written to, run this elsewhere",
}
"""What to do about errors of the system that no code can foresee."""


LONGEST_SENTENCE = 1000
"""In characters; the middle of a longer one is left out."""


class UserError(Exception):
    """A mistake that its reader can mend. The message is one sentence: the file or parameter, and the way out.

    What it quotes may come from anywhere: it stays one line, and cannot move the cursor of a terminal.
    """

    def __init__(self, sentence: str) -> None:
        plain = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in sentence)
        if len(plain) > LONGEST_SENTENCE:
            plain = f"{plain[: LONGEST_SENTENCE // 2]} ... {plain[-LONGEST_SENTENCE // 3 :]}"
        super().__init__(plain)


class Discreet(logging.Formatter):
    """Keeps the secrets of addresses out of the log, and out of the tracebacks in it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines."""
        return redacted(super().format(record))


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Run a stage's ``main`` on the command line's arguments; a :class:`UserError` ends it with one line and exit 1."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Discreet(f"%(asctime)s {os.environ.get('DVC_STAGE', 'paint')}: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    sys.excepthook = _tell
    try:
        with logging_redirect_tqdm():
            main(sys.argv[1:])
    except UserError as error:
        sys.exit(redacted(f"error: {error}"))
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        sys.exit(f"error: {describe(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


def describe(error: OSError, otherwise: str = "run this again") -> str:
    """An error of the system in one sentence, with what to do about it, or ``otherwise`` where that is not known."""
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}; {MENDABLE.get(error.errno or 0, otherwise)}"


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an error that nobody foresaw."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def progress(*, total: int | None, unit: str, description: str, initial: int = 0, shown: bool = True) -> "tqdm[Any]":
    """A progress bar with rate and ETA on standard error: live on a terminal, a line every 15 s in a log."""
    live = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=initial,
        unit=unit,
        desc=description,
        mininterval=0.2 if live else 15.0,
        maxinterval=0.5 if live else 30.0,
        dynamic_ncols=live,
        ncols=None if live else 90,
        smoothing=0.1,
        disable=not shown,
    )
