"""Rehearsals: what ``index`` and ``fetch`` are told about a server that plays the sources."""

from argparse import ArgumentParser
from pathlib import Path

from pipeline.console import UserError

PROJECT = Path(".dvc")
"""Where this folder is, the data are those of a real crawl."""


def add_stand_in(parser: ArgumentParser) -> None:
    """Add the option to ask another server than the sources'; in the project itself it raises :class:`UserError`."""
    parser.add_argument(
        "--stand-in",
        metavar="URL",
        type=_outside_the_project,
        help="rehearse in a folder of its own: ask this server, as a proxy, for whatever any source has",
    )


def _outside_the_project(stand_in: str) -> str:
    if PROJECT.is_dir():
        raise UserError(
            "--stand-in would replace what was crawled here; "
            "make an empty folder, copy params.yaml there, and run this in it"
        )
    return stand_in
