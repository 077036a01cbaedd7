"""The table of photographs in iNaturalist's open data: which of them are drawn, out of a part of the file."""

import asyncio
import gzip
import heapq
import io
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from hashlib import blake2b
from operator import itemgetter

from scrapers.licences import identify
from scrapers.spiders.museum import AnswerError

LARGEST_TEXT = 512 * 2**20
"""Of the part, unpacked, in characters; it should be two to three times its size."""
LONGEST_ROW = 10_000
"""In characters; what is longer is taken for several rows."""
MOST_ROWS = 4_000_000
"""Of the part; it should have one to two million."""
MOST_MALFORMED = 1000
"""So many rows in a row that are none end the reading."""
MOST_DRAWN = 20_000
"""Of free photographs; of more, a sample is held."""
ROWS_AT_A_TIME = 1000
COLUMNS = frozenset(
    {"photo_id", "observation_uuid", "observer_id", "extension", "license", "width", "height", "position"}
)
Row = dict[str, str]


async def draw(part: bytes, licences: Collection[str]) -> list[Row]:
    """The first photographs that are free, one of each observation, in the order of the walk.

    Rows of another length are among them, empty. Raises :class:`AnswerError`.
    """
    lots: list[tuple[bytes, int, Row]] = []
    for number, row in enumerate(_rows(part)):
        if number % ROWS_AT_A_TIME == 0:
            await asyncio.sleep(0)  # the other spiders have their turn
        if row and (row["position"] != "0" or identify(row["license"]) not in licences):
            continue
        lot = blake2b(row.get("observation_uuid", str(number)).encode(), digest_size=8).digest()
        heapq.heappush(lots, (lot, number, row))
        if len(lots) > MOST_DRAWN:
            heapq.heappop(lots)
    one_each = {lot: row for lot, _, row in sorted(lots, reverse=True)}
    rounds: Counter[str] = Counter()
    rows: list[tuple[int, Row]] = []
    for row in one_each.values():
        observer = row.get("observer_id", "")
        rounds[observer] += 1
        rows.append((rounds[observer], row))
    return [row for _, row in sorted(rows, key=itemgetter(0))]


def _rows(part: bytes) -> Iterator[Row]:
    """Yield the rows, by column; one of another length tells nothing."""
    lines = _lines(part)
    names = _fields(next(lines, ""))
    if not COLUMNS.issubset(names):
        raise AnswerError("no table of photographs")
    size = malformed = 0
    for number, line in enumerate(lines, start=1):
        size += len(line)
        if size > LARGEST_TEXT or number > MOST_ROWS:
            raise AnswerError(f"the table unpacks to more than {LARGEST_TEXT} characters or {MOST_ROWS} rows")
        fields = _fields(line)
        malformed = 0 if len(fields) == len(names) else malformed + 1
        if malformed > MOST_MALFORMED:
            raise AnswerError(f"the table has more than {MOST_MALFORMED} malformed rows in a row")
        yield {} if malformed else dict(zip(names, fields, strict=True))


def _lines(part: bytes) -> Iterator[str]:
    """Yield the lines of the text, but not the one that its end cuts off."""
    with gzip.open(io.BytesIO(part), "rt", encoding="utf-8", errors="replace", newline="\n") as text:
        try:
            while line := text.readline(LONGEST_ROW):
                yield line
        except EOFError:
            return
        except (OSError, zlib.error) as error:
            raise AnswerError(f"the table cannot be unpacked: {error}") from error


def _fields(line: str) -> list[str]:
    return line.rstrip("\n").split("\t")
