"""Ways to page through a source that lists far more than is wanted of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

GOLDEN_RATIO = 0.6180339887498949


async def pages(ask: Callable[[int], Awaitable[Any]]) -> AsyncIterator[Any]:
    """Yield the records of page after page, up to the total that each names or the first empty one.

    ``ask`` gets the number of records to skip.
    """
    skip, total = 0, 1
    while skip < total:
        answer = await ask(skip)
        page, total = answer["data"], answer["info"]["total"]
        for record in page:
            yield record
        if not page:
            return
        skip += len(page)


def last_id(page: Sequence[Any]) -> int:
    """The highest number of the records that have one. Raises :class:`ValueError` where none has."""
    numbers = (record.get("id") for record in page if isinstance(record, dict))
    return max(number for number in numbers if isinstance(number, int))


def spread(count: int) -> list[int]:
    """The numbers below ``count``, in an order of which any beginning is spread over all of them."""
    return sorted(range(count), key=lambda number: number * GOLDEN_RATIO % 1)
