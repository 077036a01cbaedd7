"""What every command shares on a terminal: one-line errors, log lines and progress bars."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

MENDABLE = {
    errno.ENOSPC: "make room on the disk and run this again, it goes on where it can",
    errno.EDQUOT: "make room in your quota and run this again, it goes on where it can",
    errno.EBUSY: "wait until the run that uses it has ended, and run this again",
    errno.EACCES: "give yourself access to it, or run this elsewhere",
    errno.EROFS: "this file system cannot be written to, run this elsewhere",
}
"""What to do about errors of the system that no code can foresee."""


class UserError(Exception):
    """A mistake that its reader can mend. The message is one sentence: the file or parameter, and the way out."""


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Run a stage's ``main`` on the command line's arguments; a :class:`UserError` ends it with one line and exit 1."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format=f"%(asctime)s {os.environ.get('DVC_STAGE', 'paint')}: %(message)s",
        datefmt="%H:%M:%S",
    )
    try:
        with logging_redirect_tqdm():
            main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        where = f" ({error.filename})" if error.filename else ""
        sys.exit(f"error: {error.strerror}{where}; {MENDABLE[error.errno]}")
    except KeyboardInterrupt:
        sys.exit(130)


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
