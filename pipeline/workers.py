"""Work on many items in processes of their own: as many as there are cores, or as many as a cluster has."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from pipeline.console import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    at_a_time: int,
    preload: Sequence[str],
    advice: str,
) -> Iterator[Result]:
    """As :func:`in_processes`, or with more than one of ``workers``, which take longer to begin, with Ray."""
    if workers > 1:
        from pipeline.cluster import in_cluster  # torch comes with it, which takes seconds

        yield from in_cluster(function, items, workers=workers, at_a_time=at_a_time)
    else:
        yield from in_processes(function, items, at_a_time=at_a_time, preload=preload, advice=advice)


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], *, at_a_time: int, preload: Sequence[str], advice: str
) -> Iterator[Result]:
    """``function`` of each of ``items``, in order; items and results cross between processes and should be small.

    A process gets items ``at_a_time``: more for quick ones, to wait less often; a run that is stopped finishes them.
    ``preload`` names modules that are slow to import: done once for all processes. Raises :class:`UserError` that ends
    with ``advice`` when a process is killed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    with ProcessPoolExecutor(mp_context=context, initializer=_end_with_parent) as pool:
        try:
            yield from pool.map(function, items, chunksize=at_a_time)
        except BrokenProcessPool:
            raise UserError(f"a process was killed, most likely for want of memory; {advice}") from None


def _end_with_parent() -> None:
    """Start a watch over the parent: the workers of a killed stage would wait for work forever."""

    def watch() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
