"""The sample museum's paged interface."""

from collections.abc import AsyncIterator
from typing import Any

from scrapers.items import Label, Work
from scrapers.sample import HOST
from scrapers.spiders.museum import MuseumSpider

TYPES: dict[Label, str] = {"painting": "Painting", "photo": "Photograph"}
PAGE_SIZE = 50


class SampleSpider(MuseumSpider):
    """The built-in source."""

    name = "sample"
    image_hosts = frozenset({HOST})
    scheme = "http"

    async def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield the records of page after page."""
        skip, total = 0, 1
        while skip < total:
            query = {"type": TYPES[label], "skip": skip, "limit": PAGE_SIZE}
            answer = await self.get_json(f"http://{HOST}/api/artworks/", query, key="data")
            page, total = answer["data"], answer["info"]["total"]
            for record in page:
                yield record
            if not page:
                return
            skip += len(page)

    def work(self, record: Any, label: Label) -> Work:
        """Read a record."""
        image = record["images"]["web"]
        if record["type"] != TYPES[label]:
            raise ValueError(f"{record['id']} is no {TYPES[label]}")
        return Work(
            source=self.name,
            id=record["id"],
            label=label,
            group=record["after"],
            title=record["title"],
            creator=record["creators"][0]["description"],
            year=None,
            licence=record["share_license"]["name"],
            licence_url=record["share_license"]["url"],
            page_url=record["url"],
            image_url=image["url"],
            width_px=image["width"],
            height_px=image["height"],
        )
