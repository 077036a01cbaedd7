"""Ways to page through a source that lists far more than is wanted of it."""

from collections.abc import Sequence
from typing import Any

GOLDEN_RATIO = 0.6180339887498949


def last_id(page: Sequence[Any]) -> int:
    """The highest number of the records that have one. Raises :class:`ValueError` where none has."""
    numbers = (record.get("id") for record in page if isinstance(record, dict))
    return max(number for number in numbers if isinstance(number, int))


def spread(count: int) -> list[int]:
    """The numbers below ``count``, in an order of which any beginning is spread over all of them."""
    return sorted(range(count), key=lambda number: number * GOLDEN_RATIO % 1)
