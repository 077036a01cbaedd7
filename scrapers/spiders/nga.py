"""The National Gallery of Art, Washington: two tables of its open data, at one commit of their repository."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from scrapers.items import Label, Work
from scrapers.licences import URLS
from scrapers.spiders.museum import MuseumSpider
from scrapers.spiders.sizes import fit_within
from scrapers.spiders.tables import Row, select
from scrapers.text import plain

COMMIT = "79d114c2186ca38af27a9478717f1e509d799495"
TABLES = f"https://raw.githubusercontent.com/NationalGalleryOfArt/opendata/{COMMIT}/data"
LARGEST_TABLE_BYTES = 100 * 2**20
"""GitHub stores no larger file."""
TABLE_TIMEOUT_S = 600
TYPES: dict[Label, str] = {"painting": "Painting", "photo": "Photograph"}
COLUMNS = ("objectid", "title", "attribution", "beginyear", "classification", "parentid", "isvirtual")
IMAGE_COLUMNS = ("depictstmsobjectid", "iiifurl", "width", "height")
LONG_SIDE_PX = 843


class NgaSpider(MuseumSpider):
    """Images of at most 843 pixels, CC0."""

    name = "nga"
    image_hosts = frozenset({"api.nga.gov"})
    objects: list[Row] | None = None
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
        width_px, height_px = fit_within(width_px, height_px, LONG_SIDE_PX, LONG_SIDE_PX)
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
            width_px=width_px,
            height_px=height_px,
        )

    async def _join(self) -> list[Row]:
        images: dict[str, Row] = {}
        for image in await self._read("published_images", IMAGE_COLUMNS, _is_open):
            images.setdefault(image["depictstmsobjectid"], image)
        objects = await self._read("objects", COLUMNS, lambda row: row["classification"] in TYPES.values())
        return [row | images[row["objectid"]] for row in objects if row["objectid"] in images]

    async def _read(self, table: str, columns: Sequence[str], is_wanted: Callable[[Row], bool]) -> list[Row]:
        url = f"{TABLES}/{table}.csv"
        async with self.keeping(url, download_maxsize=LARGEST_TABLE_BYTES, download_timeout=TABLE_TIMEOUT_S) as body:
            return await select(body, columns, is_wanted)


def _is_open(image: Row) -> bool:
    return image["viewtype"] == "primary" and image["openaccess"] == "1"
