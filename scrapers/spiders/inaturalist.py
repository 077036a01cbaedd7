"""iNaturalist: photographs of plants and animals, out of the table and the bucket of its open data."""

import asyncio
import gzip
import heapq
import io
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from hashlib import blake2b
from operator import itemgetter
from typing import Any, ClassVar

from scrapers.items import Label, Work
from scrapers.licences import URLS, identify
from scrapers.spiders.museum import AnswerError, MuseumSpider

BUCKET = "https://inaturalist-open-data.s3.amazonaws.com"
TABLE = f"{BUCKET}/photos.csv.gz"
PART_BYTES = 64 * 2**20
"""More than a million of the hundreds of millions of rows; the whole table has more than 10 GB."""
PART_TIMEOUT_S = 600
LARGEST_TEXT = 8 * PART_BYTES
"""Of the part, unpacked, in characters; it should be two to three times its size."""
LONGEST_ROW = 10_000
"""In characters; what is longer is taken for several rows."""
MOST_ROWS = 20_000
"""Of free photographs; of more, a sample is held."""
ROWS_AT_A_TIME = 1000
COLUMNS = frozenset(
    {"photo_id", "observation_uuid", "observer_id", "extension", "license", "width", "height", "position"}
)
EXTENSIONS = frozenset({"jpg", "jpeg", "png"})
LARGE_PX = 1024
Row = dict[str, str]


class INaturalistSpider(MuseumSpider):
    """The first photograph of each observation, under the licence that the observer gave it.

    The rows are in no random order, says the documentation, so works are drawn from all of the part that is read: by
    the hash of their observation, the first of every observer before the second of any. What the rest of the table has
    is not represented.
    """

    name = "inaturalist"
    labels: ClassVar[tuple[Label, ...]] = ("photo",)
    image_hosts = frozenset({"inaturalist-open-data.s3.amazonaws.com"})
    # The bucket may call the table encoded by gzip, which Scrapy would undo without heed to its being a part.
    custom_settings = {"COMPRESSION_ENABLED": False}  # noqa: RUF012 as Scrapy declares it

    async def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield the rows of free photographs, those of all observers in turn."""
        for row in await self._ask():
            yield row

    def work(self, record: Any, label: Label) -> Work | None:
        """Read a row."""
        if record["extension"].lower() not in EXTENSIONS:
            return None
        photo, licence = int(record["photo_id"], 10), identify(record["license"])
        width_px, height_px = _size(record["width"], record["height"])
        return Work(
            source=self.name,
            id=f"{photo}",
            label=label,
            group=record["observation_uuid"],
            title=f"iNaturalist photograph {photo}",
            creator=f"iNaturalist observer {int(record['observer_id'], 10)}",
            year=None,
            licence=licence,
            licence_url=URLS[licence],
            page_url=f"https://www.inaturalist.org/photos/{photo}",
            image_url=f"{BUCKET}/photos/{photo}/large.{record['extension']}",
            width_px=width_px,
            height_px=height_px,
        )

    async def _ask(self) -> list[Row]:
        async with self.keeping(
            TABLE,
            headers={"Range": f"bytes=0-{PART_BYTES - 1}"},
            download_maxsize=PART_BYTES,
            download_timeout=PART_TIMEOUT_S,
        ) as part:
            return await self._draw(part)

    async def _draw(self, part: bytes) -> list[Row]:
        """The first photographs that are free, one of each observation, in the order of the walk."""
        lots: list[tuple[bytes, int, Row]] = []
        for number, row in enumerate(_rows(part)):
            if number % ROWS_AT_A_TIME == 0:
                await asyncio.sleep(0)  # the other spiders have their turn
            if row and (row["position"] != "0" or identify(row["license"]) not in self.licences):
                continue
            lot = blake2b(row.get("observation_uuid", str(number)).encode(), digest_size=8).digest()
            heapq.heappush(lots, (lot, number, row))
            if len(lots) > MOST_ROWS:
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
    """Yield the rows, by column; one of another length tells nothing. Raises :class:`AnswerError`."""
    lines = _lines(part)
    names = _fields(next(lines, ""))
    if not COLUMNS.issubset(names):
        raise AnswerError(f"{TABLE}: not a table of photographs")
    size = 0
    for line in lines:
        size += len(line)
        if size > LARGEST_TEXT:
            raise AnswerError(f"{TABLE}: unpacks to more than {LARGEST_TEXT} characters")
        fields = _fields(line)
        yield dict(zip(names, fields, strict=True)) if len(fields) == len(names) else {}


def _lines(part: bytes) -> Iterator[str]:
    """Yield the lines of the text, but not the one that its end cuts off."""
    with gzip.open(io.BytesIO(part), "rt", encoding="utf-8", errors="replace", newline="\n") as text:
        try:
            while line := text.readline(LONGEST_ROW):
                yield line
        except EOFError:
            return
        except (OSError, zlib.error) as error:
            raise AnswerError(f"{TABLE}: {error}") from error


def _fields(line: str) -> list[str]:
    return line.rstrip("\n").split("\t")


def _size(width: str, height: str) -> tuple[int, int] | tuple[None, None]:
    if not (width or height):
        return None, None
    width_px, height_px = int(width, 10), int(height, 10)
    longest_px = max(width_px, height_px, LARGE_PX)
    return width_px * LARGE_PX // longest_px, height_px * LARGE_PX // longest_px
