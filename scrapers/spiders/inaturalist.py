"""iNaturalist: photographs of plants and animals, out of the table and the bucket of its open data."""

from collections.abc import AsyncIterator
from typing import Any, ClassVar

from scrapers.items import Label, Work
from scrapers.licences import URLS, identify
from scrapers.spiders.inaturalist_table import Row, draw
from scrapers.spiders.museum import MuseumSpider
from scrapers.spiders.sizes import fit_within

BUCKET = "https://inaturalist-open-data.s3.amazonaws.com"
TABLE = f"{BUCKET}/photos.csv.gz"
PART_BYTES = 64 * 2**20
"""More than a million of the hundreds of millions of rows; the whole table has more than 10 GB."""
PART_TIMEOUT_S = 600
EXTENSIONS = frozenset({"jpg", "jpeg", "png"})
LARGE_PX = 1024


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
        for row in await self._draw():
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

    async def _draw(self) -> list[Row]:
        async with self.keeping(
            TABLE,
            headers={"Range": f"bytes=0-{PART_BYTES - 1}"},
            download_maxsize=PART_BYTES,
            download_timeout=PART_TIMEOUT_S,
        ) as part:
            return await draw(part, self.licences)


def _size(width: str, height: str) -> tuple[int, int] | tuple[None, None]:
    if not (width or height):
        return None, None
    return fit_within(int(width, 10), int(height, 10), LARGE_PX, LARGE_PX)
