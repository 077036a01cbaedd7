"""The National Gallery of Art, Washington: two tables of its open data, at one commit of their repository."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Any

from scrapers.items import Label, Work
from scrapers.licences import URLS
from scrapers.spiders.museum import AnswerError, MuseumSpider
from scrapers.text import plain

COMMIT = "79d114c2186ca38af27a9478717f1e509d799495"
TABLES = f"https://raw.githubusercontent.com/NationalGalleryOfArt/opendata/{COMMIT}/data"
LARGEST_TABLE_BYTES = 100 * 2**20
"""GitHub stores no larger file."""
TABLE_TIMEOUT_S = 600
LONGEST_FIELD = 10_000_000
"""In characters; some texts exceed the default of the csv module."""
ROWS_AT_A_TIME = 1000
TYPES: dict[Label, str] = {"painting": "Painting", "photo": "Photograph"}
COLUMNS = ("objectid", "title", "attribution", "beginyear", "classification", "parentid", "isvirtual")
IMAGE_COLUMNS = ("iiifurl", "width", "height")
LONG_SIDE_PX = 843


class NgaSpider(MuseumSpider):
    """Images of at most 843 pixels, CC0."""

    name = "nga"
    image_hosts = frozenset({"api.nga.gov"})
    objects: list[dict[str, str]] | None = None
    """Paintings and photographs with an open image, from both tables."""

    async def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield the objects of a class; the tables are asked for once."""
        if self.objects is None:
            self.objects = await self._join()
        for record in self.objects:
            if record["classification"] == TYPES[label]:
                yield record

    def work(self, record: Any, label: Label) -> Work | None:
        """Read an object. A virtual one, such as the cover of a portfolio, shows nothing of its own."""
        if record["isvirtual"] == "1":
            return None
        width_px, height_px = int(record["width"], 10), int(record["height"], 10)
        longest_px = max(width_px, height_px, LONG_SIDE_PX)
        return Work(
            source=self.name,
            id=record["objectid"],
            label=label,
            group=record["parentid"] or record["objectid"],
            title=plain(record["title"], "untitled"),
            creator=plain(record["attribution"], "unknown"),
            year=int(record["beginyear"], 10) if record["beginyear"] else None,
            licence="CC0-1.0",
            licence_url=URLS["CC0-1.0"],
            page_url=f"https://www.nga.gov/artworks/{record['objectid']}",
            image_url=f"{record['iiifurl']}/full/!{LONG_SIDE_PX},{LONG_SIDE_PX}/0/default.jpg",
            width_px=width_px * LONG_SIDE_PX // longest_px,
            height_px=height_px * LONG_SIDE_PX // longest_px,
        )

    async def _join(self) -> list[dict[str, str]]:
        images: dict[str, dict[str, str]] = {}
        async for row in self._rows("published_images"):
            if row["viewtype"] == "primary" and row["openaccess"] == "1":
                images.setdefault(row["depictstmsobjectid"], {name: row[name] for name in IMAGE_COLUMNS})
        return [
            {name: row[name] for name in COLUMNS} | images[row["objectid"]]
            async for row in self._rows("objects")
            if row["objectid"] in images and row["classification"] in TYPES.values()
        ]

    async def _rows(self, table: str) -> AsyncIterator[dict[str, str]]:
        """Yield a table's rows, and let the other spiders have their turn in between."""
        body = await self.get(
            f"{TABLES}/{table}.csv", download_maxsize=LARGEST_TABLE_BYTES, download_timeout=TABLE_TIMEOUT_S
        )
        csv.field_size_limit(LONGEST_FIELD)
        lines = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
        try:
            for number, row in enumerate(csv.DictReader(lines)):
                if number % ROWS_AT_A_TIME == 0:
                    await asyncio.sleep(0)
                yield row
        except csv.Error as error:
            raise AnswerError(f"{table}.csv: {error}") from error
