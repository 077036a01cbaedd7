"""Steps of a stream that work at the same time, each in a thread."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item], most: int) -> Generator[Item, None, None]:
    """The same, made in a thread, at ``most`` so many before they are used. None of them is ``None``."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = deque(thread.submit(next, items, None) for _ in range(most))
        try:
            while (item := coming.popleft().result()) is not None:
                coming.append(thread.submit(next, items, None))
                yield item
        finally:  # also where nobody wants the rest
            thread.shutdown(cancel_futures=True)


def at_once(calls: Iterable[Callable[[], Item]], workers: int, prepare: Callable[[], object]) -> Iterator[Item]:
    """What the ``calls`` return, in their order, ``workers`` of them at a time; each thread calls ``prepare`` first."""
    with ThreadPoolExecutor(workers, initializer=prepare) as threads:
        coming: deque[Future[Item]] = deque()
        try:
            for call in calls:
                coming.append(threads.submit(call))
                if len(coming) > workers:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)
