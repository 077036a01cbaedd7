"""Steps of a stream that work at the same time, each in a thread."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item], most: int) -> Iterator[Item]:
    """The same, made in a thread, at ``most`` so many before they are used. None of them is ``None``."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = deque(thread.submit(next, items, None) for _ in range(most))
        try:
            while (item := coming.popleft().result()) is not None:
                coming.append(thread.submit(next, items, None))
                yield item
        finally:  # also where nobody wants the rest
            thread.shutdown(cancel_futures=True)
