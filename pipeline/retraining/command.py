"""``paint retrain``: scheduled retraining, run by a timer.

paint retrain --clone /srv/paint-your-video
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Annotated

import typer

from pipeline.console import Discreet, UserError, describe
from pipeline.params import PARAMS
from pipeline.retraining.commands import AlreadyRunning, Commands, exclusive, stopped_by_termination
from pipeline.retraining.progress import Run, load_run
from pipeline.retraining.steps import Retraining
from pipeline.retraining.webhook import notify

LOCK = Path(".retrain/lock")
LOG = Path(".retrain/log.txt")
LOG_BYTES, LOG_FILES = 10_000_000, 3
GATED = 3
TROUBLE = 1
BUSY = os.EX_TEMPFAIL

log = logging.getLogger(__name__)


def retrain_command(
    clone: Annotated[
        Path, typer.Option(help="A clone of the project that nothing else works in.", file_okay=False, exists=True)
    ] = Path(),
) -> None:
    """Retrain on today's snapshot, and put the model into service if it is good enough.

    \b
    Takes the newest commit, sets crawl.snapshot, runs the pipeline, and compares the new model with the one in
    service on the same frozen test images, source by source. One that passes the gate (retrain in params.yaml) is
    committed, tagged, pushed with its data, and put into service, in this order. One that does not is kept in
    .retrain/runs for inspection. The model in service is service/current/classifier.safetensors.

    A run that was stopped or failed is gone on with by the next one; the model in service is not touched before all
    else is done. The variable PAINT_RETRAIN_WEBHOOK names an address that is told of every failure.

    \b
    Exit status:
      0    the model is in service, or there was nothing new
      1    trouble: the last line says what; the next run goes on where this one was
      3    gated: the model is not good enough, and the old one stays in service
      75   another run is under way
      143  stopped by SIGTERM; the next run goes on
    """  # noqa: D301, click reads the escape
    start = Path.cwd()
    os.chdir(clone)
    if not (PARAMS.exists() and Path(".git").exists()):
        raise UserError(f"{Path.cwd()} is not a clone of the project; name one with --clone")
    try:
        with exclusive(LOCK) as commands, _logged():
            run = _go_on(commands)
    except AlreadyRunning:
        typer.echo(f"another run is under way in {Path.cwd()}", err=True)
        raise typer.Exit(BUSY) from None
    if not run.outcome:
        log.info("starting again, in the code that has come with the update")
        os.chdir(start)  # where the arguments are meant
        os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606
    if run.outcome == "gated":
        typer.echo(f"gated: {run.message}", err=True)
        raise typer.Exit(GATED)
    typer.echo(run.message)


def _go_on(commands: Commands) -> Run:
    """Go on with the run of this clone, and tell of a failure whatever it is."""
    try:
        with stopped_by_termination():
            run = Retraining(commands, datetime.now().astimezone().date()).go_on()
    except UserError as error:
        _tell(str(error), TROUBLE)
        raise
    except OSError as error:
        message = describe(error, otherwise="run this again, it goes on where it was")
        _tell(message, TROUBLE)
        raise UserError(message) from None
    except SystemExit as stopped:
        _tell("it was stopped by SIGTERM; the next run goes on where it was", int(stopped.code or 0))
        raise
    except Exception as error:
        _tell(f"it met a mistake of its own ({type(error).__name__})", TROUBLE)
        raise
    if run.outcome == "gated":
        _tell(run.message, GATED)
    return run


def _tell(message: str, status: int) -> None:
    where: dict[str, str] = {}
    with suppress(UserError, OSError):
        if run := load_run():
            where = {"snapshot": run.snapshot, "step": run.step}
    notify(message, exit_status=status, **where)


class _Quiet(RotatingFileHandler):
    """Does without what it cannot write: a full disk is told by whatever fails for want of it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, as logging calls it
        pass


@contextmanager
def _logged() -> Iterator[None]:
    """What is logged goes to a file of the clone too."""
    file = _Quiet(LOG, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    file.setFormatter(Discreet("%(asctime)s %(message)s"))
    logging.getLogger().addHandler(file)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(file)
        file.close()
