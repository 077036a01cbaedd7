"""Whatever comes from outside, made wrong by chance: it is read, or refused in one sentence.

A module for each input: ``originals`` makes sound files of it, ``read`` reads one as the pipeline does. Readers are
native code in part, so a process of its own runs them, which a crash, a hang or a hunger for memory would end. A longer
run of one input, or of all:

    python -m tests.fuzz pictures --seconds 300
"""

from collections.abc import Callable

from pipeline.console import UserError


def read_as_any(*readers: Callable[[], object]) -> None:
    """Call all the readers of a file that may be of several kinds; raises the refusal of the first if all refuse."""
    refusals = []
    for read in readers:
        try:
            read()
        except UserError as error:
            refusals.append(error)
    if len(refusals) == len(readers):
        raise refusals[0]
