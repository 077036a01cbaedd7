"""Large tables, read while other spiders have their turn."""

import asyncio
import csv
import io
from collections.abc import Callable, Sequence

from scrapers.spiders.museum import AnswerError

LONGEST_FIELD = 10_000_000
"""In characters; some texts exceed the default of the csv module."""
ROWS_AT_A_TIME = 1000
Row = dict[str, str]


async def select(table: bytes, columns: Sequence[str], is_wanted: Callable[[Row], bool]) -> list[Row]:
    """Columns of the rows of a CSV file that are wanted. Raises :class:`AnswerError`, or what ``is_wanted`` does."""
    csv.field_size_limit(LONGEST_FIELD)
    lines = io.TextIOWrapper(io.BytesIO(table), "utf-8-sig", newline="")
    rows = []
    try:
        for number, row in enumerate(csv.DictReader(lines)):
            if number % ROWS_AT_A_TIME == 0:
                await asyncio.sleep(0)
            if is_wanted(row):
                rows.append({name: row[name] for name in columns})
    except csv.Error as error:
        raise AnswerError(f"no table: {error}") from error
    return rows
