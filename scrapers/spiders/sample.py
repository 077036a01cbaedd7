"""The sample museum's paged interface."""

from collections.abc import AsyncIterator
from typing import Any

from scrapers.items import Label, Work
from scrapers.sample import HOST
from scrapers.spiders.museum import MuseumSpider
from scrapers.spiders.paging import pages

TYPES: dict[Label, str] = {"painting": "Painting", "photo": "Photograph"}
PAGE_SIZE = 50


class SampleSpider(MuseumSpider):
    """The built-in source."""

    name = "sample"
    image_hosts = frozenset({HOST})
    scheme = "http"

    def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield the records of page after page."""
        query = {"type": TYPES[label], "limit": PAGE_SIZE}
        return pages(lambda skip: self.get_json(f"http://{HOST}/api/artworks/", {**query, "skip": skip}, key="data"))

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
